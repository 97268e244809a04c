use std::time::Duration;

use muster_api::rest::LiveStatus;

use super::{SOON, Two};
use crate::live::campaigns::campaign;
use crate::live::sockets::Socket;
use crate::live::{hosts, job};
use crate::support::eventually;

/// Microseconds until the campaign ends unless somebody watches it.
fn left(two: &Two) -> i64 {
    two.a.number("SELECT watched_until FROM live_queries") - two.a.clock.now().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_campaign_goes_on_while_it_is_watched_at_any_server() {
    let two = Two::start().await;
    let mut agents = hosts(&two.a, 2).await;
    let uuids: Vec<String> = agents.iter().map(|agent| agent.agent().identity().uuid.clone()).collect();
    let id = campaign(&two.a, &uuids).await;
    let mut here = Socket::watch(&two.a, id).await;
    let mut there = Socket::watch(&two.b, id).await;
    here.next().await;
    there.next().await;
    agents[0].distributed().await;
    while there.next().await["type"] != "result" {}
    drop(here);
    eventually("the first gives its lease back", SOON, async || (left(&two) < 20_000_000).then_some(())).await;
    eventually("the other renews it", SOON, async || (left(&two) > 30_000_000).then_some(())).await;
    two.a.clock.advance(Duration::from_secs(20));
    for server in two.servers() {
        server.run_tasks().await;
        assert_eq!(job(server, id).await.status, LiveStatus::Open, "it is watched");
    }
    drop(there);
    eventually("the other gives it back", SOON, async || (left(&two) <= 5_000_000).then_some(())).await;
    two.a.clock.advance(Duration::from_secs(6));
    two.both(id, "it ends", |job| job.status == LiveStatus::Cancelled && job.counts.answered == 1).await;
}
