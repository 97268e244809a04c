//! SQL that names what hosts lack.

use std::time::Duration;

use muster::config::SchemaCheck;
use serde_json::{Value, json};

use crate::checkin::schema;
use crate::support::TestServer;

async fn server(check: SchemaCheck) -> TestServer {
    let server = TestServer::with(|config| {
        config.osquery.schema_update_interval = Duration::from_secs(7 * 24 * 3600);
        config.osquery.schema_check = check;
    })
    .await;
    let nobody = json!({ "name": "early", "query": "SELECT nope FROM users" });
    let answer = server.rest.post("queries", &nobody).await;
    assert!(answer.status == 200 && !answer.text.contains("names"), "nobody knows anything: {}", answer.text);
    let mut agents = schema::settled(&server, 4, "5.23.1").await;
    assert!(schema::asked(&mut agents).await >= 3);
    server.run_tasks().await;
    server
}

fn query(sql: &str) -> [Value; 1] {
    [json!({ "kind": "query", "spec": { "name": "q", "query": sql } })]
}

const NOPE: &str = "the SQL names the column nope of users, which none of the hosts has that are known";

#[tokio::test]
async fn what_no_host_has_is_said_when_it_is_saved_or_asked() {
    let server = server(SchemaCheck::Warn).await;
    let applied = server.rest.apply(&query("SELECT nope FROM users")).await;
    assert_eq!(
        (applied.warnings[0].name.as_str(), applied.warnings[0].reason.as_str()),
        ("documents[0].spec.query", NOPE)
    );
    assert_eq!(server.rest.apply(&query("SELECT uid FROM users")).await.warnings, []);
    let saved = server.rest.post("queries", &json!({ "name": "new", "query": "SELECT nope FROM users" })).await;
    assert!(saved.text.contains(NOPE), "{}", saved.text);
    let ask = json!({ "query": "SELECT label FROM launchd", "targets": { "all": true } });
    let asked = server.rest.post("live_queries", &ask).await;
    assert!(asked.text.contains("the SQL names the table launchd, which none of the hosts"), "{}", asked.text);
}

#[tokio::test]
async fn what_no_host_has_is_refused_if_that_is_set() {
    let server = server(SchemaCheck::Refuse).await;
    for sql in ["SELECT nope FROM users", "SELECT * FROM nobody_has"] {
        assert_eq!(server.rest.try_apply(&query(sql), true).await.status, 422, "{sql}");
        assert_eq!(server.rest.post("queries", &json!({ "name": "new", "query": sql })).await.status, 422, "{sql}");
        assert_eq!(server.rest.post("labels", &json!({ "name": "new", "query": sql })).await.status, 422, "{sql}");
        let ask = json!({ "query": sql, "targets": { "all": true } });
        let refused = server.rest.post("live_queries", &ask).await;
        assert!(refused.problems()[0].contains("osquery.schema_check"), "{}", refused.text);
    }
    assert_eq!(server.rest.try_apply(&query("SELECT uid FROM users"), false).await.status, 200);
}

#[tokio::test]
async fn nothing_is_said_if_it_is_off() {
    let server = server(SchemaCheck::Off).await;
    assert_eq!(server.rest.apply(&query("SELECT nope FROM users")).await.warnings, []);
}
