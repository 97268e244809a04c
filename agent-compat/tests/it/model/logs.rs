use std::{
    io::Read as _,
    sync::{Arc, Mutex},
};

use agent_compat::agent::{AgentEndpoint, LineKind, Observer, Outcome, Request};
use serde_json::Value;

use super::world::{World, answer, flags, serving};

/// Answers log requests with this body and everything else well.
fn logs_answered(body: &'static str) -> impl FnMut(&Request) -> Outcome + 'static {
    let mut well = serving("{}");
    move |request| {
        if request.endpoint == AgentEndpoint::Log { answer(body) } else { well(request) }
    }
}

#[test]
fn results_go_first_and_bodies_have_the_agents_member_order() {
    let mut world = World::new("5.12.0", flags(), serving("{}"));
    world.pass(1);
    world.agent.push_status_line(br#"{"s":1}"#.as_slice(), world.now_ms);
    world.agent.push_result_line(br#"{"r":1}"#.as_slice(), world.now_ms);
    world.pass(4);
    assert_eq!(
        world.bodies(AgentEndpoint::Log),
        [
            r#"{"data":[{"r":1}],"log_type":"result","node_key":"k1"}"#,
            r#"{"data":[{"s":1}],"log_type":"status","node_key":"k1"}"#
        ]
    );
}

#[test]
fn compressed_bodies_put_the_key_first() {
    let mut flags = flags();
    flags.logger_tls_compress = true;
    let mut world = World::new("5.12.0", flags, serving("{}"));
    world.agent.push_result_line(br#"{"r":1}"#.as_slice(), world.now_ms);
    world.pass(1);
    let sent = world.sent.borrow();
    let (_, log) = sent.iter().find(|(_, request)| request.endpoint == AgentEndpoint::Log).unwrap();
    assert!(log.headers.contains(&("Content-Encoding", "gzip".to_owned())));
    let mut plain = String::new();
    flate2::read::GzDecoder::new(&log.body[..]).read_to_string(&mut plain).unwrap();
    assert_eq!(plain, r#"{"node_key":"k1","log_type":"result","data":[{"r":1}]}"#);
    let (_, config) = sent.iter().find(|(_, request)| request.endpoint == AgentEndpoint::Config).unwrap();
    assert!(config.headers.iter().all(|(name, _)| *name != "Content-Encoding"));
}

#[test]
fn back_off_grows_by_squares_and_is_separate_per_kind() {
    let mut world = World::new("5.12.0", flags(), logs_answered("busy"));
    world.agent.push_result_line(b"{}".as_slice(), world.now_ms);
    world.pass(60);
    assert_eq!(world.times(AgentEndpoint::Log), [0, 4, 20, 56]);
    world.agent.push_status_line(b"{}".as_slice(), world.now_ms);
    world.pass(4);
    assert!(world.bodies(AgentEndpoint::Log).last().unwrap().contains("status"));
    world.set_server(serving("{}"));
    world.pass(60);
    assert_eq!(world.agent.buffered_lines(), 0);
    assert_eq!(world.agent.counters().results.acknowledged, 1);
}

#[test]
fn older_agents_try_every_period() {
    let mut world = World::new("5.11.0", flags(), logs_answered(r#"{"error":"x"}"#));
    world.agent.push_result_line(b"{}".as_slice(), world.now_ms);
    world.pass(13);
    assert_eq!(world.times(AgentEndpoint::Log), [0, 4, 8, 12]);
}

#[test]
fn back_off_has_a_cap_and_zero_disables_it() {
    for (cap, expected) in [(8, vec![0, 4, 12, 20, 28]), (0, vec![0, 4, 8, 12, 16, 20, 24, 28])] {
        let mut flags = flags();
        flags.logger_tls_backoff_max = cap;
        let mut world = World::new("5.12.0", flags, logs_answered("busy"));
        world.agent.push_result_line(b"{}".as_slice(), world.now_ms);
        world.pass(30);
        assert_eq!(world.times(AgentEndpoint::Log), expected, "cap {cap}");
    }
}

#[test]
fn an_empty_or_alien_answer_loses_the_lines_and_a_dropped_key_does_not() {
    for (body, kept) in [("", 0), (r#"{"message":"x"}"#, 0), (r#"{"node_invalid":true}"#, 1), ("oops", 1)] {
        let mut world = World::new("5.12.0", flags(), logs_answered(body));
        world.agent.push_result_line(b"{}".as_slice(), world.now_ms);
        world.pass(1);
        assert_eq!(world.agent.buffered_lines(), kept, "{body}");
    }
}

#[test]
fn a_period_sends_at_most_max_lines_and_overflow_purges_the_oldest() {
    let mut flags = flags();
    flags.logger_tls_max_lines = 3;
    flags.buffered_log_max = 5;
    let mut world = World::new("5.12.0", flags, serving("{}"));
    world.agent.push_status_line(br#"{"s":0}"#.as_slice(), world.now_ms);
    for number in 1..=9 {
        world.agent.push_result_line(format!("{{\"r\":{number}}}").into_bytes(), world.now_ms + number * 1000);
    }
    world.pass(1);
    assert_eq!(
        world.bodies(AgentEndpoint::Log),
        [r#"{"data":[{"r":1},{"r":2},{"r":3}],"log_type":"result","node_key":"k1"}"#]
    );
    // Seven lines were left; the oldest two were purged, which wrote one more status line.
    assert_eq!(world.agent.counters().results.purged + world.agent.counters().statuses.purged, 2);
    assert_eq!(world.agent.counters().statuses.purged, 1);
    assert_eq!(world.agent.buffered_lines(), 6);
}

#[test]
fn lines_that_are_too_long_or_not_json_are_dropped_unsent() {
    let mut flags = flags();
    flags.logger_tls_max_linesize = 20;
    let mut world = World::new("5.12.0", flags, serving("{}"));
    world.agent.push_result_line(b"not json".as_slice(), world.now_ms);
    world.agent.push_result_line(b"{\"x\":\"01234567890123456789\"}".as_slice(), world.now_ms);
    world.agent.push_result_line(b"{\"x\":\"A\xffB\"}".as_slice(), world.now_ms);
    world.pass(1);
    let sent = world.sent.borrow();
    let (_, log) = sent.iter().find(|(_, request)| request.endpoint == AgentEndpoint::Log).unwrap();
    assert_eq!(&log.body[..], b"{\"data\":[{\"x\":\"A\xffB\"}],\"log_type\":\"result\",\"node_key\":\"k1\"}");
    assert_eq!((world.agent.counters().results.dropped, world.agent.counters().results.acknowledged), (2, 1));
}

#[test]
fn a_new_period_counts_at_once_since_5_12_and_before_that_after_a_restart() {
    let config = r#"{"options":{"logger_tls_period":1}}"#;
    for (version, at_once) in [("5.11.0", 2), ("5.12.0", 8)] {
        let mut world = World::new(version, flags(), serving("{}"));
        world.pass(50);
        world.set_server(serving(config));
        world.pass(30);
        assert_eq!(deliveries_in_8_s(&mut world), at_once, "{version}");
        world.agent.restart(world.now_ms);
        world.pass(10);
        assert_eq!(deliveries_in_8_s(&mut world), 8, "{version}");
    }
}

/// Requests with result lines while one line is written each second.
fn deliveries_in_8_s(world: &mut World) -> usize {
    world.forget();
    for _ in 0..8 {
        world.agent.push_result_line(b"{}".as_slice(), world.now_ms);
        world.pass(1);
    }
    world.bodies(AgentEndpoint::Log).iter().filter(|body| body.contains("result")).count()
}

#[test]
fn status_lines_are_typed_since_5_10() {
    for (version, severity) in [("5.9.1", r#""severity":"1""#), ("5.10.0", r#""severity":1,"#)] {
        let mut world = World::new(version, flags(), serving(r#"{"options":{"nonsense":1}}"#));
        world.pass(1);
        let body = world.bodies(AgentEndpoint::Log).concat();
        assert!(body.contains(severity), "{body}");
        let log: Value = serde_json::from_str(&body).unwrap();
        let members: Vec<_> = log["data"][0].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            members,
            ["hostIdentifier", "calendarTime", "unixTime", "severity", "filename", "line", "message", "version"]
        );
    }
}

#[derive(Default, Clone)]
struct Ledger(Arc<Mutex<(usize, usize)>>);

impl Observer for Ledger {
    fn line_produced(&mut self, _: LineKind, _: &[u8]) {
        self.0.lock().unwrap().0 += 1;
    }

    fn line_acknowledged(&mut self, _: LineKind, line: &[u8]) {
        assert_eq!(line, b"{}");
        self.0.lock().unwrap().1 += 1;
    }
}

#[test]
fn an_observer_hears_of_each_line() {
    let ledger = Ledger::default();
    let mut world = World::new("5.12.0", flags(), serving("{}"));
    world.agent.observe(Box::new(ledger.clone()));
    for _ in 0..5 {
        world.agent.push_result_line(b"{}".as_slice(), world.now_ms);
    }
    world.pass(1);
    assert_eq!(*ledger.0.lock().unwrap(), (5, 5));
}
