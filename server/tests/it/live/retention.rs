use std::path::Path;
use std::time::{Duration, SystemTime};

use muster::config::Bytes;
use serde_json::json;

use super::{answers, ask, counts, hosts, job, results_file, start};
use crate::support::{TestServer, eventually, skipped_with_redis};

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

/// A query that hosts answer with so many rows, each about 100 bytes.
fn rows(count: u32) -> String {
    format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {count}) SELECT i, printf('%080d', i) AS text FROM n"
    )
}

#[tokio::test]
async fn results_of_all_live_queries_share_one_bound() {
    let server = TestServer::with(|config| config.live.max_all_results = Bytes::kib(64)).await;
    let mut agents = hosts(&server, 10).await;
    let one = json!([agents[0].agent().identity().uuid]);
    let mut over = Vec::new();
    // One that goes on needs room, so that those that are over make it.
    let open = ask(&server, "SELECT 1").await.id;
    for _ in 0..14 {
        let id = start(&server, json!({ "query": rows(50), "targets": { "hosts": one } })).await.id;
        let round = agents[0].distributed().await;
        assert!(round.write.is_none_or(|write| write.verdict.is_success()), "nothing is refused");
        server.run_tasks().await;
        over.push(id);
    }
    let mut kept = Vec::new();
    for id in &over {
        // Results are gone a moment before the counts say so.
        let lines = eventually("what is gone is said", Duration::from_secs(10), async || {
            let lines = answers(&server, *id, 0).await.len();
            let of = counts(&server, *id).await;
            assert_eq!((of.answered, of.truncated), (1, 0), "room was made before any was cut");
            (of.results_lost == 1 - lines as u64).then_some(lines)
        });
        kept.push(lines.await);
    }
    assert!(kept.is_sorted() && kept[0] == 0 && kept[13] == 1, "those that ended first go first: {kept:?}");
    assert!(kept.iter().sum::<usize>() >= 9, "and no more than must: {kept:?}");
    let bytes = server.metric("muster_live_results_bytes").await;
    assert!(bytes > 32_768.0 && bytes <= 65_536.0, "{bytes}");
    assert!(server.metric(r#"muster_limit_hits_total{limit="live_max_all_results"}"#).await >= 1.0);
    assert_eq!(counts(&server, open).await.answered, 1);

    // One alone that is larger than all may be: its rows are cut, and every host is accounted for.
    let large = ask(&server, &rows(100)).await.id;
    for agent in &mut agents {
        for _ in 0..2 {
            let round = agent.distributed().await;
            assert!(round.write.is_none_or(|write| write.verdict.is_success()), "nothing is refused");
        }
        server.run_tasks().await;
    }
    let of = job(&server, large).await.counts;
    assert_eq!((of.answered, of.results_lost), (10, 0), "{of:?}");
    assert!(of.truncated > 0 && of.truncated < 10, "{of:?}");
    let lines = answers(&server, large, 0).await;
    assert_eq!(lines.iter().filter(|line| line.truncated && line.rows_sent == Some(100)).count() as u64, of.truncated);
    for id in &over {
        assert_eq!(counts(&server, *id).await.results_lost, 1, "those that are over have gone");
    }
}

#[tokio::test]
async fn what_is_kept_is_counted_after_a_restart() {
    let mut server = TestServer::start().await;
    let mut agents = hosts(&server, 2).await;
    let (over, other) = (ask(&server, &rows(50)).await.id, ask(&server, &rows(50)).await.id);
    agents[0].distributed().await;
    agents[1].distributed().await;
    let open = ask(&server, &rows(50)).await.id;
    agents[0].distributed().await;
    server.run_tasks().await;
    let bytes = server.metric("muster_live_results_bytes").await;
    assert_eq!((counts(&server, over).await.answered, counts(&server, other).await.answered), (2, 2));
    assert_eq!(counts(&server, open).await.answered, 1);
    assert!(bytes > 5.0 * 5_000.0, "{bytes}");
    server.restart().await;
    server.run_tasks().await;
    assert_eq!(server.metric("muster_live_results_bytes").await, bytes);
}
