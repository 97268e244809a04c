//! Carving is not there, and whoever tries it is told so.

use std::time::Duration;

use serde_json::json;

use crate::support::{ENROLL_SECRET, Rest, ServerSetup, TestServer, eventually};

#[tokio::test]
async fn a_carve_is_refused_in_words_and_stands_in_the_log_once() {
    let setup = ServerSetup::new(&[]);
    let server = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    let enroll = json!({ "enroll_secret": ENROLL_SECRET, "host_identifier": "one" });
    let key = rest.post("/api/v1/osquery/enroll", &enroll).await.json()["node_key"].clone();
    let begin = json!({
        "node_key": key, "carve_guid": "c", "carve_id": "c", "carve_size": 10, "block_count": 1, "block_size": 10,
    });
    for _ in 0..3 {
        let answer = rest.post("/api/v1/osquery/carve/begin", &begin).await;
        assert_eq!(answer.status, 501);
        assert!(answer.json()["error"].as_str().unwrap().starts_with("carving is not there"), "{}", answer.text);
    }
    let said = eventually("the log says so", Duration::from_secs(10), async || {
        Some(server.said()).filter(|said| said.contains("tried to carve files"))
    })
    .await;
    assert_eq!(said.matches("tried to carve files").count(), 1, "{said}");
    let stranger = json!({ "node_key": "nobody's" });
    let answer = rest.post("/api/v1/osquery/carve/begin", &stranger).await;
    assert_eq!((answer.status, &answer.json()["node_invalid"]), (401, &json!(true)));
}

/// The rows of such a query look as if the files were on their way.
#[tokio::test]
async fn a_live_query_that_seems_to_carve_is_warned_of_at_its_start() {
    let server = TestServer::start().await;
    server.enrolled(1).await;
    let start = async |sql: &str| {
        let answer = server.rest.post("live_queries", &json!({ "query": sql, "targets": { "all": true } })).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    };
    let started = start("SELECT carve(path) FROM file WHERE path = '/etc/hosts'").await;
    assert!(started["warnings"][0].as_str().unwrap().contains("not there yet"), "{started}");
    assert_eq!(start("SELECT * FROM uptime").await.get("warnings"), None);
}
