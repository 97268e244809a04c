//! An older copy of the database is restored. Ids of live queries come again then, and what stands outside the database
//! under such an id is not taken for an answer to the new one.

use muster::config::{Config, Redis};
use muster_api::rest::LiveStatus;
use serde_json::json;

use super::{answers, ask, counts, hosts, job, start};
use crate::support::{RedisProcess, TestServer, skipped_with_redis};

async fn an_older_copy_shows_no_old_answer_as_a_new_one(change: impl FnOnce(&mut Config)) {
    if skipped_with_redis("it restores the SQLite file") {
        return;
    }
    let mut server = TestServer::with(change).await;
    let mut agents = hosts(&server, 3).await;
    let kept = ask(&server, "SELECT 1").await.id;
    agents[0].distributed().await;
    server.run_tasks().await;
    let (database, copy) = (server.config().sqlite.path.clone(), server.folder().join("copy.db"));
    server.database().execute(&format!("VACUUM INTO '{}'", copy.display()));

    let old = ask(&server, "SELECT 'old'").await.id;
    for agent in &mut agents {
        agent.distributed().await;
    }
    assert_eq!(answers(&server, old, 0).await.len(), 3);
    server.stop().await;
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", database.display()));
    }
    std::fs::copy(&copy, &database).unwrap();
    server.restart().await;

    let targets = json!({ "hosts": [agents[0].agent().identity().uuid] });
    let new = start(&server, json!({ "query": "SELECT 'new'", "targets": targets })).await.id;
    assert_eq!(new, old, "the id comes again");
    assert_eq!(answers(&server, new, 0).await, [], "nobody has answered");
    assert_eq!(counts(&server, new).await.pending, 1, "nor has it ended");
    agents[0].distributed().await;
    assert_eq!(job(&server, new).await.status, LiveStatus::Complete);
    let new_answers = answers(&server, new, 0).await;
    assert_eq!(new_answers.len(), 1, "its own: {new_answers:?}");
    // What the copy knows is the same live query as before.
    assert_eq!(counts(&server, kept).await.answered, 3);
    assert_eq!(answers(&server, kept, 0).await.len(), 3);
    server.restart().await;
    assert_eq!(answers(&server, new, 0).await, new_answers);
}

#[tokio::test]
async fn with_the_embedded_bus() {
    an_older_copy_shows_no_old_answer_as_a_new_one(|_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_redis() {
    let redis = RedisProcess::start().await;
    let address = redis.address();
    an_older_copy_shows_no_old_answer_as_a_new_one(|config| {
        config.redis = Redis { address: vec![address], ..Redis::default() };
    })
    .await;
}
