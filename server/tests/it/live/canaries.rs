use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_compat::TestAgent;
use agent_compat::agent::{Identity, LiveResult, Platform};
use agent_compat::tables::Cost;
use muster_api::rest::{LiveQuery, LiveStatus};
use serde_json::{Value, json};

use super::{change, counts, hosts, job, start};
use crate::support::{Rest, TestServer, eventually, object};

/// Longest wait for what a server does by itself.
const SOON: Duration = Duration::from_secs(60);

const HOSTS: u32 = 24;
const CANARIES: u64 = 5;

/// The hosts that were ever sent the query of a job, by their position among the agents.
#[derive(Debug, Default)]
pub struct Served(BTreeSet<usize>);

impl Served {
    pub fn count(&self) -> u64 {
        self.0.len() as u64
    }

    pub fn all(&self) -> impl Iterator<Item = usize> {
        self.0.iter().copied()
    }

    /// Has every agent ask for work, and notes who is sent the query.
    pub async fn ask(&mut self, agents: &mut [TestAgent], id: i64) {
        for (position, agent) in agents.iter_mut().enumerate() {
            let read = agent.read().await;
            if object(&read).get("queries").is_some_and(|queries| !queries[name(id)].is_null()) {
                self.0.insert(position);
            }
        }
    }
}

fn name(id: i64) -> String {
    format!("fleet_distributed_query_{id}")
}

/// Answers the query of a job, at so much CPU time.
pub async fn answer(agent: &mut TestAgent, id: i64, cpu_ms: u64) {
    let cost = Some(Cost { wall_ms: cpu_ms, user_ms: cpu_ms, system_ms: 0, memory_bytes: 1 << 20 });
    let result = LiveResult { id: name(id), rows: Vec::new(), status: 0, message: String::new(), cost };
    let exchange = agent.write([result]).await;
    assert!(exchange.verdict.is_success(), "{exchange:?}");
}

/// A server whose live queries on more than ten hosts have canaries.
async fn with_canaries() -> TestServer {
    TestServer::with(|config| {
        config.live.canaries_above = 10;
        config.live.canaries = CANARIES as u32;
        config.live.cpu_budget = Duration::from_secs(1);
    })
    .await
}

fn for_all() -> Value {
    json!({ "query": "SELECT 1", "targets": { "all": true } })
}

/// Waits until a job is as is wanted.
async fn until(server: &TestServer, id: i64, what: &str, is_so: impl Fn(&LiveQuery) -> bool) -> LiveQuery {
    eventually(what, SOON, async || Some(job(server, id).await).filter(|job| is_so(job))).await
}

