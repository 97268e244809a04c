use agent_compat::Carver;

use super::{archive, assert_kept, begun, contents, shown};
use crate::support::TestServer;

/// Each request may go to another server; they share the database and the folder.
#[tokio::test]
async fn servers_that_share_the_folder_take_a_carve_together() {
    let one = TestServer::start().await;
    let dir = one.folder().join("carves");
    let other = TestServer::beside_with(&one, |config| config.carves.dir = Some(dir)).await;
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
    let dir = one.folder().join("carves");
    let other = TestServer::beside_with(&one, |config| config.carves.dir = Some(dir)).await;
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
