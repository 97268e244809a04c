use std::time::Duration;

use muster_api::rest::HostCount;
use serde_json::json;

use crate::support::{Rest, ServerSetup, TestServer, eventually};

const SOON: Duration = Duration::from_secs(20);

/// The threads that are busy for operators, and the requests that wait for them.
async fn pool(server: &TestServer) -> (f64, f64) {
    let busy = server.metric("muster_pool_busy{pool=\"operators\"}").await;
    (busy, server.metric("muster_pool_waiting{pool=\"operators\"}").await)
}

async fn until_pool_is(server: &TestServer, busy: f64, waiting: f64) {
    eventually("the pool is as it should be", SOON, async || (pool(server).await == (busy, waiting)).then_some(()))
        .await;
}

/// A change that waits for the database holds the only thread, and searches fill the queue. Agents notice nothing, and
/// operators are refused in words.
#[tokio::test]
async fn agents_are_answered_while_the_threads_of_operators_are_busy_and_their_queue_is_full() {
    let server = TestServer::with(|config| {
        config.server.tls = true;
        config.server.operator_threads = 1;
        config.server.operator_queue = 2;
        config.sqlite.busy_timeout = Duration::from_secs(60);
        config.osquery.store_timeout = Duration::from_secs(10);
    })
    .await;
    let mut agents = Vec::new();
    for index in 0..3 {
        let mut agent = server.enrolled(index).await;
        assert!(agent.config().await.verdict.is_success());
        assert!(agent.distributed().await.read.verdict.is_success());
        agents.push(agent);
    }
    // Nothing is due for them any more.
    server.run_tasks().await;
    let (database, observers) = (server.database(), [server.user("observer"), server.user("maintainer")]);
    let refusals = server.metric("muster_limit_hits_total{limit=\"operator_queue\"}").await;

    database.hold();
    let rest = server.rest.clone();
    let change = tokio::spawn(async move { rest.post("queries", &json!({ "name": "q", "query": "SELECT 1" })).await });
    until_pool_is(&server, 1.0, 0.0).await;
    let count = |rest: Rest| tokio::spawn(async move { rest.get("hosts/count").await });
    let counts = observers.clone().map(count);
    until_pool_is(&server, 1.0, 2.0).await;

    // A list, an export, a change, and a body that is too large to be parsed by who answers agents.
    let large = json!({ "documents": [{ "kind": "query", "spec": { "name": "l", "query": "x".repeat(2 << 20) } }] });
    for answer in [
        server.rest.get("hosts").await,
        server.rest.get("hosts/report?format=csv").await,
        server.rest.send("DELETE", "queries/none", None).await,
        server.rest.post("spec/apply", &large).await,
    ] {
        assert_eq!(answer.status, 503, "{}", answer.text);
        assert_eq!(answer.headers["retry-after"], "1");
        assert!(answer.problems()[0].contains("server.operator_queue"), "{}", answer.text);
    }
    let hits = server.metric("muster_limit_hits_total{limit=\"operator_queue\"}").await;
    assert_eq!(hits - refusals, 4.0);
    for agent in &mut agents {
        assert!(agent.config().await.verdict.is_success());
        assert!(agent.read().await.verdict.is_success());
        agent.push_result_line(r#"{"line":1}"#);
        assert!(agent.flush_logs().await[0].verdict.is_success());
    }
    assert!(!change.is_finished() && counts.iter().all(|count| !count.is_finished()), "operators still wait");

    database.release();
    let changed = change.await.unwrap();
    assert_eq!(changed.status, 200, "{}", changed.text);
    for count in counts {
        assert_eq!(count.await.unwrap().read::<HostCount>().count, 3);
    }
    until_pool_is(&server, 0.0, 0.0).await;
}

/// One thread and half of the queue are left to those who read, however many changes wait for the database.
#[tokio::test]
async fn changes_that_wait_leave_a_thread_to_those_who_read() {
    let server = TestServer::with(|config| {
        config.server.operator_threads = 2;
        config.server.operator_queue = 4;
        config.sqlite.busy_timeout = Duration::from_secs(60);
    })
    .await;
    let database = server.database();
    let observer = server.user("observer");
    database.hold();
    let changes = ["a", "b", "c"].map(|name| {
        let (rest, body) = (server.rest.clone(), json!({ "name": name, "query": "SELECT 1" }));
        tokio::spawn(async move { rest.post("queries", &body).await.status })
    });
    until_pool_is(&server, 1.0, 2.0).await;
    let refused = server.rest.post("queries", &json!({ "name": "d", "query": "SELECT 1" })).await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(
        refused.problems()[0].contains("changes take half of what server.operator_queue allows"),
        "{}",
        refused.text
    );
    assert_eq!(observer.get("hosts").await.status, 200);
    assert!(changes.iter().all(|change| !change.is_finished()));
    database.release();
    for change in changes {
        assert_eq!(change.await.unwrap(), 200);
    }
}

/// Work that waits does not keep a server from stopping.
#[tokio::test]
async fn a_server_stops_in_time_while_a_change_waits_for_the_database() {
    let setup = ServerSetup::on_sqlite(&["sqlite_busy_timeout=60s"]);
    let mut server = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    let database = rusqlite::Connection::open(setup.folder().join("muster.db")).unwrap();
    database.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let posting = rest.posting("queries", &json!({ "name": "q", "query": "SELECT 1" })).bearer_auth(rest.token());
    let change = tokio::spawn(async move { posting.send().await.map(|answer| answer.status()) });
    let is_busy = "muster_pool_busy{pool=\"operators\"} 1";
    eventually("the change waits", SOON, async || rest.get("/metrics").await.text.contains(is_busy).then_some(()))
        .await;
    server.signal("TERM");
    assert_eq!(server.ended(SOON).await.code(), Some(0), "{}", server.said());
    assert!(change.await.unwrap().is_err(), "nobody is told that it was made");
}

/// Large bodies are read as small ones are.
#[tokio::test]
async fn a_large_body_is_read_and_its_mistakes_are_told() {
    let server = TestServer::start().await;
    let documents: Vec<_> = (0..200)
        .map(|number| {
            let spec =
                json!({ "name": format!("query {number}"), "query": format!("SELECT '{}'", "x".repeat(10_000)) });
            json!({ "kind": "query", "spec": spec })
        })
        .collect();
    assert_eq!(server.rest.apply(&documents).await.changes.len(), 200);
    let broken = format!("{{\"documents\": [\"{}\"", "x".repeat(2 << 20));
    let answer = server.rest.post_bytes("spec/apply", "application/json", broken).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert!(answer.problems()[0].contains("EOF while parsing a list"), "{}", answer.text);
}
