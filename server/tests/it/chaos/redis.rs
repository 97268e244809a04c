use std::time::{Duration, Instant};

use serde_json::json;

use super::cluster::Cluster;
use super::fleet::Fleet;
use super::invariants::{Doubled, check};
use super::{AGENTS, RECOVERED_WITHIN, REFUSED_WITHIN, cluster_permit};
use crate::support::{Passage, eventually};

/// How many servers have Redis.
async fn up(cluster: &Cluster) -> f64 {
    cluster.metric("muster_redis_up ").await
}

async fn is_used(cluster: &Cluster, servers: f64) {
    eventually("the servers notice", RECOVERED_WITHIN, async || (up(cluster).await == servers).then_some(())).await;
}

/// Nobody notices but those who want to ask hosts something.
async fn endure(what: &str, cluster: &Cluster, fleet: &Fleet) {
    fleet.book.take();
    let asked = Instant::now();
    let request = json!({ "query": "SELECT 1", "targets": { "all": true }, "deadline_seconds": 60 });
    let answer = cluster.rest[0].post("live_queries", &request).await;
    eprintln!("{what}: a live query is answered {} after {:?}: {}", answer.status, asked.elapsed(), answer.text.trim());
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(asked.elapsed() < REFUSED_WITHIN);
    assert_eq!(cluster.rest[1].get("hosts").await.status, 200);
    assert_eq!(cluster.readiness(0).await.0, 200, "Redis is not needed");
    for _ in 0..3 {
        fleet.all_succeed("all agents go on without Redis", RECOVERED_WITHIN).await;
    }
    let page = fleet.book.take();
    eprintln!("{what}: {page}");
    page.assert_undisturbed();
    assert!(page.slowest() < REFUSED_WITHIN, "{page}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_live_queries_need_redis() {
    let _permit = cluster_permit().await;
    let mut cluster = Cluster::start(&[]).await;
    let fleet = Fleet::start(&cluster, *AGENTS).await;
    cluster.redis.kill();
    endure("Redis killed", &cluster, &fleet).await;
    is_used(&cluster, 0.0).await;
    cluster.redis.restart().await;
    let back = Instant::now();
    is_used(&cluster, 2.0).await;
    eprintln!("Redis killed: used again after {:?}", back.elapsed());
    // Over before the next fault: who owes an answer is refused once.
    cluster.ask(0, 60).await.is_complete("Redis killed, asked anew", &cluster).await;

    for (what, passage) in
        // A little more than `redis.read_timeout`, so that no answer comes in the last moment.
        [("Redis silent", Passage::Frozen), ("Redis 1 s slower", Passage::Slow(Duration::from_millis(1_200)))]
    {
        cluster.redis_way.set(passage);
        endure(what, &cluster, &fleet).await;
        cluster.redis_way.set(Passage::Open);
        is_used(&cluster, 2.0).await;
    }
    let page = fleet.book.take();
    page.assert_undisturbed();
    check("Redis away", &cluster, fleet, 0, Doubled::InDoubt).await;
}

/// Nothing remembers then which batches the dead server had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_without_redis_doubles_only_what_was_under_way() {
    let _permit = cluster_permit().await;
    let mut cluster = Cluster::start(&[]).await;
    let fleet = Fleet::start(&cluster, *AGENTS).await;
    cluster.redis_way.set(Passage::Cut);
    is_used(&cluster, 0.0).await;
    for server in [1, 0] {
        fleet.all_succeed("all agents go on", RECOVERED_WITHIN).await;
        cluster.kill(server);
        fleet.all_succeed("all agents go on with one server", RECOVERED_WITHIN).await;
        cluster.start_again(server).await;
    }
    fleet.all_succeed("all agents go on", RECOVERED_WITHIN).await;
    cluster.redis_way.set(Passage::Open);
    is_used(&cluster, 2.0).await;
    let page = fleet.book.take();
    eprintln!("servers killed without Redis: {page}");
    assert!(page.refused.is_empty() && page.wrong.is_empty(), "{page}: {:?} {:?}", page.refused, page.wrong);
    check("servers killed without Redis", &cluster, fleet, 0, Doubled::InFlight).await;
}
