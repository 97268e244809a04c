use std::time::Duration;

use agent_compat::TestAgent;
use muster_api::rest::{LiveQuery, LiveStatus};
use serde_json::json;

use super::Two;
use crate::live::canaries::{Served, answer};
use crate::live::{change, hosts, job, start};

const HOSTS: u32 = 40;
const CANARIES: u64 = 6;

fn waits(job: &LiveQuery) -> bool {
    job.canaries.is_some_and(|canaries| canaries.until.is_some())
}

/// Every agent asks both servers for work.
async fn ask_both(two: &Two, served: &mut Served, agents: &mut [TestAgent], id: i64) {
    for server in two.servers() {
        agents.iter_mut().for_each(|agent| server.address.draw(agent));
        served.ask(agents, id).await;
    }
}

async fn two() -> Two {
    Two::with(|config| config.live.cpu_budget = Duration::from_secs(1)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neither_server_gives_a_heavy_query_to_a_host_that_is_no_canary() {
    let mut two = two().await;
    let mut agents = hosts(&two.a, HOSTS).await;
    let request = json!({ "query": "SELECT 1", "targets": { "all": true }, "canaries": CANARIES });
    let id = start(&two.a, request).await.id;
    two.both(id, "both have it", waits).await;
    let mut served = Served::default();
    ask_both(&two, &mut served, &mut agents, id).await;
    assert_eq!(served.count(), CANARIES, "{served:?}");

    // Whoever makes the job anew after Redis was emptied has the others wait as before.
    two.redis.restart().await;
    for server in two.servers() {
        server.run_tasks().await;
    }
    two.both(id, "they wait still", waits).await;
    ask_both(&two, &mut served, &mut agents, id).await;
    assert_eq!(served.count(), CANARIES, "{served:?}");

    let canaries: Vec<usize> = served.all().collect();
    two.a.address.draw(&mut agents[canaries[0]]);
    answer(&mut agents[canaries[0]], id, 2_000).await;
    two.b.address.draw(&mut agents[canaries[1]]);
    answer(&mut agents[canaries[1]], id, 3_000).await;
    let is_stopped = |job: &LiveQuery| {
        job.status == LiveStatus::Stopped
            && job.stop_reason.as_deref().is_some_and(|reason| reason.contains("CPU time"))
    };
    two.both(id, "both stop", is_stopped).await;
    ask_both(&two, &mut served, &mut agents, id).await;
    assert_eq!(served.count(), CANARIES, "{served:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_others_follow_on_both_servers_once_and_a_killed_leader_changes_nothing() {
    let two = two().await;
    let mut agents = hosts(&two.a, HOSTS).await;
    let request = json!({ "query": "SELECT 1", "targets": { "all": true }, "canaries": CANARIES });
    let id = start(&two.b, request.clone()).await.id;
    two.both(id, "both have it", waits).await;
    let mut served = Served::default();
    ask_both(&two, &mut served, &mut agents, id).await;
    for position in served.all() {
        answer(&mut agents[position], id, 10).await;
    }
    two.both(id, "the others may follow", |job| !waits(job)).await;
    assert_eq!(two.a.number("SELECT count(*) FROM activities WHERE kind = 'live_query_canaries_passed'"), 1);

    // The next one passes its canaries while one server is left.
    let next = start(&two.b, request).await.id;
    two.both(next, "both have it", waits).await;
    let mut of_next = Served::default();
    ask_both(&two, &mut of_next, &mut agents, next).await;
    assert_eq!(of_next.count(), CANARIES, "{of_next:?}");
    let Two { a, b, redis } = two;
    drop(a);
    agents.iter_mut().for_each(|agent| b.address.draw(agent));
    for position in of_next.all() {
        answer(&mut agents[position], next, 10).await;
    }
    crate::support::eventually("the server that is left lets them follow", super::SOON, async || {
        b.clock.advance(Duration::from_secs(1));
        b.run_tasks().await;
        (!waits(&job(&b, next).await)).then_some(())
    })
    .await;
    for agent in &mut agents {
        agent.distributed().await;
        b.clock.advance(Duration::from_millis(1));
    }
    for id in [id, next] {
        let over = job(&b, id).await;
        assert_eq!((over.status, over.counts.answered), (LiveStatus::Complete, u64::from(HOSTS)), "{over:?}");
    }
    drop(redis);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_lets_others_follow_at_either_server() {
    let two = two().await;
    let mut agents = hosts(&two.a, HOSTS).await;
    let request = json!({ "query": "SELECT 1", "targets": { "all": true }, "canaries": CANARIES });
    let id = start(&two.a, request).await.id;
    two.both(id, "both have it", waits).await;
    change(&two.b, id, "promote", json!({})).await;
    two.both(id, "both let them follow", |job| !waits(job)).await;
    let mut served = Served::default();
    ask_both(&two, &mut served, &mut agents, id).await;
    assert_eq!(served.count(), u64::from(HOSTS));
}
