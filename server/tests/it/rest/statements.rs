//! What a change costs the database, by the server's own count.

use serde_json::{Value, json};

use crate::support::TestServer;

/// The least number of SQL statements that one of several equal changes takes. The periodic tasks send statements of
/// their own now and then, which can only add to it.
async fn statements(server: &TestServer, mut change: impl AsyncFnMut(usize)) -> f64 {
    let mut least = f64::INFINITY;
    for repeat in 0..8 {
        let before = server.metric("muster_sql_statements_total").await;
        change(repeat).await;
        least = least.min(server.metric("muster_sql_statements_total").await - before);
    }
    least
}

async fn send(server: &TestServer, method: &str, path: &str, body: Option<&Value>) -> Value {
    let answer = server.rest.send(method, path, body).await;
    assert!((200..300).contains(&answer.status), "{method} {path}: {}", answer.text);
    answer.json()
}

#[tokio::test]
async fn a_change_takes_few_statements() {
    let server = TestServer::start().await;
    server.enrolled(1).await;
    let query = send(&server, "POST", "queries", Some(&json!({ "name": "q", "query": "SELECT 1" }))).await;
    let query = format!("queries/{}", query["query"]["id"]);
    let counted = [
        (
            "POST /labels",
            statements(&server, async |n| {
                let label = json!({ "name": format!("label {n}"), "query": "SELECT 1" });
                send(&server, "POST", "labels", Some(&label)).await;
            })
            .await,
            17.0,
        ),
        (
            "POST /spec/apply with one query",
            statements(&server, async |n| {
                let spec = json!({ "kind": "query", "spec": { "name": format!("applied {n}"), "query": "SELECT 1" } });
                server.rest.apply(&[spec]).await;
            })
            .await,
            15.0,
        ),
        (
            "PATCH /queries/{id}",
            statements(&server, async |n| {
                let changed = json!({ "query": format!("SELECT {n} + 1") });
                send(&server, "PATCH", &query, Some(&changed)).await;
            })
            .await,
            20.0,
        ),
    ];
    let is_met = counted.iter().all(|(_, statements, most)| (1.0..=*most).contains(statements));
    assert!(is_met, "change, statements, most statements expected: {counted:?}");
}

#[tokio::test]
async fn a_change_is_served_at_once_and_a_dry_run_never() {
    let server = TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    let query = json!({ "kind": "query", "spec": { "name": "q", "query": "SELECT 1" } });
    let pack = json!({ "kind": "pack", "spec": {
        "name": "p", "targets": { "labels": ["All Hosts"] }, "queries": [{ "query": "q", "interval": 60 }],
    } });
    let documents = [query, pack];
    for (dry_run, is_served) in [(true, false), (false, true)] {
        assert_eq!(server.rest.try_apply(&documents, dry_run).await.status, 200);
        let exchange = agent.config().await;
        let config = exchange.verdict.value().unwrap_or_else(|| panic!("{exchange:?}"));
        assert_eq!(config["packs"]["p"].is_object(), is_served, "{config}");
    }
}
