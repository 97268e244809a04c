//! The cost of changes and lists to the database, by the server's own count.

use serde_json::{Value, json};

use super::hosts::add_hosts_to;
use crate::support::TestServer;

/// The least number of SQL statements that one of several equal requests takes. The periodic tasks send statements of
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
            18.0,
        ),
        (
            "POST /spec/apply with one query",
            statements(&server, async |n| {
                let spec = json!({ "kind": "query", "spec": { "name": format!("applied {n}"), "query": "SELECT 1" } });
                server.rest.apply(&[spec]).await;
            })
            .await,
            16.0,
        ),
        (
            "PATCH /queries/{id}",
            statements(&server, async |n| {
                let changed = json!({ "query": format!("SELECT {n} + 1") });
                send(&server, "PATCH", &query, Some(&changed)).await;
            })
            .await,
            23.0,
        ),
    ];
    let is_met = counted.iter().all(|(_, statements, most)| (1.0..=*most).contains(statements));
    assert!(is_met, "change, statements, most statements expected: {counted:?}");
}

/// Hosts are picked, ordered and counted in memory: beside the two statements of the session, a page reads its rows with one
/// and a count takes none.
#[tokio::test]
async fn a_page_of_hosts_reads_its_own_rows_and_a_count_nothing() {
    let mut server = TestServer::start().await;
    add_hosts_to(&mut server, 500).await;
    let page = send(&server, "GET", "hosts?per_page=100", None).await;
    assert_eq!(page["hosts"].as_array().unwrap().len(), 100);
    for (most, path) in [
        (3.0, "hosts?per_page=100"),
        (3.0, "hosts?per_page=100&page=3&order_key=hostname&order_direction=desc"),
        (3.0, "hosts?per_page=100&order_key=hostname&status=online&after=host-000000200"),
        (3.0, "hosts?per_page=100&order_key=hostname&status=missing&query=host"),
        (3.0, "hosts?per_page=100&order_key=seen_time&order_direction=desc"),
        (2.0, "hosts/count"),
        (2.0, "hosts/count?status=online&query=host"),
    ] {
        let counted = statements(&server, async |_| {
            send(&server, "GET", path, None).await;
        })
        .await;
        assert!((1.0..=most).contains(&counted), "{path}: {counted} statements");
    }
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
