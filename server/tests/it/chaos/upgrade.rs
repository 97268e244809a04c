//! Servers of an older version are replaced while agents work. `make test-upgrade` builds the older one and runs these.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::fleet::Fleet;
use super::invariants::{Doubled, check};
use super::servers::balance;
use super::{AGENTS, RECOVERED_WITHIN, cluster_permit};
use crate::support::{Load, Rest, ServerSetup, eventually};

/// How long a key is kept after its last use. A server deletes it up to two minutes later.
const KEPT_FOR: &str = "osquery_old_key_grace=15s";

/// Long enough that a key whose uses were not written by one of the servers would be deleted.
const MIXED_FOR: Duration = Duration::from_secs(200);

fn old_server() -> PathBuf {
    std::env::var_os("MUSTER_OLD_SERVER").expect("MUSTER_OLD_SERVER names the program of an older server").into()
}

/// Each host has a second, younger key that was used once. The key that it uses must stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program of an older server: make test-upgrade"]
async fn servers_of_the_version_before_are_replaced_under_load() {
    let _permit = cluster_permit().await;
    let mut cluster = Cluster::start_by(Some(&old_server()), &["server_drain=2s", KEPT_FOR]).await;
    let fleet = Fleet::start(&cluster, *AGENTS).await;
    for index in 0..*AGENTS {
        let mut twin = cluster.address(0).enrolled(index).await;
        assert!(twin.config().await.verdict.is_success());
    }
    let balancer = tokio::spawn(balance(cluster.rest.clone(), Arc::clone(&fleet.front)));
    for server in [0, 1] {
        let mut old = cluster.servers[server].take().unwrap();
        old.signal("TERM");
        assert!(old.ended(Duration::from_secs(15)).await.success(), "{}", old.said());
        cluster.setups[server].run_by(None);
        if server == 0 {
            tokio::task::block_in_place(|| cluster.setups[server].prepare());
        }
        cluster.start_again(server).await;
        eventually("the load balancer uses the new server", RECOVERED_WITHIN, async || {
            fleet.front.has(server).then_some(())
        })
        .await;
        let since = Instant::now();
        let within = MIXED_FOR + RECOVERED_WITHIN;
        eventually("the servers have worked together", within, async || (since.elapsed() > MIXED_FOR).then_some(()))
            .await;
        fleet.all_succeed("all agents are at work", RECOVERED_WITHIN).await;
    }
    // Nobody deleted the key that is used. The younger one stays too: only an older key is replaced.
    let keys = cluster.number("SELECT count(*) FROM node_keys");
    assert_eq!(keys, 2 * i64::from(*AGENTS), "both keys of each host are there");
    check("upgrade", &cluster, fleet, 0, Doubled::InDoubt).await;
    balancer.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program of an older server: make test-upgrade"]
async fn a_server_on_sqlite_is_replaced_under_load() {
    let mut setup = ServerSetup::on_sqlite(&[KEPT_FOR]);
    setup.run_by(Some(&old_server()));
    let mut server = setup.start().await;
    Rest::new(&setup.address()).set_up().await;
    let load = Load::start((0..*AGENTS).map(|index| setup.address().agent(index)), 100);
    let goes_on = async |what: &str| {
        let rounds = load.rounds();
        eventually(what, RECOVERED_WITHIN, async || (load.rounds() > rounds + 50).then_some(())).await;
    };
    goes_on("agents work with the old server").await;
    server.signal("TERM");
    assert!(server.ended(Duration::from_secs(15)).await.success(), "{}", server.said());
    setup.run_by(None);
    let _server = setup.start().await;
    goes_on("agents work with the new server").await;
    let (agents, report, _) = load.finish().await;
    assert_eq!((report.node_invalid, report.empty), (0, 0), "{report:?}");
    for agent in &agents {
        assert_eq!(agent.counters().enrollments, 1);
    }
}
