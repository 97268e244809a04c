use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::{answers, ask, hosts, job, results_file};
use crate::support::{TestServer, skipped_with_redis};

const RETENTION: Duration = Duration::from_secs(3600);

fn has_file(folder: &Path, id: i64) -> bool {
    results_file(folder, id).is_some()
}

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
    let has_file = |id: i64| has_file(folder.path(), id);
    let rows = |id: i64| server.number(&format!("SELECT count(*) FROM live_queries WHERE id = {id}"));

    server.clock.advance(RETENTION - Duration::from_secs(1));
    server.run_tasks().await;
    assert!(has_file(over));
    assert_eq!((rows(over), answers(&server, over, 0).await.len()), (1, 2), "its time is not over");

    server.clock.advance(Duration::from_secs(2));
    server.run_tasks().await;
    assert!(!has_file(over));
    assert_eq!(rows(over), 0);
    for path in ["", "/results", "/hosts?state=answered"] {
        assert_eq!(server.rest.get(&format!("live_queries/{over}{path}")).await.status, 404, "{path}");
    }
    let listed = server.rest.get("live_queries?status=all").await.json();
    assert_eq!(listed["live_queries"].as_array().unwrap().len(), 1, "{listed}");

    // The age of one that goes on does not matter.
    assert!(has_file(open) && rows(open) == 1);
    agents[0].distributed().await;
    assert_eq!(job(&server, open).await.counts.answered, 1);
    server.rest.post(&format!("live_queries/{open}/cancel"), &json!({})).await;
    server.run_tasks().await;
    assert_eq!(answers(&server, open, 0).await.len(), 1);
    server.clock.advance(RETENTION + Duration::from_secs(1));
    server.run_tasks().await;
    assert!(!has_file(open) && rows(open) == 0);
}

/// A restored copy of the database does not know what was asked after it was made.
#[tokio::test]
async fn results_that_no_row_tells_of_are_removed_when_they_are_old() {
    if skipped_with_redis("it is about the files of the embedded bus") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::with(|config| {
        config.live.retention = RETENTION;
        config.live.dir = Some(folder.path().to_owned());
    })
    .await;
    hosts(&server, 1).await;
    let open = ask(&server, "SELECT 1").await.id;
    // Named by its id alone, as the version before names it, and by its whole key.
    let old_files = ["77.ndjson", "78-0199f3c0a0f07c3e8000000000000000.ndjson"].map(|name| folder.path().join(name));
    let others = [folder.path().join("notes.txt"), folder.path().join("79.ndjson")];
    let now = SystemTime::UNIX_EPOCH + Duration::from_micros(server.clock.now().0.cast_unsigned());
    for (path, age) in old_files.iter().map(|path| (path, 2)).chain([(&others[0], 2), (&others[1], 0)]) {
        std::fs::write(path, "{\"host_id\":1}\n").unwrap();
        std::fs::File::open(path).unwrap().set_modified(now - age * RETENTION).unwrap();
    }
    server.run_tasks().await;
    assert!(old_files.iter().all(|path| !path.exists()));
    assert!(others.iter().all(|path| path.exists()), "what is young, or none of ours, stays");
    assert!(has_file(folder.path(), open));
}
