use agent_compat::agent::AgentEndpoint;
use muster_api::rest::{LiveQueryEnvelope, LiveStatus};
use serde_json::json;

use super::large_answer;
use crate::checkin::settle;
use crate::live::{answers, ask, counts, hosts, job, results_file};
use crate::support::{Rest, ServerSetup, TestServer, assert_refused, skipped_with_redis};

const HOSTS: u32 = 6;

/// Every body may be in memory at one time, and of each what is kept of it; the rest is room for what an allocator keeps.
const MAX_GROWTH: u64 = (HOSTS as u64 * (10 + 8) + 64) << 20;

/// Rows of each answer.
const ROWS: usize = 10 << 20;

#[tokio::test]
async fn many_large_answers_at_once_take_as_much_memory_as_the_bounds_allow() {
    if skipped_with_redis("it is about the files of the embedded bus") {
        return;
    }
    let setup = ServerSetup::new(&[
        "server_tls=false",
        "osquery_max_distributed_write_body=16MiB",
        "osquery_max_bodies_in_flight=192MiB",
        "live_max_answer=8MiB",
        "osquery_answer_timeout=15s",
    ]);
    let mut server = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    let mut agents = Vec::new();
    for index in 0..HOSTS {
        let mut agent = setup.address().enrolled(index).await;
        settle(&mut agent).await;
        agents.push(agent);
    }
    let asked = rest.post("live_queries", &json!({ "query": "SELECT 1", "targets": { "all": true } })).await;
    let id = asked.read::<LiveQueryEnvelope>().live_query.id;
    let mut bodies = Vec::new();
    for agent in &agents {
        agent.raw(AgentEndpoint::DistributedRead, json!({ "node_key": agent.node_key() }).to_string(), &[]).await;
        bodies.push(bytes::Bytes::from(large_answer(id, agent.node_key(), ROWS)));
    }

    let before = server.peak_bytes();
    let sending = agents.iter().zip(&bodies).map(async |(agent, body)| {
        let first = agent.raw(AgentEndpoint::DistributedWrite, body.clone(), &[]).await;
        assert!(first.verdict.is_success(), "{first:?}");
    });
    futures_util::future::join_all(sending).await;
    let growth = server.peak_bytes() - before;
    eprintln!("resident memory: {} MiB before, {} MiB more at most", before >> 20, growth >> 20);
    assert!(growth < MAX_GROWTH, "resident memory grew by {} MiB", growth >> 20);

    assert!(server.is_running());
    let done = rest.read::<LiveQueryEnvelope>(&format!("live_queries/{id}")).await.live_query;
    assert_eq!(done.status, LiveStatus::Complete);
    assert_eq!((done.counts.answered, done.counts.truncated), (u64::from(HOSTS), u64::from(HOSTS)));
    let kept = std::fs::metadata(results_file(&setup.folder().join("live"), id).unwrap()).unwrap().len();
    assert!((u64::from(HOSTS) * (6 << 20)..u64::from(HOSTS) * (9 << 20)).contains(&kept), "{kept} bytes are kept");
}

/// What cannot be kept is refused once, as the next time it may; then it is only counted.
#[tokio::test]
async fn no_agent_is_refused_twice_in_a_row() {
    if skipped_with_redis("it is about the files of the embedded bus") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with(|config| config.live.dir = Some(folder.path().to_owned())).await;
    let agents = hosts(&server, 1).await;
    let agent = &agents[0];
    let mut refusals = Vec::new();
    for _ in 0..2 {
        let id = ask(&server, "SELECT 1").await.id;
        agent.raw(AgentEndpoint::DistributedRead, json!({ "node_key": agent.node_key() }).to_string(), &[]).await;
        // Nothing can be appended to it any more.
        std::fs::remove_file(results_file(folder.path(), id).unwrap()).unwrap();
        let body = large_answer(id, agent.node_key(), ROWS);
        let first = agent.raw(AgentEndpoint::DistributedWrite, body.clone(), &[]).await;
        assert_refused(&first, "it cannot be kept");
        let second = agent.raw(AgentEndpoint::DistributedWrite, body, &[]).await;
        assert!(second.verdict.is_success(), "{second:?}");
        let of = counts(&server, id).await;
        assert_eq!((of.answered, of.truncated), (1, 1), "its rows are lost, and that is said");
        assert_eq!(job(&server, id).await.status, LiveStatus::Complete);
        refusals.extend([first.status(), second.status()]);
    }
    assert_eq!(refusals, [503, 200, 503, 200]);
    // What comes after is as ever.
    let id = ask(&server, "SELECT 1 AS one").await.id;
    agent.raw(AgentEndpoint::DistributedRead, json!({ "node_key": agent.node_key() }).to_string(), &[]).await;
    let last = agent.raw(AgentEndpoint::DistributedWrite, large_answer(id, agent.node_key(), ROWS), &[]).await;
    assert!(last.verdict.is_success(), "{last:?}");
    assert!(answers(&server, id, 0).await[0].truncated);
}
