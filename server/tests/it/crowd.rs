//! Many agents have much to say at one time, as after an outage.

use std::time::{Duration, Instant};

use agent_compat::agent::AgentEndpoint;
use muster::config::Bytes;

use crate::support::{KeptLines, Ledger, Raw, TestServer, assert_refused, log_body};

/// However little room there is for bodies, each wave must bring some of them through.
#[tokio::test]
async fn large_bodies_beyond_the_room_for_them_get_through_in_turn() {
    const AGENTS: u32 = 24;
    const LINES: usize = 20;
    let server = TestServer::with(|config| {
        config.server.tls = false;
        config.osquery.max_log_body = Bytes::mib(8);
        config.osquery.max_log_inflated = Bytes::mib(8);
        config.osquery.max_bodies_in_flight = Bytes::mib(12);
        config.osquery.max_log_in_flight = Bytes::mib(12);
    })
    .await;
    let ledger = Ledger::default();
    let mut agents = Vec::new();
    for index in 0..AGENTS {
        let mut agent = server.enrolled(index).await;
        agent.agent_mut().observe(Box::new(ledger.clone()));
        for line in 0..LINES {
            agent.push_result_line(format!(r#"{{"agent":{index},"line":{line},"pad":"{}"}}"#, "x".repeat(100_000)));
        }
        agents.push(agent);
    }
    let start = Instant::now();
    let mut waves = Vec::new();
    while ledger.results().total() < AGENTS as usize * LINES {
        let answers = futures_util::future::join_all(agents.iter_mut().map(|agent| agent.flush_logs())).await;
        let (mut accepted, mut refused) = (0, 0);
        for exchange in answers.iter().flatten() {
            if exchange.verdict.is_success() {
                accepted += 1;
            } else {
                refused += 1;
                assert_refused(exchange, "a body beyond the room");
            }
        }
        waves.push((accepted, refused));
        assert!(accepted > 0, "nobody got through in a wave: {waves:?}");
        assert!(start.elapsed() < Duration::from_secs(60), "{waves:?}");
    }
    eprintln!("{AGENTS} agents with 2 MiB each: (accepted, refused) by wave {waves:?}, {:?}", start.elapsed());
    assert_eq!(KeptLines::read(&server.results()), ledger.results());
}

/// Room for a body is taken at once, so that of two that do not fit together one is complete first.
#[tokio::test]
async fn bodies_of_which_half_has_come_are_not_refused_for_each_other() {
    const LENGTH: usize = 1 << 20;
    let server = TestServer::with(|config| {
        config.server.tls = false;
        config.osquery.max_bodies_in_flight = Bytes(LENGTH);
    })
    .await;
    let agents = [server.enrolled(1).await, server.enrolled(2).await];
    let mut uploads = Vec::new();
    for agent in &agents {
        let (front, end) = (
            "{\"data\":[{\"pad\":\"",
            format!("\"}}],\"log_type\":\"result\",\"node_key\":\"{}\"}}", agent.node_key()),
        );
        let body = format!("{front}{}{end}", "x".repeat(LENGTH - front.len() - end.len()));
        let mut raw = Raw::connect(&server.address.url).await;
        let head = Raw::head("/api/v1/osquery/log", &[("Content-Length", &body.len().to_string())]);
        let (first, second) = body.split_at(LENGTH / 2);
        assert!(raw.write((head + first).as_bytes()).await);
        uploads.push((raw, second.to_owned()));
    }
    // What was sent before has been read when another request, sent later, has been answered.
    assert_eq!(server.rest.get("/healthz").await.status, 200);
    let answers = uploads.iter_mut().map(async |(raw, second)| {
        raw.write(second.as_bytes()).await;
        raw.answer().await
    });
    for exchange in futures_util::future::join_all(answers).await {
        assert!(exchange.verdict.is_success(), "{exchange:?}");
    }
}

/// A client that announces much and sends little does not keep its room.
#[tokio::test]
async fn a_body_that_comes_too_slowly_gives_its_room_back() {
    let server = TestServer::with(|config| {
        config.server.tls = false;
        config.osquery.max_bodies_in_flight = Bytes::mib(1);
    })
    .await;
    let mut stalled = Raw::connect(&server.address.url).await;
    let head = Raw::head("/api/v1/osquery/log", &[("Content-Length", "1048576")]);
    assert!(stalled.write((head + &" ".repeat(100_000)).as_bytes()).await);
    let exchange = stalled.answer().await;
    assert_refused(&exchange, "a body that stalls");
    assert_eq!(exchange.status(), 408);
    assert_eq!(server.metric(r#"muster_limit_hits_total{limit="body_pace""#).await, 1.0);
}

/// Anybody can announce much and send little.
#[tokio::test]
async fn unknown_senders_that_stall_do_not_keep_out_an_agent_that_shows_its_key_first() {
    const STALLED: usize = 16;
    let server = TestServer::with(|config| {
        config.server.tls = false;
        config.osquery.max_log_body = Bytes::mib(16);
        config.osquery.max_log_inflated = Bytes::mib(16);
        config.osquery.max_distributed_write_body = Bytes::mib(16);
        config.osquery.max_bodies_in_flight = Bytes::mib(64);
    })
    .await;
    let agent = server.enrolled(1).await;
    let mut stalled = Vec::new();
    for _ in 0..STALLED {
        let mut raw = Raw::connect(&server.address.url).await;
        let head = Raw::head("/api/v1/osquery/log", &[("Content-Length", &Bytes::mib(16).0.to_string())]);
        assert!(raw.write((head + &" ".repeat(100_000)).as_bytes()).await);
        stalled.push(raw);
    }
    // What was sent before has been read when another request, sent later, has been answered.
    assert_eq!(server.rest.get("/healthz").await.status, 200);
    let line = serde_json::json!({ "pad": "x".repeat(10 << 20) });
    let header = format!("NodeKey {}", agent.node_key());
    let body = log_body(&agent, "result", &[line]);
    let exchange = agent.raw(AgentEndpoint::Log, body, &[("Authorization", &header)]).await;
    assert!(exchange.verdict.is_success(), "{exchange:?}");
    for raw in &mut stalled {
        assert_refused(&raw.answer().await, "a body that stalls");
    }
    assert!(server.metric(r#"muster_limit_hits_total{limit="unknown_bodies""#).await > 0.0);
}
