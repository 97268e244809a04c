use std::time::Duration;

use agent_compat::agent::{Identity, Platform};
use serde_json::Value;

use super::{questions, settle};
use crate::support::TestServer;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn details_fill_the_row_of_the_host() {
    let server = TestServer::start().await;
    for (index, platform) in [(1, Platform::Linux), (2, Platform::Darwin), (3, Platform::Windows)] {
        let identity = Identity::simulated(5, index, platform);
        let uuid = identity.uuid.clone();
        let mut agent = server.address.agent_of(identity);
        assert!(agent.enroll().await.verdict.is_success());
        settle(&mut agent).await;
        server.run_tasks().await;
        let host = server.rest.get(&format!("/api/v1/fleet/hosts/identifier/{uuid}")).await.json()["host"].clone();
        assert!(host["uptime"].as_i64().unwrap() > 0, "{host}");
        assert!(host["memory"].as_i64().unwrap() > 0, "{host}");
        assert!(host["primary_ip"].as_str().unwrap().contains('.'), "{host}");
        assert!(host["primary_mac"].as_str().unwrap().contains(':'), "{host}");
        assert!(host["gigs_disk_space_available"].as_f64().unwrap() > 0.0, "{host}");
        assert_ne!(host["detail_updated_at"], Value::from("1970-01-01T00:00:00Z"));
    }
}

#[tokio::test]
async fn a_host_is_asked_once_and_again_after_an_hour() {
    let server = TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    assert!(questions(&agent.distributed().await).contains(&"fleet_detail_query_uptime".to_owned()));
    assert!(questions(&agent.distributed().await).is_empty());
    server.run_tasks().await;
    // A quarter of the interval is never too late, and twice the interval never too soon.
    server.clock.advance(HOUR / 5);
    assert!(questions(&agent.distributed().await).is_empty());
    server.clock.advance(HOUR * 2);
    assert!(!questions(&agent.distributed().await).is_empty());
    assert!(questions(&agent.distributed().await).is_empty());
}

#[tokio::test]
async fn a_restart_of_the_server_asks_nobody_again() {
    let mut server = TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    settle(&mut agent).await;
    server.restart().await;
    assert!(questions(&agent.distributed().await).is_empty());
}

#[tokio::test]
async fn an_empty_check_in_asks_the_database_nothing() {
    let server = TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    settle(&mut agent).await;
    server.run_tasks().await;
    let database = server.database();
    database.hold();
    for _ in 0..20 {
        assert!(questions(&agent.distributed().await).is_empty());
        assert!(agent.config().await.verdict.is_success());
    }
    database.release();
    assert_eq!(server.metric("muster_key_lookups_total").await, 0.0);
}
