use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::fleet::{Fleet, Front};
use super::invariants::{Doubled, check};
use super::{AGENTS, RECOVERED_WITHIN, cluster_permit};
use crate::support::Rest;

/// How often the load balancer asks servers how they are, and how many answers in a row it takes to be believed.
const ASKS_EVERY: Duration = Duration::from_millis(200);
const BELIEVES: u32 = 2;

/// Asks servers as load balancers do, and sends requests to those that are well.
pub async fn balance(rest: [Rest; 2], front: Arc<Front>) {
    let mut rounds = tokio::time::interval(ASKS_EVERY);
    let mut differs = [0; 2];
    loop {
        rounds.tick().await;
        for (server, rest) in rest.iter().enumerate() {
            let answered = rest.getting("/healthz").timeout(ASKS_EVERY * 5).send().await;
            let is_well = answered.is_ok_and(|response| response.status().is_success());
            if is_well == front.has(server) {
                differs[server] = 0;
                continue;
            }
            differs[server] += 1;
            if differs[server] == BELIEVES {
                front.set(server, is_well);
                differs[server] = 0;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_restarted_one_after_the_other_are_not_missed() {
    let _permit = cluster_permit().await;
    let mut cluster = Cluster::start(&["server_drain=2s"]).await;
    let fleet = Fleet::start(&cluster, *AGENTS).await;
    let balancer = tokio::spawn(balance(cluster.rest.clone(), Arc::clone(&fleet.front)));
    fleet.book.take();
    for server in [0, 1] {
        let began = Instant::now();
        let mut stopping = cluster.servers[server].take().unwrap();
        stopping.signal("TERM");
        let ended = stopping.ended(Duration::from_secs(15)).await;
        assert!(ended.success(), "{ended}: {}", stopping.said());
        eprintln!("server {server} stopped within {:?}", began.elapsed());
        assert!(!fleet.front.has(server), "the load balancer knows");
        fleet.all_succeed("all agents go on with one server", RECOVERED_WITHIN).await;
        cluster.start_again(server).await;
        crate::support::eventually("the load balancer uses it again", RECOVERED_WITHIN, async || {
            fleet.front.has(server).then_some(())
        })
        .await;
        fleet.all_succeed("all agents go on with both", RECOVERED_WITHIN).await;
    }
    let page = fleet.book.take();
    eprintln!("rolling restart: {page}");
    page.assert_undisturbed();
    check("rolling restart", &cluster, fleet, 0, Doubled::InDoubt).await;
    balancer.abort();
}
