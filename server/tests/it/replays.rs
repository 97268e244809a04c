//! When an answer is lost, agents send the same lines again, with newer ones. Each is kept once, but lines that are
//! equal because the agent wrote them twice are kept twice.

use std::time::Duration;

use agent_compat::TestAgent;
use agent_compat::agent::AgentEndpoint;
use serde_json::{Value, json};

use crate::support::{KeptLines, Raw, TestServer, eventually, log_body};

async fn send(agent: &TestAgent, log_type: &str, lines: &[Value]) {
    let exchange = agent.raw(AgentEndpoint::Log, log_body(agent, log_type, lines), &[]).await;
    assert!(exchange.verdict.is_success(), "{exchange:?}");
}

/// A line of a run that no other line of the run equals.
fn line(n: usize) -> Value {
    json!({ "unixTime": 1_768_478_400, "counter": 1, "line": n })
}

/// The numbers of the lines in a file, in its order.
fn numbers(path: &std::path::Path) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["line"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn the_same_batch_again_adds_nothing() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    for _ in 0..3 {
        send(&agent, "result", &[line(1), line(2)]).await;
    }
    assert_eq!(numbers(&server.results()), [1, 2]);
    assert_eq!(server.metric(r#"muster_log_lines_total{fate="repeated""#).await, 4.0);
}

#[tokio::test]
async fn a_repeat_with_newer_lines_adds_the_newer_ones() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    send(&agent, "result", &[line(1), line(2)]).await;
    send(&agent, "result", &[line(1), line(2), line(3)]).await;
    // Agents read their lines in the order of text, so newer ones may stand between older ones.
    send(&agent, "result", &[line(1), line(4), line(2), line(3)]).await;
    assert_eq!(numbers(&server.results()), [1, 2, 3, 4]);
}

#[tokio::test]
async fn two_equal_requests_at_one_time_are_kept_once() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    for round in 0..10 {
        let lines: Vec<Value> = (round * 100..round * 100 + 50).map(line).collect();
        let same = || send(&agent, "result", &lines);
        tokio::join!(same(), same(), same(), same());
    }
    let kept = KeptLines::read(&server.results());
    assert_eq!(kept.total(), 500);
    assert_eq!(kept.count(&line(949).to_string()), 1);
}

/// Part of the last batch may as well be news that look the same, and losing news would be worse.
#[tokio::test]
async fn part_of_a_batch_is_no_repeat() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    send(&agent, "result", &[line(1), line(2), line(3)]).await;
    send(&agent, "result", &[line(1), line(2)]).await;
    assert_eq!(numbers(&server.results()), [1, 2, 3, 1, 2]);
}

#[tokio::test]
async fn a_batch_sent_before_the_last_one_is_no_repeat() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    for lines in [[line(1)], [line(2)], [line(1)]] {
        send(&agent, "result", &lines).await;
    }
    assert_eq!(numbers(&server.results()), [1, 2, 1]);
}

#[tokio::test]
async fn equal_lines_of_one_batch_are_all_kept() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    send(&agent, "result", &[line(1), line(1), line(1), line(2)]).await;
    assert_eq!(numbers(&server.results()), [1, 1, 1, 2]);
    send(&agent, "result", &[line(1), line(1), line(1), line(2), line(1)]).await;
    assert_eq!(numbers(&server.results()), [1, 1, 1, 2, 1]);
}

/// One run of a query over events can give more equal rows than fit one batch.
#[tokio::test]
async fn equal_rows_that_fill_several_batches_are_all_kept() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    for _ in 0..3 {
        send(&agent, "result", &[line(1), line(1), line(2), line(2)]).await;
    }
    assert_eq!(numbers(&server.results()), [[1, 1, 2, 2]; 3].concat());
}

#[tokio::test]
async fn equal_status_lines_that_come_one_by_one_are_all_kept() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    for _ in 0..3 {
        send(&agent, "status", &[line(1)]).await;
    }
    assert_eq!(numbers(&server.statuses()), [1, 1, 1]);
}

#[tokio::test]
async fn a_repeated_status_batch_of_different_lines_adds_nothing() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    send(&agent, "status", &[line(1), line(2)]).await;
    send(&agent, "status", &[line(1), line(2), line(3)]).await;
    assert_eq!(numbers(&server.statuses()), [1, 2, 3]);
}

/// Nothing tells such a line from a new one that is equal.
#[tokio::test]
async fn lines_that_do_not_name_their_run_are_kept_each_time_they_come() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let lines = [json!({ "line": 1, "unixTime": 1 }), json!({ "line": 2, "counter": 1 })];
    for _ in 0..2 {
        send(&agent, "result", &lines).await;
    }
    assert_eq!(numbers(&server.results()), [1, 2, 1, 2]);
}

