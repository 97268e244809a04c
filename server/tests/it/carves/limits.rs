use agent_compat::Carver;
use muster::config::Bytes;

use super::{SENT, archive, assert_given_up, assert_not_kept, begun};
use crate::support::TestServer;

#[tokio::test]
async fn a_carve_over_a_limit_is_given_up_at_its_beginning() {
    let server = TestServer::with(|config| {
        config.carves.max_size = Bytes(1_000);
        config.carves.max_host_bytes = Bytes(1_500);
        config.carves.max_total_bytes = Bytes(2_000);
        config.carves.max_block_size = Bytes(100);
        config.carves.max_blocks = 50;
    })
    .await;
    let agents = [server.enrolled(1).await, server.enrolled(2).await, server.enrolled(3).await];
    let carver = |number, block_size, bytes| Carver::numbered(number, block_size, archive(bytes));
    assert_given_up(&carver(1, 101, 500).begin(&agents[0]).await, "carves.max_block_size");
    assert_given_up(&carver(1, 5, 500).begin(&agents[0]).await, "carves.max_blocks");
    assert_given_up(&carver(1, 100, 1_001).begin(&agents[0]).await, "carves.max_size");
    assert_eq!(carver(1, 100, 1_000).send(&agents[0]).await, SENT);
    // What has only begun counts, too.
    begun(&carver(2, 100, 500), &agents[0]).await;
    assert_given_up(&carver(3, 100, 1).begin(&agents[0]).await, "carves.max_host_bytes");
    assert_given_up(&carver(4, 100, 501).begin(&agents[1]).await, "carves.max_total_bytes");
    begun(&carver(4, 100, 500), &agents[1]).await;
    assert_given_up(&carver(5, 100, 1).begin(&agents[2]).await, "carves.max_total_bytes");
    // A carve that begins again takes its own room.
    begun(&carver(4, 100, 400), &agents[1]).await;
    begun(&carver(5, 100, 100), &agents[2]).await;
    assert_eq!(server.number("SELECT CAST(SUM(held_bytes) AS SIGNED) FROM carves"), 2_000);
    // Deleting makes room at once.
    let id = server.number("SELECT id FROM carves WHERE status = 'complete'");
    assert_eq!(server.rest.send("DELETE", &format!("carves/{id}"), None).await.status, 200);
    assert_eq!(carver(6, 100, 1_000).send(&agents[2]).await, SENT);
    for limit in ["max_block_size", "max_blocks", "max_size", "max_host_bytes", "max_total_bytes"] {
        assert!(server.metric(&format!("muster_limit_hits_total{{limit=\"carve_{limit}\"}}")).await >= 1.0, "{limit}");
    }
}

#[tokio::test]
async fn carves_that_only_begin_are_bounded() {
    let server = TestServer::with(|config| {
        config.carves.max_receiving = 3;
        config.carves.max_host_receiving = 2;
    })
    .await;
    let (agent, other) = (server.enrolled(1).await, server.enrolled(2).await);
    for number in 1..=2 {
        begun(&Carver::numbered(number, 100, archive(50)), &agent).await;
    }
    let third = Carver::numbered(3, 100, archive(50));
    assert_given_up(&third.begin(&agent).await, "carves.max_host_receiving");
    begun(&third, &other).await;
    // Others are to try again: carves end.
    assert_not_kept(&Carver::numbered(4, 100, archive(50)).begin(&other).await, 503, "carves.max_receiving");
    server.clock.advance(std::time::Duration::from_secs(16 * 60));
    server.run_tasks().await;
    assert_eq!(server.number("SELECT count(*) FROM carves WHERE status = 'failed' AND held_bytes = 0"), 3);
    assert_eq!(third.send(&other).await, SENT, "a carve that has failed may begin again");
}

#[tokio::test]
async fn a_server_may_take_no_carves_at_all() {
    let server = TestServer::with(|config| config.carves.max_receiving = 0).await;
    let agent = server.enrolled(1).await;
    let carver = Carver::numbered(1, 100, archive(50));
    assert_given_up(&carver.begin(&agent).await, "takes no carves");
    assert_eq!(server.number("SELECT count(*) FROM carves"), 0);
    assert_eq!(server.metric("muster_carves_total{outcome=\"refused\"}").await, 1.0);
}

/// Beginnings that come at one time are counted one after the other.
#[tokio::test]
async fn beginnings_at_one_time_do_not_share_the_last_room() {
    let server = TestServer::with(|config| {
        config.carves.max_size = Bytes(100);
        config.carves.max_host_bytes = Bytes(100);
        config.carves.max_total_bytes = Bytes(350);
        config.osquery.store_timeout = std::time::Duration::from_secs(8);
        config.sqlite.busy_timeout = std::time::Duration::from_secs(8);
    })
    .await;
    let mut agents = Vec::new();
    for index in 0..10 {
        agents.push(server.enrolled(index).await);
    }
    let begin = agents.iter().zip(1..).map(async |(agent, number)| {
        let carver = Carver::numbered(number, 100, archive(100));
        carver.begin(agent).await.status()
    });
    let statuses = futures_util::future::join_all(begin).await;
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 3, "{statuses:?}");
    assert_eq!(server.number("SELECT CAST(SUM(held_bytes) AS SIGNED) FROM carves"), 300);
}
