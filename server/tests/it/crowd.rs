//! Many agents have much to say at one time, as after an outage.

use std::time::{Duration, Instant};

use muster::config::Bytes;

use crate::support::{KeptLines, Ledger, TestServer, assert_refused};

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
