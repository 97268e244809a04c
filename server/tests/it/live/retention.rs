use std::time::Duration;

use serde_json::json;

use super::{answers, ask, hosts, job};
use crate::support::{TestServer, skipped_with_redis};

const RETENTION: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn what_is_over_is_kept_for_its_time_and_then_removed_with_its_answers() {
    if skipped_with_redis("it is about the files of the embedded bus") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with(|config| {
        config.live.retention = RETENTION;
        config.live.dir = Some(folder.path().to_owned());
    })
    .await;
    let mut agents = hosts(&server, 2).await;
    let over = ask(&server, "SELECT 1").await.id;
    for agent in &mut agents {
        agent.distributed().await;
    }
    let open = ask(&server, "SELECT 2").await.id;
    server.run_tasks().await;
    let file = |id: i64| folder.path().join(format!("{id}.ndjson"));
    let rows = |id: i64| server.number(&format!("SELECT count(*) FROM live_queries WHERE id = {id}"));

    server.clock.advance(RETENTION - Duration::from_secs(1));
    server.run_tasks().await;
    assert!(file(over).exists());
    assert_eq!((rows(over), answers(&server, over, 0).await.len()), (1, 2), "its time is not over");

    server.clock.advance(Duration::from_secs(2));
    server.run_tasks().await;
    assert!(!file(over).exists());
    assert_eq!(rows(over), 0);
    for path in ["", "/results", "/hosts?state=answered"] {
        assert_eq!(server.rest.get(&format!("live_queries/{over}{path}")).await.status, 404, "{path}");
    }
    let listed = server.rest.get("live_queries?status=all").await.json();
    assert_eq!(listed["live_queries"].as_array().unwrap().len(), 1, "{listed}");

    // The age of one that goes on does not matter.
    assert!(file(open).exists() && rows(open) == 1);
    agents[0].distributed().await;
    assert_eq!(job(&server, open).await.counts.answered, 1);
    server.rest.post(&format!("live_queries/{open}/cancel"), &json!({})).await;
    server.run_tasks().await;
    assert_eq!(answers(&server, open, 0).await.len(), 1);
    server.clock.advance(RETENTION + Duration::from_secs(1));
    server.run_tasks().await;
    assert!(!file(open).exists() && rows(open) == 0);
}
