//! Documents that are all there is, applied by hand.

use serde_json::{Value, json};

use super::{names, queries};
use crate::support::TestServer;

fn body(documents: &[Value], more: Value) -> Value {
    let mut body = json!({ "documents": documents, "delete_unnamed": true });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn query(name: &str) -> Value {
    json!({ "kind": "query", "spec": { "name": name, "query": "SELECT 1" } })
}

fn actions(applied: &Value) -> Vec<String> {
    let changes = applied["changes"].as_array().unwrap().iter();
    changes
        .map(|c| {
            format!("{} {} {}", c["action"].as_str().unwrap(), c["kind"].as_str().unwrap(), c["name"].as_str().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn what_no_document_names_is_planned_counted_and_deleted() {
    let server = TestServer::start().await;
    let pack = json!({ "kind": "pack", "spec": { "name": "p", "targets": { "labels": ["l"] }, "queries": [{ "query": "a", "interval": 5 }] } });
    let label = json!({ "kind": "label", "spec": { "name": "l", "query": "SELECT 1" } });
    let scheduled = json!({ "kind": "query", "spec": { "name": "s", "query": "SELECT 1", "interval": 5, "labels_include_any": ["l"] } });
    let global = json!({ "kind": "global_schedule", "spec": { "queries": [{ "query": "b", "interval": 5 }] } });
    let options = json!({ "kind": "options", "spec": { "config": { "options": { "distributed_interval": 44 } } } });
    server.rest.apply(&[query("a"), query("b"), pack, label, scheduled, global, options]).await;

    let tried = server.rest.post("spec/apply", &body(&[query("A")], json!({ "dry_run": true }))).await.json();
    let expected = [
        "changed query A",
        "deleted pack Global (l)",
        "deleted global_schedule ",
        "deleted config agent_options",
        "deleted pack p",
        "deleted query b",
        "deleted query s",
        "deleted label l",
    ];
    let mut found = actions(&tried);
    found.sort();
    let mut sorted = expected.map(str::to_owned).to_vec();
    sorted.sort();
    assert_eq!(found, sorted, "{tried:#}");
    let refused = server.rest.post("spec/apply", &body(&[query("a")], json!({ "max_deletes": 6 }))).await;
    assert!(
        refused.problems()[0].starts_with("max_deletes: is 6, and more would be deleted (7 in all)"),
        "{}",
        refused.text
    );
    assert_eq!(queries(&server).await, ["a", "b", "s"]);

    // A plan does the same, if nothing has changed.
    let plan = async || {
        let answer = server.rest.post("spec/plan", &body(&[query("a")], json!({ "max_deletes": 7 }))).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()["plan"]["id"].clone()
    };
    let outdated = plan().await;
    server.rest.apply(&[json!({ "kind": "query", "spec": { "name": "b", "query": "SELECT 2" } })]).await;
    let answer = server.rest.post("spec/apply", &json!({ "plan": outdated })).await;
    assert!(answer.status == 409 && answer.text.contains("query \\\"b\\\""), "{} {}", answer.status, answer.text);
    let answer = server.rest.post("spec/apply", &json!({ "plan": plan().await })).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(queries(&server).await, ["a"]);
    assert_eq!(names(&server.rest.get("spec/packs").await.json()["specs"]), [""; 0]);
    let again = server.rest.post("spec/apply", &body(&[query("a")], json!({}))).await.json();
    assert_eq!(actions(&again), ["unchanged query a"]);
}

#[tokio::test]
async fn only_administrators_delete_what_is_not_named_and_nobody_everything() {
    let server = TestServer::start().await;
    server.rest.apply(&[query("a")]).await;
    let maintainer = server.user("maintainer");
    assert_eq!(maintainer.post("spec/apply", &body(&[query("b")], json!({}))).await.status, 403);
    assert_eq!(maintainer.post("spec/plan", &body(&[query("b")], json!({}))).await.status, 403);
    for documents in [vec![], vec![json!({ "kind": "policy", "spec": { "name": "p" } })]] {
        let answer = server.rest.post("spec/apply", &body(&documents, json!({}))).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.problems()[0].contains("everything would be deleted"), "{}", answer.text);
    }
    for wrong in [json!({ "plan": 1, "documents": [] }), json!({})] {
        let path = if wrong.get("plan").is_some() { "spec/apply" } else { "spec/delete" };
        assert_eq!(server.rest.post(path, &body(&[], wrong)).await.status, 400);
    }
    assert_eq!(queries(&server).await, ["a"]);
}

#[tokio::test]
async fn what_a_skipped_document_names_stays() {
    let server = TestServer::start().await;
    server.rest.apply(&[query("a"), query("b")]).await;
    let of_team = json!({ "kind": "query", "spec": { "name": "b", "query": "SELECT 1", "team": "t" } });
    let answer = server.rest.post("spec/apply", &body(&[query("a"), of_team], json!({}))).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(queries(&server).await, ["a", "b"]);
}
