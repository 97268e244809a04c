use agent_compat::Carver;

use super::{archive, assert_given_up, assert_kept, assert_not_kept, begun, contents, shown};
use crate::support::TestServer;

/// Each request may go to another server; they share the database and the folder.
#[tokio::test]
async fn servers_that_share_the_folder_take_a_carve_together() {
    let one = TestServer::start().await;
    let other = TestServer::beside(&one).await;
    let mut agent = one.enrolled(1).await;
    let carver = Carver::numbered(1, 1_000, archive(9_500));
    let session = begun(&carver, &agent).await;
    for block in 0..10 {
        let server = if block % 2 == 0 { &other } else { &one };
        server.address.draw(&mut agent);
        assert_kept(&carver.block(&agent, &session, block).await);
        assert_kept(&carver.block(&agent, &session, block).await);
    }
    for server in [&one, &other] {
        assert_eq!(shown(server, 1).await["status"], "complete");
        assert!(contents(server, 1).await == carver.contents);
    }
}

/// The same block at the same time, at both servers, with the same and with other bytes: one of them is kept, as a whole.
#[tokio::test]
async fn blocks_that_come_twice_at_one_time_are_kept_once() {
    let one = TestServer::start().await;
    let other = TestServer::beside(&one).await;
    let agent = one.enrolled(1).await;
    let mut elsewhere = one.enrolled(2).await;
    other.address.draw(&mut elsewhere);
    let carver = Carver::numbered(1, 50_000, archive(250_000));
    let session = begun(&carver, &agent).await;
    let turned = Carver { contents: vec![7; 250_000], ..carver.clone() };
    for block in 0..5 {
        let (first, second) = tokio::join!(carver.block(&agent, &session, block), async {
            let body = turned.block_body(&session, block);
            let endpoint = agent_compat::agent::AgentEndpoint::Log;
            let no_header = [("Authorization", "Bearer nothing")];
            elsewhere.post("/api/v1/osquery/carve/block", endpoint, body, &no_header).await
        });
        let kept = [first.status(), second.status()];
        assert!(kept == [200, 400] || kept == [400, 200], "{first:?} {second:?}");
    }
    assert_eq!(shown(&one, 1).await["status"], "complete");
    let contents = contents(&one, 1).await;
    let is_of_one = |at: usize| {
        let range = at * 50_000..(at + 1) * 50_000;
        contents[range.clone()] == carver.contents[range.clone()] || contents[range.clone()] == turned.contents[range]
    };
    assert!((0..5).all(is_of_one));
}

/// Each node has a folder of its own, which nobody wanted: blocks that come to the wrong one are refused, not scattered.
#[tokio::test]
async fn blocks_that_come_to_a_node_with_another_folder_are_refused() {
    let one = TestServer::start().await;
    let dir = one.folder().join("of-the-other");
    let other = TestServer::beside_with(&one, |config| config.carves.dir = Some(dir)).await;
    let mut agent = one.enrolled(1).await;
    let carver = Carver::numbered(1, 1_000, archive(2_500));
    let session = begun(&carver, &agent).await;
    assert_kept(&carver.block(&agent, &session, 0).await);
    other.address.draw(&mut agent);
    assert_not_kept(&carver.block(&agent, &session, 1).await, 503, "cannot be written");
    // Where one of them does the work of the leader, it removes nothing of the other's.
    one.run_tasks().await;
    other.run_tasks().await;
    one.address.draw(&mut agent);
    for block in 1..3 {
        assert_kept(&carver.block(&agent, &session, block).await);
    }
    assert!(contents(&one, 1).await == carver.contents);
    assert_eq!(other.rest.get("carves/1/contents").await.status, 503);
}

/// With MySQL there may be other nodes, so nobody takes carves before operators have named a place for all of them.
#[tokio::test]
async fn servers_on_mysql_need_a_place_that_is_named() {
    let server = TestServer::with(|config| {
        if !crate::support::mariadb::is_chosen() {
            crate::support::on_mariadb(config, crate::support::mariadb::shared());
        }
        config.carves.dir = None;
    })
    .await;
    let agent = server.enrolled(1).await;
    assert_given_up(&Carver::numbered(1, 10, archive(35)).begin(&agent).await, "set carves.dir to a folder");
    server.run_tasks().await;
    assert_eq!(server.rest.read::<serde_json::Value>("carves").await["carves"], serde_json::json!([]));
}