fn waits(job: &LiveQuery) -> bool {
    job.canaries.is_some_and(|canaries| canaries.until.is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_heavy_query_stops_at_its_canaries_and_no_other_host_is_ever_given_it() {
    let mut server = with_canaries().await;
    let mut agents = hosts(&server, HOSTS).await;
    let made = start(&server, for_all()).await;
    let (id, canaries) = (made.id, made.canaries.unwrap());
    assert_eq!((canaries.hosts, canaries.settled, canaries.waiting), (CANARIES, 0, u64::from(HOSTS) - CANARIES));
    let mut served = Served::default();
    served.ask(&mut agents, id).await;
    served.ask(&mut agents, id).await;
    assert_eq!(served.count(), CANARIES, "{served:?}");
    let mut first = served.all();
    answer(&mut agents[first.next().unwrap()], id, 5_000).await;
    assert!(waits(&job(&server, id).await), "one host does not decide");
    answer(&mut agents[first.next().unwrap()], id, 1_001).await;
    drop(first);
    let stopped = until(&server, id, "it is stopped", |job| job.status != LiveStatus::Open).await;
    assert_eq!(stopped.status, LiveStatus::Stopped);
    let reason = stopped.stop_reason.as_deref().unwrap();
    assert!(
        reason.starts_with("stopped at its canaries, because it took more than 1 s of CPU time on each of"),
        "{reason}"
    );
    assert!(reason.contains("(5 s)") && reason.contains("(1.001 s)"), "{reason}");
    assert!(reason.ends_with("; 19 hosts were not given it"), "{reason}");
    assert_eq!(counts(&server, id).await.cancelled, u64::from(HOSTS) - 2);
    assert_eq!(stopped.budget.unwrap().hosts_over, 2);
    assert_eq!(server.metric("muster_live_canary_verdicts_total{verdict=\"stopped\"}").await, 1.0);
    let refused = server.rest.post(&format!("live_queries/{id}/promote"), &json!({})).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    server.restart().await;
    for _ in 0..2 {
        server.clock.advance(Duration::from_secs(300));
        server.run_tasks().await;
        served.ask(&mut agents, id).await;
    }
    assert_eq!(served.count(), CANARIES, "{served:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_query_reaches_all_hosts_whenever_the_server_restarts() {
    let mut server = with_canaries().await;
    let mut agents = hosts(&server, HOSTS).await;
    let id = start(&server, for_all()).await.id;
    let mut served = Served::default();
    server.restart().await;
    assert!(waits(&job(&server, id).await));
    served.ask(&mut agents, id).await;
    assert_eq!(served.count(), CANARIES);
    let canaries: Vec<usize> = served.all().collect();
    for position in &canaries[1..] {
        answer(&mut agents[*position], id, 900).await;
    }
    server.run_tasks().await;
    assert!(waits(&job(&server, id).await), "one that was given it has not answered");
    server.restart().await;
    served.ask(&mut agents, id).await;
    assert_eq!(served.count(), CANARIES);
    answer(&mut agents[canaries[0]], id, 900).await;
    until(&server, id, "the others may follow", |job| !waits(job)).await;
    assert_eq!(server.number("SELECT count(*) FROM activities WHERE kind = 'live_query_canaries_passed'"), 1);
    server.restart().await;
    assert!(!waits(&job(&server, id).await));
    for agent in &mut agents {
        agent.distributed().await;
    }
    let over = job(&server, id).await;
    assert_eq!((over.status, over.counts.answered), (LiveStatus::Complete, u64::from(HOSTS)), "{over:?}");
    assert_eq!(server.number("SELECT count(*) FROM activities WHERE kind = 'live_query_canaries_passed'"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn canaries_that_fall_silent_hold_up_nobody_for_ever() {
    let server = with_canaries().await;
    let mut agents = hosts(&server, HOSTS).await;
    let (given, never) = (start(&server, for_all()).await.id, start(&server, for_all()).await.id);
    let paused = change(&server, never, "pause", json!({})).await;
    assert!(paused.paused && waits(&paused), "{paused:?}");
    let mut served = Served::default();
    served.ask(&mut agents, given).await;
    assert_eq!(served.count(), CANARIES);
    let resumed = change(&server, never, "resume", json!({})).await;
    assert!(!resumed.paused && waits(&resumed), "{resumed:?}");
    server.clock.advance(server.config().live.canary_wait);
    server.run_tasks().await;
    // Those that took it have fallen silent, and may be dead of it.
    let stopped = job(&server, given).await;
    assert_eq!(stopped.status, LiveStatus::Stopped, "{stopped:?}");
    let reason = stopped.stop_reason.unwrap();
    assert!(reason.contains("5 of 5 canaries that were given it have not answered"), "{reason}");
    served.ask(&mut agents, given).await;
    assert_eq!(served.count(), CANARIES);
    // Those that never asked for work say nothing about it.
    assert!(!waits(&job(&server, never).await));
    for agent in &mut agents {
        agent.distributed().await;
    }
    let over = job(&server, never).await;
    assert_eq!((over.status, over.counts.answered), (LiveStatus::Complete, u64::from(HOSTS)), "{over:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_let_others_follow_and_ask_for_other_canaries_or_none() {
    let server = with_canaries().await;
    let mut agents = hosts(&server, HOSTS).await;
    let with = |canaries: u32| {
        let mut request = for_all();
        request["canaries"] = canaries.into();
        request
    };
    assert!(start(&server, with(0)).await.canaries.is_none());
    let few = json!({ "query": "SELECT 1", "targets": { "all": true }, "max_hosts": 10 });
    assert!(start(&server, few).await.canaries.is_none(), "not for so few hosts");
    let made = start(&server, with(2)).await;
    let id = made.id;
    assert_eq!(made.canaries.unwrap().hosts, 2);
    let mut served = Served::default();
    change(&server, id, "pause", json!({})).await;
    served.ask(&mut agents, id).await;
    assert_eq!(served.count(), 0, "a pause holds canaries, too");
    change(&server, id, "resume", json!({})).await;
    served.ask(&mut agents, id).await;
    assert_eq!(served.count(), 2);
    change(&server, id, "pause", json!({})).await;
    let promoted = change(&server, id, "promote", json!({})).await;
    assert!(promoted.paused && !waits(&promoted), "paused still: {promoted:?}");
    served.ask(&mut agents, id).await;
    assert_eq!(served.count(), 2);
    change(&server, id, "promote", json!({})).await;
    change(&server, id, "resume", json!({})).await;
    served.ask(&mut agents, id).await;
    assert_eq!(served.count(), u64::from(HOSTS));
    assert_eq!(server.number("SELECT count(*) FROM activities WHERE kind = 'promoted_live_query'"), 1);

    let refused = server.rest.post("live_queries", &with(1_001)).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("expects 1 to 1000 hosts, or 0"), "{}", refused.text);
    let none = start(&server, with(0)).await.id;
    change(&server, none, "promote", json!({})).await;
    let promoted = "SELECT count(*) FROM activities WHERE kind = 'promoted_live_query'";
    assert_eq!(server.number(promoted), 1, "nobody waited");
    what_observers_may(&server, &server.user("observer")).await;
}

/// Observers run saved queries with the care that the server takes, or more.
async fn what_observers_may(server: &TestServer, observer: &Rest) {
    let saved = json!({ "name": "harmless", "query": "SELECT 1", "observer_can_run": true });
    assert_eq!(server.rest.post("queries", &saved).await.status, 200);
    let request = |more: (&str, u32)| {
        let mut request = json!({ "query_name": "harmless", "targets": { "all": true } });
        request[more.0] = more.1.into();
        request
    };
    for less in [("canaries", 0), ("canaries", 4), ("canaries", 6), ("host_cpu_ms", 0), ("host_cpu_ms", 1_001)] {
        assert_eq!(observer.post("live_queries", &request(less)).await.status, 403, "{less:?}");
    }
    for more in [("canaries", 5), ("host_cpu_ms", 10), ("fleet_cpu_ms", 10)] {
        let started = observer.post("live_queries", &request(more)).await;
        assert_eq!(started.status, 200, "{more:?}: {}", started.text);
        let id = started.json()["live_query"]["id"].as_i64().unwrap();
        let refused = observer.post(&format!("live_queries/{id}/promote"), &json!({})).await;
        assert_eq!(refused.status, 403, "{}", refused.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn canaries_are_of_all_platforms_and_other_ones_each_time() {
    let server = with_canaries().await;
    let mut agents = hosts(&server, HOSTS).await;
    for index in 0..2 {
        let mut agent = server.address.agent_of(Identity::simulated(1, 100 + index, Platform::Windows));
        agent.enroll().await;
        crate::checkin::settle(&mut agent).await;
        agents.push(agent);
    }
    let listed = server.rest.get("hosts").await.json();
    let kinds: BTreeMap<i64, (String, String)> = listed["hosts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|host| {
            let text = |name: &str| host[name].as_str().unwrap().to_owned();
            (host["id"].as_i64().unwrap(), (text("platform"), text("osquery_version")))
        })
        .collect();
    let all: BTreeSet<_> = kinds.values().collect();
    assert!(all.len() > 1 && kinds.len() == agents.len(), "{kinds:?}");
    let mut chosen = Vec::new();
    for _ in 0..4 {
        let id = start(&server, for_all()).await.id;
        let mut served = Served::default();
        served.ask(&mut agents, id).await;
        assert_eq!(served.count(), CANARIES);
        // The hosts have enrolled one after the other.
        let of_served: BTreeSet<_> = served.all().map(|position| &kinds[&(position as i64 + 1)]).collect();
        assert_eq!(
            of_served.len(),
            all.len().min(CANARIES as usize),
            "each kind has its turn: {of_served:?} of {all:?}"
        );
        chosen.push(served.0);
        change(&server, id, "cancel", json!({})).await;
    }
    // Of two thousand choices there are, four times the same one does not happen by chance.
    assert!(chosen.iter().any(|positions| *positions != chosen[0]), "{chosen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cpu_budget_of_all_hosts_is_watched_without_canaries_too() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 8).await;
    let id = start(&server, json!({ "query": "SELECT 1", "targets": { "all": true }, "fleet_cpu_ms": 3_000 })).await.id;
    let mut served = Served::default();
    served.ask(&mut agents[..4], id).await;
    for agent in &mut agents[..3] {
        answer(agent, id, 1_000).await;
    }
    server.run_tasks().await;
    let open = job(&server, id).await;
    assert_eq!((open.status, open.budget.unwrap().spent_cpu_ms), (LiveStatus::Open, 3_000));
    answer(&mut agents[3], id, 1).await;
    let stopped = until(&server, id, "it is stopped", |job| job.status != LiveStatus::Open).await;
    let reason = stopped.stop_reason.unwrap();
    assert_eq!(reason, "stopped, because it took 3.001 s of CPU time on all hosts together and may take 3 s");
    served.ask(&mut agents, id).await;
    assert_eq!(served.count(), 4);
}
