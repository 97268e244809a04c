//! Contents in a bucket of an S3-compatible store.

use std::time::Duration;

use agent_compat::{CarveOutcome, Carver};
use serde_json::json;

use super::{SENT, archive, assert_kept, assert_not_kept, begun, contents, shown};
use crate::support::{S3Store, TestServer};

async fn server_with(store: &S3Store) -> TestServer {
    TestServer::with(|config| config.s3 = store.settings()).await
}

#[tokio::test]
async fn a_carve_in_a_bucket_is_as_one_in_files() {
    let store = S3Store::start().await;
    let server = server_with(&store).await;
    let agent = server.enrolled(1).await;
    let carver = Carver::numbered(1, 300_000, archive(1_000_000));
    let session = begun(&carver, &agent).await;
    for block in [0, 2, 0, 3, 1] {
        assert_kept(&carver.block(&agent, &session, block).await);
    }
    let other = carver.block_body_of(&session, 3, &[7; 100_000]);
    let endpoint = agent_compat::agent::AgentEndpoint::Log;
    let refused = agent.post("/api/v1/osquery/carve/block", endpoint, other, &[]).await;
    assert_not_kept(&refused, 400, "there already, with other bytes");
    assert_eq!(shown(&server, 1).await["status"], "complete");
    assert!(contents(&server, 1).await == carver.contents);
    let part = server.rest.getting("carves/1/contents").header("Range", "bytes=299999-600000").send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert!(part.bytes().await.unwrap() == carver.contents[299_999..=600_000]);
    assert_eq!(store.blocks().await.len(), 4);
    assert_eq!(super::folders(&server), 0);
    // A second carve: a bucket that is known is asked no more what it knows.
    assert_eq!(Carver::numbered(2, 300_000, archive(300_001)).send(&agent).await, SENT);
    assert_eq!(server.rest.send("DELETE", "carves/1", None).await.status, 200);
    assert_eq!(store.blocks().await.len(), 2);
    server.clock.advance(Duration::from_secs(24 * 3600 + 1));
    server.run_tasks().await;
    assert_eq!(shown(&server, 2).await["expired"], json!(true));
    assert_eq!(store.blocks().await, [""; 0]);
}

/// Nodes share nothing but the database and the bucket, and what no row holds goes.
#[tokio::test]
async fn servers_that_share_a_bucket_take_a_carve_together() {
    let store = S3Store::start().await;
    let one = server_with(&store).await;
    let other = TestServer::beside(&one).await;
    let mut agent = one.enrolled(1).await;
    let carver = Carver::numbered(1, 1_000, archive(9_500));
    let session = begun(&carver, &agent).await;
    for block in 0..10 {
        let server = if block % 2 == 0 { &other } else { &one };
        server.address.draw(&mut agent);
        assert_kept(&carver.block(&agent, &session, block).await);
    }
    one.address.draw(&mut agent);
    // Its beginning is lost and comes again; the blocks of the first one are removed.
    let again = Carver::numbered(2, 1_000, archive(2_500));
    let session = begun(&again, &agent).await;
    assert_kept(&again.block(&agent, &session, 0).await);
    assert_eq!(store.blocks().await.len(), 11);
    begun(&again, &agent).await;
    assert_eq!(store.blocks().await.len(), 10);
    one.run_tasks().await;
    other.run_tasks().await;
    assert_eq!(store.blocks().await.len(), 10);
    for server in [&one, &other] {
        assert!(contents(server, 1).await == carver.contents);
    }
}

#[tokio::test]
async fn a_store_that_is_away_is_said_so_and_shows_no_key() {
    let mut store = S3Store::start().await;
    if !store.is_own() {
        eprintln!("skipped: the store is not ours to be ended");
        return;
    }
    let server = server_with(&store).await;
    let agent = server.enrolled(1).await;
    let carver = Carver::numbered(1, 10, archive(35));
    let session = begun(&carver, &agent).await;
    assert_kept(&carver.block(&agent, &session, 0).await);
    store.end();
    assert_not_kept(&carver.block(&agent, &session, 1).await, 503, "cannot be written");
    let outcome = Carver::numbered(2, 10, archive(35)).send(&agent).await;
    assert!(matches!(outcome, CarveOutcome::PostFailed(text) if text.contains("cannot be written")));
    let carve = shown(&server, 1).await;
    assert_eq!((&carve["status"], &carve["received_blocks"]), (&json!("receiving"), &json!(1)));
    let answer = server.rest.get("carves/1/block/0").await;
    assert_eq!(answer.status, 503);
    assert!(!answer.text.contains("X-Amz") && !answer.text.contains("127.0.0.1"), "{}", answer.text);
    let config = server.rest.get("/debug/config").await.text;
    assert!(config.contains("secret_access_key") && !config.contains("not-so-secret"), "{config}");
}
