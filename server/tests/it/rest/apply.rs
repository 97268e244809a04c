use muster_api::rest::{Action, Applied};
use serde_json::{Value, json};

use super::DOCUMENTS;
use crate::support::TestServer;

fn actions(applied: &Applied) -> Vec<Action> {
    applied.changes.iter().map(|change| change.action).collect()
}

fn query(name: &str, sql: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "query", "spec": { "name": name, "query": sql } })
}

#[tokio::test]
async fn an_apply_says_what_it_created_changed_and_left() {
    let server = TestServer::start().await;
    let first = server.rest.apply(&[query("a", "SELECT 1"), query("b", "SELECT 2")]).await;
    assert_eq!(actions(&first), [Action::Created, Action::Created]);
    let mut changed = query("b", "SELECT 3");
    changed["spec"]["description"] = json!("changed");
    let second = server.rest.apply(&[query("a", "SELECT 1"), changed, query("c", "SELECT 4")]).await;
    assert_eq!(actions(&second), [Action::Unchanged, Action::Changed, Action::Created]);
    assert_eq!(second.changes[1].fields, ["description", "query"]);
    assert_eq!((second.changes[1].kind.as_str(), second.changes[1].name.as_str()), ("query", "b"));
    assert!(!second.dry_run);
}

#[tokio::test]
async fn applying_the_same_again_changes_nothing() {
    let server = TestServer::start().await;
    let first = server.rest.apply_yaml(DOCUMENTS).await;
    assert!(first.changes.iter().all(|change| change.action != Action::Unchanged), "{first:?}");
    let generation = "SELECT value FROM generations WHERE name = 'schedule'";
    let before = server.number(generation);
    let again = server.rest.apply_yaml(DOCUMENTS).await;
    assert!(again.changes.iter().all(|change| change.action == Action::Unchanged), "{again:?}");
    assert_eq!(server.number(generation), before);
}

#[tokio::test]
async fn a_dry_run_tells_the_same_and_changes_nothing() {
    let server = TestServer::start().await;
    let documents = serde_yaml::from_multiple::<Value>(DOCUMENTS).unwrap();
    let what_is_there = async || {
        let mut text = String::new();
        for path in ["spec/queries", "spec/packs", "spec/labels", "spec/enroll_secret", "config"] {
            text += &server.rest.get(path).await.text;
        }
        text + &server.number("SELECT value FROM generations WHERE name = 'schedule'").to_string()
    };
    let before = what_is_there().await;
    let tried: Applied = server.rest.try_apply(&documents, true).await.read();
    assert!(tried.dry_run);
    assert_eq!(what_is_there().await, before);
    let done = server.rest.apply(&documents).await;
    assert_eq!(tried.changes, done.changes);
}

#[tokio::test]
async fn one_bad_document_keeps_all_others_out() {
    let server = TestServer::start().await;
    let mut documents = serde_yaml::from_multiple::<Value>(DOCUMENTS).unwrap();
    documents
        .push(json!({ "kind": "pack", "spec": { "name": "bad", "queries": [{ "query": "no such", "interval": 5 }] } }));
    let answer = server.rest.try_apply(&documents, false).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    for table in ["queries", "packs", "scheduled_queries"] {
        assert_eq!(server.number(&format!("SELECT count(*) FROM {table}")), 0, "{table}");
    }
    assert_eq!(server.number("SELECT count(*) FROM labels WHERE label_type = 'regular'"), 0);
    assert_eq!(server.rest.get("config").await.json()["org_info"]["org_name"], "Tests");
    assert!(server.agent(1).enroll().await.verdict.is_success(), "the enroll secrets are as they were");
}

#[tokio::test]
async fn all_problems_are_told_at_once() {
    let server = TestServer::start().await;
    let answer = server.rest.try_apply(&[query("", "SELECT 1"), query("x", ""), query("y", "\0")], false).await;
    assert_eq!(answer.status, 422);
    let problems = answer.problems();
    assert_eq!(problems.len(), 3, "{problems:?}");
    for (problem, path) in problems.iter().zip(["[0].spec.name: ", "[1].spec.query: ", "[2].spec.query: "]) {
        assert!(problem.starts_with(&format!("documents{path}")), "{problem}");
    }
}

#[tokio::test]
async fn documents_may_stand_in_any_order() {
    let server = TestServer::start().await;
    let mut documents = serde_yaml::from_multiple::<Value>(DOCUMENTS).unwrap();
    documents.reverse();
    let applied = server.rest.apply(&documents).await;
    assert_eq!(applied.changes.first().unwrap().kind, "enroll_secret", "told in the order they were sent");
    assert_eq!(server.number("SELECT count(*) FROM scheduled_queries"), 2);
}

#[tokio::test]
async fn what_the_server_has_applies_again_without_change() {
    let server = TestServer::start().await;
    server.rest.apply_yaml(DOCUMENTS).await;
    let mut documents = Vec::new();
    for (kind, path) in [("query", "spec/queries"), ("pack", "spec/packs"), ("label", "spec/labels")] {
        for spec in server.rest.get(path).await.json()["specs"].as_array().unwrap() {
            documents.push(json!({ "apiVersion": "v1", "kind": kind, "spec": spec }));
        }
    }
    let secrets = server.rest.get("spec/enroll_secret").await.json()["spec"].clone();
    documents.push(json!({ "kind": "enroll_secret", "spec": secrets }));
    documents.push(json!({ "kind": "config", "spec": server.rest.get("config").await.json() }));
    let applied = server.rest.apply(&documents).await;
    assert!(applied.changes.iter().all(|change| change.action == Action::Unchanged), "{applied:#?}");

    // And on another server it makes the same.
    let other = TestServer::start().await;
    other.rest.apply(&documents).await;
    for path in ["spec/queries", "spec/packs", "config"] {
        assert_eq!(other.rest.get(path).await.text, server.rest.get(path).await.text);
    }
}

#[tokio::test]
async fn applies_at_one_time_are_each_whole() {
    let server = TestServer::start().await;
    let applies = (0..8).map(async |n| {
        let documents: Vec<Value> = (0..5).map(|q| query(&format!("q{q}"), &format!("SELECT {n}"))).collect();
        server.rest.try_apply(&documents, false).await.status
    });
    let statuses = futures_util::future::join_all(applies).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(server.number("SELECT count(*) FROM queries"), 5);
    assert_eq!(server.number("SELECT count(DISTINCT query) FROM queries"), 1);
}

#[tokio::test]
async fn repeats_of_a_document_count_once() {
    let server = TestServer::start().await;
    let applied = server.rest.apply(&[query("a", "SELECT 1"), query("a", "SELECT 1")]).await;
    assert_eq!(applied.changes.len(), 1);
}

#[tokio::test]
async fn who_applied_what_is_written_down_without_secrets() {
    let server = TestServer::start().await;
    server.rest.apply_yaml(DOCUMENTS).await;
    let database = server.database();
    let last = |column: &str| {
        database
            .text(&format!("SELECT {column} FROM activities WHERE kind = 'applied_documents' ORDER BY id DESC LIMIT 1"))
    };
    let details = last("details");
    assert_eq!(last("actor_email"), "admin@example.com");
    assert!(details.contains("uptime") && !details.contains("\"one\""), "{details}");
}
