use std::collections::BTreeSet;
use std::time::Duration;

use agent_compat::TestAgent;
use muster_api::rest::{LiveQuery, LiveStatus};
use serde_json::json;

use super::Two;
use crate::live::{answers, change, counts, hosts, job, start};
use crate::support::TestServer;

const HOSTS: u32 = 300;
const RATE: u32 = 50;

/// All agents check in at one moment, each at one of the servers: they ask, and answer if `answers`.
async fn all_check_in(servers: &[&TestServer], agents: &mut Vec<TestAgent>, answers: bool) {
    let mut working = tokio::task::JoinSet::new();
    for (n, mut agent) in std::mem::take(agents).into_iter().enumerate() {
        servers[n % servers.len()].address.draw(&mut agent);
        working.spawn(async move {
            if answers {
                agent.distributed().await;
            } else {
                agent.read().await;
            }
            (n, agent)
        });
    }
    let mut done = working.join_all().await;
    done.sort_by_key(|(n, _)| *n);
    agents.extend(done.into_iter().map(|(_, agent)| agent));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_holds_for_both_servers_and_neither_a_pause_nor_a_killed_server_costs_a_target() {
    let two = Two::start().await;
    let mut agents = hosts(&two.a, HOSTS).await;
    let request = json!({ "query": "SELECT 1", "targets": { "all": true }, "rate": RATE });
    let id = start(&two.a, request).await.id;
    let given = |hosts: u32| move |job: &LiveQuery| job.rate == RATE && job.given == u64::from(hosts);
    two.both(id, "both have it", given(0)).await;

    all_check_in(&two.servers(), &mut agents, true).await;
    two.both(id, "as many as in one second are asked", given(RATE)).await;
    assert_eq!(counts(&two.b, id).await.answered, u64::from(RATE));
    two.a.clock.advance(Duration::from_secs(1));
    all_check_in(&two.servers(), &mut agents, false).await;
    two.both(id, "and once more", given(2 * RATE)).await;

    let paused = change(&two.b, id, "pause", json!({})).await;
    assert!(paused.paused, "{paused:?}");
    two.a.clock.advance(Duration::from_secs(5));
    all_check_in(&two.servers(), &mut agents, true).await;
    two.both(id, "nobody else is asked, and who has the query answers", |job| {
        job.paused && job.given == u64::from(2 * RATE) && job.counts.answered == job.given
    })
    .await;

    let resumed = change(&two.a, id, "resume", json!({})).await;
    assert!(!resumed.paused && resumed.rate == RATE, "{resumed:?}");
    two.both(id, "both go on", |job| !job.paused).await;
    all_check_in(&two.servers(), &mut agents, false).await;
    two.both(id, "others are asked", given(3 * RATE)).await;
    let Two { a, b, redis } = two;
    drop(b);
    // The first time those answer that have the query.
    for _ in 0..4 {
        all_check_in(&[&a], &mut agents, true).await;
        a.clock.advance(Duration::from_secs(1));
    }
    let over = job(&a, id).await;
    assert_eq!((over.status, over.counts.answered), (LiveStatus::Complete, u64::from(HOSTS)), "{over:?}");
    let answers = answers(&a, id, 0).await;
    let hosts: BTreeSet<i64> = answers.iter().map(|answer| answer.host_id).collect();
    assert_eq!((answers.len(), hosts.len()), (HOSTS as usize, HOSTS as usize), "each host once");
    drop(redis);
}

/// Whoever makes a job anew after Redis was emptied sets its pace again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_job_stays_paused_when_redis_was_emptied() {
    let mut two = Two::start().await;
    let mut agents = hosts(&two.a, 2).await;
    let id = start(&two.a, json!({ "query": "SELECT 1", "targets": { "all": true } })).await.id;
    change(&two.a, id, "pause", json!({})).await;
    two.both(id, "it is paused", |job| job.paused).await;
    two.redis.restart().await;
    for server in two.servers() {
        // Everybody reads the rows, and one of them makes it anew.
        server.run_tasks().await;
    }
    two.both(id, "it is paused still", |job| job.paused).await;
    all_check_in(&two.servers(), &mut agents, true).await;
    two.both(id, "nobody is asked", |job| job.given == 0).await;
    change(&two.b, id, "resume", json!({})).await;
    two.both(id, "both go on", |job| !job.paused).await;
    all_check_in(&two.servers(), &mut agents, true).await;
    two.both(id, "all are asked", |job| job.status == LiveStatus::Complete && job.counts.answered == 2).await;
}
