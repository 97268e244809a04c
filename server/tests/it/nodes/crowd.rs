//! Agents that come to any server with any request.

use std::sync::LazyLock;
use std::time::Duration;

use agent_compat::{TestAgent, Verdict};

use crate::checkin::{label, questions};
use crate::support::{KeptLines, Ledger, TestServer, count, deliver_all};

static AGENTS: LazyLock<u32> = LazyLock::new(|| count(40, 200));
const ROUNDS: u32 = 12;

/// Looks random and is the same every time.
fn pick(agent: u32, step: u32) -> usize {
    (u64::from(agent * 7919 + step).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % 2
}

#[tokio::test]
async fn hosts_that_pick_a_server_at_random_are_asked_once() {
    let one = TestServer::with(|config| {
        config.server.tls = false;
        config.osquery.enrolls_per_second = 10_000;
        config.osquery.enrolls_per_second_per_secret = 10_000;
    })
    .await;
    let other = TestServer::beside(&one).await;
    one.rest.apply(&[label("l", "SELECT 1")]).await;
    // Whoever is asked before is asked once more.
    one.clock.advance(Duration::from_secs(15));
    other.run_tasks().await;
    let servers = [&one, &other];
    let ledger = Ledger::default();
    let mut agents = Vec::new();
    for index in 0..*AGENTS {
        let mut agent = servers[pick(index, 0)].enrolled(index).await;
        agent.agent_mut().observe(Box::new(ledger.clone()));
        agents.push((index, agent, 0_u32, Vec::new()));
    }
    for hour in 1..=2_usize {
        for round in 0..ROUNDS {
            let work = agents.iter_mut().map(async |(index, agent, step, asked)| {
                let mut go = |agent: &mut TestAgent| {
                    *step += 1;
                    servers[pick(*index, *step)].address.draw(agent);
                };
                go(agent);
                assert!(agent.config().await.verdict.is_success());
                go(agent);
                agent.push_result_line(format!(r#"{{"agent":{index},"unixTime":{hour},"counter":{round}}}"#));
                // A server that is busy may refuse them in words; then they come again.
                assert!(agent.flush_logs().await[0].verdict != Verdict::NodeInvalid);
                go(agent);
                asked.extend(
                    agent.read().await.verdict.value().unwrap()["queries"].as_object().unwrap().keys().cloned(),
                );
                // The answers come to whichever server it is then.
                go(agent);
                let now_ms = agent.now_ms();
                if agent.agent_mut().run_live_queries(now_ms).is_some() {
                    assert!(agent.write([]).await.verdict.is_success());
                }
            });
            futures_util::future::join_all(work).await;
            one.run_tasks().await;
            other.run_tasks().await;
            one.clock.advance(Duration::from_secs(10));
        }
        for (index, _, _, asked) in &agents {
            let times = |name: &str| asked.iter().filter(|asked| *asked == name).count();
            let (details, labels) = (times("fleet_detail_query_uptime"), times("fleet_label_query_8"));
            assert_eq!((details, labels), (hour, hour), "host {index} in hour {hour}");
        }
        one.clock.advance(Duration::from_secs(2 * 3600));
    }
    for (index, agent, ..) in &mut agents {
        assert_eq!(agent.counters().node_invalid(), 0, "host {index}");
        assert!(questions(&agent.distributed().await).len() < 100);
    }
    assert_eq!(one.number("SELECT count(*) FROM hosts"), i64::from(*AGENTS));
    assert_eq!(one.number("SELECT count(*) FROM node_keys"), i64::from(*AGENTS), "nobody has enrolled again");
    assert_eq!(one.number("SELECT count(*) FROM parked_queries"), 0);
    let mut agents: Vec<TestAgent> = agents.into_iter().map(|(_, agent, ..)| agent).collect();
    deliver_all(&mut agents, Duration::from_secs(60)).await;
    let (here, there) = (KeptLines::read(&one.results()), KeptLines::read(&other.results()));
    assert_eq!(here.total() + there.total(), ledger.results().total());
    assert!(here.missing_in(&ledger.results()).is_empty() && there.missing_in(&ledger.results()).is_empty());
    assert!(here.total() > 0 && there.total() > 0);
}
