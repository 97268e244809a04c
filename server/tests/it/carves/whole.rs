use agent_compat::Carver;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::json;

use super::{SENT, agent_of, archive, assert_kept, begun, contents, shown};
use crate::support::TestServer;

#[tokio::test]
async fn what_an_agent_sends_is_downloaded_byte_for_byte() {
    let server = TestServer::start().await;
    for (number, release, block_size, bytes) in [
        (1, "5.23.0", 8_192, 23_040),
        // Without a key in the header, and so large that it is read on a thread of its own.
        (2, "5.10.2", 2 << 20, 5_000_000),
        (3, "4.9.0", 300_000, 252),
        (4, "5.23.0", 1_000, 3_000),
    ] {
        let agent = agent_of(&server, number, release).await;
        let carver = Carver::numbered(number.into(), block_size, archive(bytes));
        assert_eq!(carver.send(&agent).await, SENT, "{release}");
        let carve = shown(&server, number.into()).await;
        let expected = json!([carver.carve_id, carver.request_id, carver.block_count(), bytes, "complete", false, ""]);
        let keys = ["carve_id", "request_id", "block_count", "carve_size", "status", "expired", "session_id"];
        assert_eq!(json!(keys.map(|key| &carve[key])), expected);
        assert_eq!(carve["max_block"], carver.block_count() - 1);
        assert_eq!((&carve["received_bytes"], carve.get("error")), (&json!(bytes), None));
        assert!(carve["name"].as_str().unwrap().ends_with(&format!("-2026-01-15T12:00:00Z-{}", carver.request_id)));
        assert!(contents(&server, number.into()).await == carver.contents);
    }
    assert_eq!(server.number("SELECT count(*) FROM carves WHERE status = 'complete'"), 4);
    assert_eq!(server.metric("muster_carves_total{outcome=\"complete\"}").await, 4.0);
    assert_eq!(server.metric("muster_carve_bytes_total").await, 5_026_292.0);
}

/// The order in which a carve comes, and how often, changes nothing.
#[tokio::test]
async fn blocks_may_come_in_any_order_and_more_than_once() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let carver = Carver::numbered(1, 100, archive(1_950));
    let session = begun(&carver, &agent).await;
    let mut order: Vec<u64> = (0..20).chain(5..12).chain(0..3).collect();
    order.shuffle(&mut StdRng::seed_from_u64(16));
    for block in &order {
        assert_kept(&carver.block(&agent, &session, *block).await);
    }
    // Also behind the end.
    assert_kept(&carver.block(&agent, &session, 7).await);
    assert_eq!(shown(&server, 1).await["status"], "complete");
    assert!(contents(&server, 1).await == carver.contents);
}

#[tokio::test]
async fn a_gap_is_shown_and_can_be_closed() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let carver = Carver::numbered(1, 10, archive(95));
    let session = begun(&carver, &agent).await;
    for block in [0, 1, 4, 9] {
        assert_kept(&carver.block(&agent, &session, block).await);
    }
    let carve = shown(&server, 1).await;
    assert_eq!(json!([carve["max_block"], carve["received_blocks"], carve["received_bytes"]]), json!([1, 4, 35]));
    for block in [2, 3, 5, 6, 7, 8] {
        assert_eq!(shown(&server, 1).await["status"], "receiving");
        assert_kept(&carver.block(&agent, &session, block).await);
    }
    assert_eq!(shown(&server, 1).await["status"], "complete");
}

/// The agent has not seen the answer to its beginning, or has made the archive again.
#[tokio::test]
async fn a_carve_that_begins_again_is_taken_anew() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let before = Carver::numbered(1, 10, archive(50));
    let old_session = begun(&before, &agent).await;
    assert_kept(&before.block(&agent, &old_session, 0).await);
    let carver = Carver { contents: archive(50).into_iter().rev().collect(), ..before.clone() };
    let session = begun(&carver, &agent).await;
    super::assert_not_kept(&before.block(&agent, &old_session, 1).await, 403, "no carve of this session");
    for block in 0..5 {
        assert_kept(&carver.block(&agent, &session, block).await);
    }
    assert_eq!(server.number("SELECT count(*) FROM carves"), 1);
    let id = server.number("SELECT id FROM carves");
    assert!(contents(&server, id).await == carver.contents);
    assert_eq!(super::folders(&server), 1, "what has come before is removed");
    super::assert_given_up(&carver.begin(&agent).await, "has come already");
}