#[tokio::test]
async fn a_batch_that_comes_when_agents_have_given_up_is_new() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    send(&agent, "result", &[line(1), line(2)]).await;
    server.clock.advance(Duration::from_secs(2 * 3600));
    send(&agent, "result", &[line(1), line(2)]).await;
    assert_eq!(numbers(&server.results()), [1, 2], "agents retry that long");
    server.clock.advance(Duration::from_secs(2 * 3600 + 1));
    send(&agent, "result", &[line(1), line(2)]).await;
    assert_eq!(numbers(&server.results()), [1, 2, 1, 2]);
}

#[tokio::test]
async fn a_repeat_after_a_graceful_restart_adds_nothing() {
    let mut server = TestServer::start().await;
    let (one, two) = (server.enrolled(1).await, server.enrolled(2).await);
    for log_type in ["result", "status"] {
        send(&one, log_type, &[line(1), line(2)]).await;
    }
    send(&two, "result", &[line(3)]).await;
    server.restart().await;
    for log_type in ["result", "status"] {
        send(&one, log_type, &[line(1), line(2), line(4)]).await;
    }
    assert_eq!(numbers(&server.results()), [1, 2, 3, 4]);
    assert_eq!(numbers(&server.statuses()), [1, 2, 4]);
    // A host that does not come between two restarts is remembered over both.
    server.restart().await;
    send(&two, "result", &[line(3)]).await;
    send(&one, "result", &[line(1), line(2), line(4)]).await;
    assert_eq!(numbers(&server.results()), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_restart_remembers_nothing_that_agents_have_given_up() {
    let mut server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    send(&agent, "result", &[line(1)]).await;
    server.stop().await;
    server.clock.advance(Duration::from_secs(2 * 3600 + 1));
    server.restart().await;
    send(&agent, "result", &[line(1)]).await;
    assert_eq!(numbers(&server.results()), [1, 1]);
    assert_eq!(server.number("SELECT count(*) FROM log_batches"), 0);
}

#[tokio::test]
async fn hosts_and_log_types_are_apart() {
    let server = TestServer::start().await;
    let (one, two) = (server.enrolled(1).await, server.enrolled(2).await);
    for agent in [&one, &two] {
        for log_type in ["result", "status"] {
            send(agent, log_type, &[line(1)]).await;
        }
    }
    assert_eq!(numbers(&server.results()), [1, 1]);
    assert_eq!(numbers(&server.statuses()), [1, 1]);
}

/// A host that enrolled again meanwhile is the same host.
#[tokio::test]
async fn a_repeat_under_a_new_key_adds_nothing() {
    let server = TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    send(&agent, "result", &[line(1)]).await;
    assert!(agent.enroll().await.verdict.is_success());
    send(&agent, "result", &[line(1)]).await;
    assert_eq!(numbers(&server.results()), [1]);
}

#[tokio::test]
async fn empty_batches_are_accepted_and_forget_nothing() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    send(&agent, "result", &[line(1)]).await;
    send(&agent, "result", &[]).await;
    send(&agent, "result", &[line(1)]).await;
    assert_eq!(numbers(&server.results()), [1]);
}

#[tokio::test]
async fn a_client_that_hangs_up_after_sending_is_kept_once_when_it_repeats() {
    const ROUNDS: usize = 40;
    let server = TestServer::with(|config| config.server.tls = false).await;
    let agent = server.enrolled(1).await;
    let mut kept_unheard = 0;
    for round in 0..ROUNDS {
        let lines: Vec<Value> = (round * 10..round * 10 + 10).map(line).collect();
        let body = log_body(&agent, "result", &lines);
        let mut raw = Raw::connect(&server.address.url).await;
        let length = body.len().to_string();
        let request = Raw::head("/api/v1/osquery/log", &[("Content-Length", &length)]) + &body;
        raw.write(request.as_bytes()).await;
        drop(raw);
        if round % 2 == 0 {
            // Half of the time the repeat comes when the first is through, the other half while it is under way.
            let is_kept = async || (KeptLines::read(&server.results()).total() > round * 10).then_some(());
            if tokio::time::timeout(Duration::from_millis(200), eventually("kept", Duration::from_secs(9), is_kept))
                .await
                .is_ok()
            {
                kept_unheard += 1;
            }
        }
        send(&agent, "result", &lines).await;
    }
    eprintln!("{kept_unheard} of {} batches were kept although the client had hung up", ROUNDS / 2);
    assert!(kept_unheard > 0, "no batch of a client that hung up was kept, so its repeats were never put to the test");
    let kept = KeptLines::read(&server.results());
    assert_eq!(kept.total(), ROUNDS * 10);
    assert!((0..ROUNDS * 10).all(|n| kept.count(&line(n).to_string()) == 1));
}
