//! A fleet driven by hand: no network, and time is what the test says.

use std::{rc::Rc, time::Duration};

use serde_json::{Value, json};

use super::{
    fleet::{Begin, Fleet, Job, Micros, RequestOutcome, SentRequest, Then, ThreadReport},
    measure::{Endpoint, Fault},
    profile::Profile,
    template::{Ground, Template, flags},
};
use agent_compat::{
    Agent, Identity, Platform, SqliteHost,
    agent::{ExchangeStep, Outcome},
};

const SECOND: Micros = 1_000_000;
const START_MS: u64 = 1_795_190_018_000;

fn profile() -> Profile {
    Profile {
        seed: 1,
        run: 0xfeed,
        start_unix_ms: START_MS,
        agents: 1,
        first_agent: 0,
        clones: 0,
        slow_hosts: 0.0,
        slow_by: 0,
        storm: true,
        ramp: 0,
        distributed_interval: 10 * SECOND,
        config_interval: 60 * SECOND,
        log_interval: 10 * SECOND,
        log_share: 1.0,
        lines: None,
        line_bytes: 400,
        status_share: 0.0,
        label_flips: 0.0,
        query_fails: 0.0,
        query_empty: 0.0,
        live_bytes: 100,
        slow: Duration::from_millis(500),
        check_config: true,
        etags: false,
        slice: 0,
        is_balanced: true,
        host: "localhost:1".to_owned(),
    }
}

/// A fleet and what it wants to send.
struct Driver {
    fleet: Fleet,
    now: Micros,
    due: Vec<Job>,
    request: Vec<u8>,
}

/// A request under way.
struct Sent {
    job: Job,
    step: ExchangeStep,
    due: Micros,
    sent: Micros,
    head: String,
    body: Value,
    bytes: Vec<u8>,
}

impl Driver {
    fn new(profile: Profile) -> Self {
        let flags = flags("secret", 10, 60, 10);
        let ground = Ground { seed: profile.seed, flags: &flags, prefix: "", now_ms: START_MS };
        let templates = Template::all(&ground, &[("windows".to_owned(), 1)]);
        let fleet = Fleet::new(Rc::new(profile), templates, 0, 1);
        Self { fleet, now: 0, due: Vec::new(), request: Vec::new() }
    }

    /// The next request, and the time it is sent at.
    fn next(&mut self) -> Sent {
        loop {
            if self.due.is_empty() {
                self.now += 1000;
                assert!(self.now < 3600 * SECOND, "nothing is due any more");
                let due = &mut self.due;
                self.fleet.wheel.advance((self.now / 1000) as u32, |job| due.push(job));
                continue;
            }
            let job = self.due.remove(0);
            if let Begin::Send { step, due } = self.fleet.begin(job, self.now, &mut self.request) {
                let end = self.request.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap() + 4;
                let (head, bytes) = self.request.split_at(end);
                let head = String::from_utf8(head.to_vec()).unwrap();
                assert!(head.contains(&format!("Content-Length: {}\r\n", bytes.len())), "{head}");
                let body = serde_json::from_slice(bytes).unwrap();
                return Sent { job, step, due, sent: self.now, head, body, bytes: bytes.to_vec() };
            }
        }
    }

    fn expect(&mut self, step: ExchangeStep) -> Sent {
        let sent = self.next();
        assert_eq!(sent.step, step, "{}", sent.body);
        sent
    }

    /// Answers a request after so long.
    fn answer(&mut self, sent: &Sent, took: Micros, outcome: &RequestOutcome<'_>) {
        let done = sent.sent + took;
        self.now = self.now.max(done);
        let (step, due) = (sent.step, sent.due);
        let exchange =
            SentRequest { step, due, sent: sent.sent, done, resent: false, bytes_out: sent.bytes.len(), bytes_in: 2 };
        match self.fleet.done(sent.job, &exchange, outcome) {
            Then::At(at) if at <= self.now => self.due.insert(0, sent.job),
            then => self.fleet.set(sent.job, then),
        }
    }

    fn take(&mut self, sent: &Sent, body: &[u8]) {
        self.answer(sent, 1000, &RequestOutcome::Answer(body));
    }

