use std::time::Duration;

use agent_compat::Carver;
use serde_json::{Value, json};

use super::{SENT, archive, assert_kept, assert_not_kept, begun, folders, shown};
use crate::support::TestServer;

#[tokio::test]
async fn a_carve_whose_blocks_stop_coming_fails_and_shows_what_is_missing() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let carver = Carver::numbered(1, 10, archive(95));
    let session = begun(&carver, &agent).await;
    for block in [0, 1, 4] {
        server.clock.advance(Duration::from_secs(14 * 60));
        server.run_tasks().await;
        assert_kept(&carver.block(&agent, &session, block).await);
    }
    server.clock.advance(Duration::from_secs(15 * 60 + 1));
    server.run_tasks().await;
    let carve = shown(&server, 1).await;
    assert_eq!(carve["status"], "failed");
    let error = "no block has come for 15 minutes: 3 of 10 are here, the first that is missing is 2";
    assert_eq!(carve["error"], error);
    assert_not_kept(&carver.block(&agent, &session, 2).await, 400, "it is failed");
    assert_kept(&carver.block(&agent, &session, 4).await);
    // What has come may be looked at, block by block.
    assert_eq!(server.rest.read::<Value>("carves/1/block/4").await, json!({ "data": "2PcWNVRzkrHQ7w==" }).clone());
    let answer = server.rest.get("carves/1/block/2").await;
    assert_eq!((answer.status, answer.problems()), (422, vec!["block_id: block 2 not yet available".to_owned()]));
    let answer = server.rest.get("carves/1/contents").await;
    assert_eq!(
        (answer.status, answer.problems()),
        (422, vec!["id: the carve is not complete: it is failed".to_owned()])
    );
}

/// A carve counts with its whole size, so that a host which sends a block now and then would keep others out.
#[tokio::test]
async fn a_carve_whose_blocks_drip_gives_its_room_back() {
    let server = TestServer::start().await;
    let (agent, other) = (server.enrolled(1).await, server.enrolled(2).await);
    let dripping = Carver::numbered(1, 10, archive(10_000));
    let steady = Carver::numbered(2, 10, archive(100));
    let (slow, well) = (begun(&dripping, &agent).await, begun(&steady, &other).await);
    for block in 0..2 {
        server.clock.advance(Duration::from_secs(7 * 60));
        server.run_tasks().await;
        assert_kept(&dripping.block(&agent, &slow, block).await);
        assert_kept(&steady.block(&other, &well, block).await);
    }
    assert_eq!(server.number("SELECT CAST(SUM(held_bytes) AS SIGNED) FROM carves"), 10_100);
    server.clock.advance(Duration::from_secs(2 * 60));
    server.run_tasks().await;
    let carve = shown(&server, 1).await;
    let error = "blocks come too slowly to be complete within 720 minutes, half of carves.expiry: 2 of 1000 are here, the first \
                 that is missing is 2";
    assert_eq!((&carve["status"], &carve["error"]), (&json!("failed"), &json!(error)));
    assert_eq!(shown(&server, 2).await["status"], "receiving", "20 of 100 bytes in a quarter of an hour are enough");
    assert_eq!(server.number("SELECT CAST(SUM(held_bytes) AS SIGNED) FROM carves"), 120);
    assert_not_kept(&dripping.block(&agent, &slow, 2).await, 400, "it is failed");
}

#[tokio::test]
async fn the_contents_of_a_carve_are_removed_after_a_day_and_its_row_after_a_week() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let carver = Carver::numbered(1, 10, archive(35));
    assert_eq!(carver.send(&agent).await, SENT);
    let receiving = Carver::numbered(2, 10, archive(35));
    let session = begun(&receiving, &agent).await;
    assert_kept(&receiving.block(&agent, &session, 0).await);
    server.clock.advance(Duration::from_secs(24 * 3600));
    server.run_tasks().await;
    assert_eq!((shown(&server, 1).await["expired"].clone(), folders(&server)), (json!(false), 2));
    server.clock.advance(Duration::from_secs(1));
    server.run_tasks().await;
    for id in [1, 2] {
        let carve = shown(&server, id).await;
        assert_eq!((&carve["status"], &carve["expired"]), (&json!("expired"), &json!(true)));
    }
    assert_eq!((folders(&server), server.number("SELECT CAST(SUM(held_bytes) AS SIGNED) FROM carves")), (0, 0));
    assert_not_kept(&receiving.block(&agent, &session, 0).await, 400, "it is expired");
    assert_not_kept(&receiving.block(&agent, &session, 1).await, 400, "it is expired");
    let answer = server.rest.get("carves/1/block/0").await;
    assert_eq!(answer.problems(), ["block_id: cannot get block for expired carve"]);
    assert_eq!(server.rest.get("carves/1/contents").await.problems(), ["id: the contents of this carve have expired"]);
    let listed = async |path: &str| server.rest.read::<Value>(path).await["carves"].as_array().unwrap().len();
    assert_eq!((listed("carves").await, listed("carves?expired=1").await), (0, 2));
    server.clock.advance(Duration::from_secs(7 * 24 * 3600));
    server.run_tasks().await;
    assert_eq!(server.number("SELECT count(*) FROM carves"), 0);
}

/// A crash between the row and the files leaves files that nobody knows; they go.
#[tokio::test]
async fn contents_without_a_row_are_removed_and_nothing_else() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    assert_eq!(Carver::numbered(1, 10, archive(35)).send(&agent).await, SENT);
    let dir = server.folder().join("carves");
    std::fs::create_dir(dir.join("0".repeat(32))).unwrap();
    std::fs::write(dir.join("0".repeat(32)).join("0"), "left over").unwrap();
    std::fs::create_dir(dir.join("of the operator")).unwrap();
    server.run_tasks().await;
    assert_eq!(folders(&server), 2);
    assert!(dir.join("of the operator").exists());
}

#[tokio::test]
async fn the_carves_of_a_host_go_with_it() {
    let server = TestServer::start().await;
    let (agent, other) = (server.enrolled(1).await, server.enrolled(2).await);
    let carver = Carver::numbered(1, 10, archive(35));
    let session = begun(&carver, &agent).await;
    assert_kept(&carver.block(&agent, &session, 0).await);
    assert_eq!(Carver::numbered(2, 10, archive(35)).send(&other).await, SENT);
    let host_id = server.number("SELECT host_id FROM carves WHERE id = 1");
    assert_eq!(server.rest.send("DELETE", &format!("hosts/{host_id}"), None).await.status, 200);
    let no_header = [("Authorization", "Bearer nothing")];
    let body = carver.block_body(&session, 1);
    let late =
        agent.post("/api/v1/osquery/carve/block", agent_compat::agent::AgentEndpoint::Log, body, &no_header).await;
    assert_not_kept(&late, 403, "no carve of this session");
    server.run_tasks().await;
    assert_eq!((server.number("SELECT count(*) FROM carves"), folders(&server)), (1, 1));
}