    /// Enrolled and configured.
    fn started(profile: Profile) -> Self {
        let mut driver = Self::new(profile);
        let sent = driver.expect(ExchangeStep::Enroll);
        driver.take(&sent, br#"{"node_key":"k1"}"#);
        let sent = driver.expect(ExchangeStep::Config);
        driver.take(&sent, &config());
        driver
    }

    /// The next request of this step; reads in between get no work.
    fn skip_to(&mut self, step: ExchangeStep) -> Sent {
        loop {
            let sent = self.next();
            if sent.step == step {
                return sent;
            }
            let answer = if sent.step == ExchangeStep::Config { config() } else { b"{}".to_vec() };
            self.take(&sent, &answer);
        }
    }

    /// The next request for a config; everything else is accepted.
    fn skip_to_config(&mut self) -> Sent {
        loop {
            let sent = self.next();
            if sent.step == ExchangeStep::Config {
                return sent;
            }
            self.take(&sent, b"{}");
        }
    }

    fn finish(self) -> ThreadReport {
        self.fleet.finish()
    }
}

fn config() -> Vec<u8> {
    json!({
        "options": {"pack_delimiter": "/"},
        "decorators": {"load": ["SELECT uuid AS host_uuid FROM system_info", "SELECT hostname FROM system_info"]},
        "packs": {"p": {"queries": {
            "marker_windows": {"query": "SELECT 1", "interval": 3600, "snapshot": true},
            "often": {"query": "SELECT total_seconds FROM uptime", "interval": 5},
            "elsewhere": {"query": "SELECT 1", "interval": 1, "platform": "linux"},
            "state": {"query": "SELECT total_seconds FROM uptime", "interval": 5, "snapshot": true},
        }}},
    })
    .to_string()
    .into_bytes()
}

fn keys(value: &Value) -> Vec<&String> {
    value.as_object().unwrap().keys().collect()
}

#[test]
fn lines_have_the_shape_the_model_gives_them() {
    let mut driver = Driver::started(profile());
    let sent = driver.skip_to(ExchangeStep::Results);
    assert!(sent.head.contains("X-Forwarded-For: 10.0.0.0\r\n"), "{}", sent.head);
    let mut identity = Identity::simulated(1, 0, Platform::Windows);
    identity.osquery_version = "5.22.1".to_owned();
    let mut model = Agent::new(identity, flags("secret", 10, 60, 10), Box::new(SqliteHost::new()), START_MS);
    model.import_key("k1");
    model.absorb(ExchangeStep::Config, &Outcome::Answer(config().into()), START_MS);
    for name in ["pack/p/often", "pack/p/state"] {
        model.run_scheduled(name, START_MS + 1000);
    }
    model.select_lines();
    let expected: Value = serde_json::from_slice(&model.request(ExchangeStep::Results, START_MS).body).unwrap();
    assert_eq!(keys(&sent.body), keys(&expected));
    let names: Vec<_> = sent.body["data"].as_array().unwrap().iter().map(|line| line["name"].clone()).collect();
    assert!(names.contains(&json!("pack/p/often")) && names.contains(&json!("pack/p/state")), "{names:?}");
    for line in sent.body["data"].as_array().unwrap() {
        let like = expected["data"].as_array().unwrap().iter().find(|other| other["name"] == line["name"]).unwrap();
        assert_eq!(keys(line), keys(like));
        let mut decorations = keys(&line["decorations"]);
        decorations.sort();
        assert_eq!(decorations, keys(&like["decorations"]));
        let length = line.to_string().len();
        assert!((350..=450).contains(&length), "{length}: {line}");
    }
}

#[test]
fn lines_that_were_refused_come_again_with_newer_ones_and_none_is_forgotten() {
    let mut driver = Driver::started(profile());
    let tags = |sent: &Sent| -> Vec<String> {
        let lines = sent.body["data"].as_array().unwrap().clone();
        let tag = |line: &Value| line.pointer("/columns/load_tag").or(line.pointer("/snapshot/0/load_tag")).cloned();
        lines.iter().map(|line| tag(line).unwrap().as_str().unwrap().to_owned()).collect()
    };
    let first = driver.skip_to(ExchangeStep::Results);
    driver.take(&first, br#"{"error":"disk full"}"#);
    let second = driver.skip_to(ExchangeStep::Results);
    assert!(second.due - first.due >= 10 * SECOND);
    assert!(tags(&second).starts_with(&tags(&first)) && tags(&second).len() > tags(&first).len());
    driver.answer(&second, SECOND, &RequestOutcome::Broken("reset".to_owned()));
    let third = driver.skip_to(ExchangeStep::Results);
    driver.take(&third, b"{}");
    let count = tags(&third).len() as u64;
    let outcomes = driver.finish();
    let log = &outcomes.tallies[1][Endpoint::Log as usize];
    assert_eq!((log.requests, log.faults_of(Fault::Refused), log.faults_of(Fault::Connection)), (3, 1, 1));
    assert_eq!(log.examples[Fault::Refused as usize].as_deref(), Some("disk full"));
    assert_eq!((outcomes.lines[0].made, outcomes.lines[0].acknowledged), (count, count));
    assert_eq!(outcomes.ledger[0].1.acknowledged, [(0, count as u32 - 1)]);
}

#[test]
fn questions_are_answered_in_one_write_and_statistics_move() {
    let mut driver = Driver::started(profile());
    let questions = json!({"queries": {
        "fleet_detail_query_osquery_info": "SELECT uuid FROM osquery_info",
        "fleet_label_query_1": "SELECT 1 FROM os_version WHERE platform = 'windows'",
        "fleet_label_query_2": "SELECT 1 FROM os_version WHERE platform = 'darwin'",
        "fleet_distributed_query_9": "SELECT anything",
        "stats": "SELECT * FROM osquery_schedule",
        "bad": "SELECT * FROM no_such_table",
    }})
    .to_string();
    let read = driver.skip_to(ExchangeStep::Read);
    driver.take(&read, questions.as_bytes());
    let first = driver.skip_to(ExchangeStep::Write).body;
    assert_eq!(keys(&first), ["queries", "statuses", "messages", "stats", "node_key"]);
    assert_eq!(first["queries"]["fleet_detail_query_osquery_info"][0]["uuid"].as_str().unwrap().len(), 36);
    assert_eq!(first["queries"]["fleet_label_query_1"], json!([{"1": "1"}]));
    assert_eq!(first["queries"]["fleet_label_query_2"], json!([]));
    assert!(first["queries"]["fleet_distributed_query_9"].to_string().len() >= 100);
    assert_eq!((&first["statuses"]["bad"], &first["queries"]["bad"]), (&json!(1), &json!([])));
    assert!(first["messages"]["bad"].as_str().unwrap().contains("no_such_table"));
    let mut driver = Driver::started(profile());
    for _ in 0..8 {
        let read = driver.skip_to(ExchangeStep::Read);
        driver.take(&read, b"{\"queries\":{}}");
    }
    let read = driver.skip_to(ExchangeStep::Read);
    driver.take(&read, questions.as_bytes());
    let later = driver.skip_to(ExchangeStep::Write).body;
    let runs = |body: &Value| -> u64 {
        let rows = body["queries"]["stats"].as_array().unwrap();
        let row = rows.iter().find(|row| row["name"] == "pack/p/often").unwrap();
        row["executions"].as_str().unwrap().parse().unwrap()
    };
    assert!(runs(&later) >= runs(&first) + 10, "{} {}", runs(&later), runs(&first));
}

#[test]
fn what_is_meant_for_another_host_is_noticed() {
    let mut driver = Driver::started(profile());
    let read = driver.skip_to(ExchangeStep::Read);
    let wrong = br#"{"queries":{"fleet_label_query_5":"SELECT 1 WHERE 'marker_linux' <> ''"}}"#;
    driver.take(&read, wrong);
    let write = driver.skip_to(ExchangeStep::Write);
    driver.take(&write, b"{}");
    let sent = driver.skip_to(ExchangeStep::Config);
    let foreign = String::from_utf8(config()).unwrap().replace("marker_windows", "marker_darwin");
    driver.take(&sent, foreign.as_bytes());
    let sent = driver.skip_to(ExchangeStep::Config);
    driver.take(&sent, b"{}");
    let sent = driver.skip_to(ExchangeStep::Config);
    driver.take(&sent, b"");
    let outcomes = driver.finish();
    let faults = |endpoint: Endpoint, fault| outcomes.tallies[1][endpoint as usize].faults_of(fault);
    assert_eq!(faults(Endpoint::Read, Fault::WrongWork), 1);
    assert_eq!(faults(Endpoint::Config, Fault::WrongConfig), 2);
    assert_eq!(faults(Endpoint::Config, Fault::BadBody), 1);
}

#[test]
fn a_dropped_key_is_renewed_once_and_the_request_comes_again() {
    let mut driver = Driver::started(profile());
    let read = driver.skip_to(ExchangeStep::Read);
    driver.take(&read, br#"{"node_invalid":true}"#);
    let enroll = driver.expect(ExchangeStep::Enroll);
    assert!(enroll.due >= read.sent + SECOND);
    driver.take(&enroll, br#"{"error":"later"}"#);
    let again = driver.expect(ExchangeStep::Enroll);
    assert!(again.due >= enroll.sent + SECOND);
    driver.take(&again, br#"{"node_key":"k2"}"#);
    let read = driver.expect(ExchangeStep::Read);
    assert_eq!(read.body["node_key"], "k2");
}

#[test]
fn a_server_that_stalls_is_charged_from_when_requests_were_due() {
    let mut driver = Driver::started(profile());
    let first = driver.skip_to(ExchangeStep::Read);
    // Longer than three intervals: one is caught up with, the others are left out and counted.
    driver.answer(&first, 35 * SECOND, &RequestOutcome::Answer(b"{}"));
    let second = driver.skip_to(ExchangeStep::Read);
    assert!(second.due < second.sent && second.sent - second.due < 10 * SECOND);
    driver.take(&second, b"{}");
    let third = driver.skip_to(ExchangeStep::Read);
    assert_eq!(third.due, second.due + 10 * SECOND);
    let outcomes = driver.finish();
    let read = &outcomes.tallies[1][Endpoint::Read as usize];
    assert_eq!((read.requests, read.late, read.slow), (2, 1, 2));
    assert_eq!(read.missed, 2);
    assert!(read.latency.max() >= 35_000_000 && read.service.min() < 2000);
}

#[test]
fn a_config_that_is_unchanged_is_kept_with_its_etag() {
    let mut driver = Driver::new(Profile { etags: true, ..profile() });
    let enroll = driver.expect(ExchangeStep::Enroll);
    driver.take(&enroll, br#"{"node_key":"k1"}"#);
    let first = driver.expect(ExchangeStep::Config);
    assert_eq!(first.body, json!({"node_key": "k1", "etag": ""}));
    let with_etag = [br#"{"etag":"a-1","#, &config()[1..]].concat();
    driver.take(&first, &with_etag);
    for _ in 0..2 {
        let again = driver.skip_to_config();
        assert_eq!(again.body["etag"], "a-1");
        driver.take(&again, br#"{"etag":"ok"}"#);
    }
    let outcomes = driver.finish();
    let of_phases = || outcomes.tallies.iter().map(|phase| &phase[Endpoint::Config as usize]);
    assert_eq!(of_phases().map(|tally| tally.requests).sum::<u64>(), 3);
    assert_eq!(of_phases().map(|tally| tally.errors()).sum::<u64>(), 0);
}

#[test]
fn what_is_unchanged_must_be_there() {
    let mut driver = Driver::new(Profile { etags: true, ..profile() });
    let enroll = driver.expect(ExchangeStep::Enroll);
    driver.take(&enroll, br#"{"node_key":"k1"}"#);
    let config = driver.expect(ExchangeStep::Config);
    driver.take(&config, br#"{"etag":"ok"}"#);
    let outcomes = driver.finish();
    assert_eq!(outcomes.tallies[1][Endpoint::Config as usize].faults_of(Fault::BadBody), 1);
}

#[test]
fn reads_with_a_live_query_are_told_apart() {
    let mut driver = Driver::started(Profile { slice: 10 * SECOND, ..profile() });
    let read = driver.skip_to(ExchangeStep::Read);
    driver.take(&read, br#"{"queries":{"fleet_distributed_query_9":"SELECT 1"}}"#);
    let write = driver.expect(ExchangeStep::Write);
    driver.take(&write, b"{}");
    let read = driver.skip_to(ExchangeStep::Read);
    driver.take(&read, b"{}");
    let slices = driver.finish().slices.json().unwrap();
    let slices: Vec<_> = slices["slices"].as_array().unwrap().iter().flat_map(|slice| keys(slice)).collect();
    assert_eq!(slices.iter().filter(|name| **name == "live_read").count(), 1, "{slices:?}");
    assert_eq!(slices.iter().filter(|name| **name == "read").count(), 1, "{slices:?}");
}
