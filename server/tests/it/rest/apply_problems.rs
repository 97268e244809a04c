use muster_api::rest::Action;
use serde_json::{Value, json};

use crate::support::TestServer;

fn doc(kind: &str, spec: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": kind, "spec": spec })
}

fn pack_query(change: Value) -> Value {
    let mut query = json!({ "query": "known", "interval": 60 });
    query.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    doc("pack", json!({ "name": "p", "queries": [query] }))
}

fn pack(change: Value) -> Value {
    let mut spec = json!({ "name": "p" });
    spec.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    doc("pack", spec)
}

fn options(config: Value) -> Value {
    doc("config", json!({ "agent_options": { "config": config } }))
}

/// Applies each document beside a good one, and checks the place of what is wrong with it.
async fn assert_paths(cases: &[(Value, &str)]) {
    let server = TestServer::start().await;
    let known = doc("query", json!({ "name": "known", "query": "SELECT 1" }));
    for (document, path) in cases {
        let answer = server.rest.try_apply(&[known.clone(), document.clone()], false).await;
        assert_eq!(answer.status, 422, "{document}: {}", answer.text);
        assert_eq!(answer.json()["message"], "Validation Failed");
        let problems = answer.problems();
        let expected = format!("documents[1]{path}: ");
        assert!(problems.iter().any(|problem| problem.starts_with(&expected)), "{document}: {problems:?}");
        assert_eq!(problems.len(), 1, "{document}: {problems:?}");
    }
    assert_eq!(server.number("SELECT count(*) FROM queries"), 0, "the good document was kept out too");
}

#[tokio::test]
async fn unknown_keys_are_named_by_their_path() {
    assert_paths(&[
        (
            json!({ "kind": "label", "spec": { "name": "l", "query": "SELECT 1" }, "apiVersion": "v1", "more": 1 }),
            ".more",
        ),
        (doc("query", json!({ "name": "a", "query": "SELECT 1", "qery": "" })), ".spec.qery"),
        (pack_query(json!({ "intervall": 5 })), ".spec.queries[0].intervall"),
        (pack(json!({ "targets": { "label": [] } })), ".spec.targets.label"),
        (doc("label", json!({ "name": "l", "query": "SELECT 1", "host": [] })), ".spec.host"),
        (doc("config", json!({ "org_infos": {} })), ".spec.org_infos"),
        (doc("config", json!({ "org_info": { "name": "x" } })), ".spec.org_info.name"),
        (options(json!({ "option": {} })), ".spec.agent_options.config.option"),
        (doc("config", json!({ "agent_options": { "confg": {} } })), ".spec.agent_options.confg"),
        (doc("options", json!({ "overrides": { "platform": {} } })), ".spec.overrides.platform"),
        (doc("enroll_secret", json!({ "secrets": [{ "secret": "s", "names": "n" }] })), ".spec.secrets[0].names"),
    ])
    .await;
}

#[tokio::test]
async fn wrong_types_are_named_by_their_path() {
    assert_paths(&[
        (doc("query", json!({ "name": 7, "query": "SELECT 1" })), ".spec.name"),
        (doc("query", json!([])), ".spec"),
        (doc("query", json!("text")), ".spec"),
        (pack(json!({ "queries": {} })), ".spec.queries"),
        (pack_query(json!({ "interval": "60" })), ".spec.queries[0].interval"),
        (pack_query(json!({ "interval": -1 })), ".spec.queries[0].interval"),
        (pack_query(json!({ "interval": 1.5 })), ".spec.queries[0].interval"),
        (pack_query(json!({ "snapshot": "true" })), ".spec.queries[0].snapshot"),
        (pack(json!({ "targets": { "labels": ["All Hosts", 7] } })), ".spec.targets.labels[1]"),
        (doc("label", json!({ "name": "l", "query": "SELECT 1", "label_type": "other" })), ".spec.label_type"),
        (doc("config", json!([])), ".spec"),
        (doc("config", json!({ "org_info": { "org_name": 7 } })), ".spec.org_info.org_name"),
        (options(json!([])), ".spec.agent_options.config"),
        (options(json!({ "packs": [] })), ".spec.agent_options.config.packs"),
        (doc("enroll_secret", json!({ "secrets": "s" })), ".spec.secrets"),
        (json!({ "kind": 7, "spec": {} }), ".kind"),
        (json!({ "kind": "teem", "spec": {} }), ".kind"),
        (json!({ "apiVersion": "v2", "kind": "label", "spec": { "name": "l", "query": "SELECT 1" } }), ".apiVersion"),
        (json!({ "kind": "query" }), ""),
        (json!("text"), ""),
        (json!(null), ""),
    ])
    .await;
}

#[tokio::test]
async fn reasons_say_what_to_write() {
    let server = TestServer::start().await;
    for (document, part) in [
        (pack_query(json!({ "interval": "60" })), "from 1 to 604800, not \"60\"; write it without quotes"),
        (pack_query(json!({ "interval": 0 })), "from 1 to 604800, not 0"),
        (doc("querry", json!({})), "did you mean \"query\"?"),
        (options(json!({ "options": { "distributed_interval": "ten" } })), "expects a whole number, 0 or more"),
    ] {
        let problems = server.rest.try_apply(std::slice::from_ref(&document), false).await.problems();
        assert!(problems.iter().any(|problem| problem.contains(part)), "{document}: {problems:?}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_named() {
    assert_paths(&[
        (pack_query(json!({ "query": "unknown" })), ".spec.queries[0].query"),
        (pack(json!({ "targets": { "labels": ["All Hosts", "unknown"] } })), ".spec.targets.labels[1]"),
    ])
    .await;
}

#[tokio::test]
async fn what_agents_would_not_understand_is_refused() {
    let long = "x".repeat(256);
    assert_paths(&[
        (pack_query(json!({ "interval": 0 })), ".spec.queries[0].interval"),
        (pack_query(json!({ "interval": 604_801 })), ".spec.queries[0].interval"),
        (pack_query(json!({ "shard": 101 })), ".spec.queries[0].shard"),
        (pack_query(json!({ "platform": "macos" })), ".spec.queries[0].platform"),
        (pack_query(json!({ "version": "five" })), ".spec.queries[0].version"),
        (pack_query(json!({ "name": "a:b" })), ".spec.queries[0].name"),
        (pack_query(json!({ "name": "my counter" })), ".spec.queries[0].name"),
        (pack(json!({ "name": "main" })), ".spec.name"),
        (pack(json!({ "name": "an epoch" })), ".spec.name"),
        (pack(json!({ "name": long })), ".spec.name"),
        (pack(json!({ "name": " p" })), ".spec.name"),
        (pack(json!({ "name": "a\nb" })), ".spec.name"),
        (pack(json!({ "discovery": [" "] })), ".spec.discovery[0]"),
        (options(json!({ "options": { "a": 1.5 } })), ".spec.agent_options.config.options.a"),
        (options(json!({ "options": { "a": null } })), ".spec.agent_options.config.options.a"),
        (options(json!({ "options": { "a": "" } })), ".spec.agent_options.config.options.a"),
        (doc("query", json!({ "name": "q", "query": "x".repeat(300_000) })), ".spec.query"),
        (doc("enroll_secret", json!({ "secrets": [{ "secret": "" }] })), ".spec.secrets[0].secret"),
        (doc("enroll_secret", json!({ "secrets": [{ "secret": "a " }] })), ".spec.secrets[0].secret"),
    ])
    .await;
}

#[tokio::test]
async fn intervals_from_a_second_to_a_week_are_fine() {
    let server = TestServer::start().await;
    let known = doc("query", json!({ "name": "known", "query": "SELECT 1" }));
    for interval in [1, 604_800] {
        server.rest.apply(&[known.clone(), pack_query(json!({ "interval": interval }))]).await;
    }
}

#[tokio::test]
async fn one_name_with_two_contents_is_refused() {
    let server = TestServer::start().await;
    let query = |sql: &str| doc("query", json!({ "name": "a", "query": sql }));
    let label = |platform: &str| doc("label", json!({ "name": "l", "query": "SELECT 1", "platform": platform }));
    let secret = || doc("enroll_secret", json!({ "secrets": [{ "secret": "s" }] }));
    let cases = [
        (vec![query("SELECT 1"), query("SELECT 2")], "documents[1].spec.name: "),
        (vec![label("darwin"), label("windows")], "documents[1].spec.name: "),
        (vec![secret(), secret()], "documents[1].kind: "),
        (vec![options(json!({})), doc("options", json!({ "config": {} }))], "documents[1].kind: "),
        (vec![doc("pack", json!({ "name": "p" })), pack(json!({ "disabled": true }))], "documents[1].spec.name: "),
    ];
    for (documents, path) in cases {
        let answer = server.rest.try_apply(&documents, false).await;
        assert_eq!(answer.status, 422, "{documents:?}: {}", answer.text);
        assert!(answer.problems()[0].starts_with(path), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_name_may_stand_once_in_a_pack() {
    let server = TestServer::start().await;
    let twice = json!([{ "query": "known", "interval": 1 }, { "query": "known", "interval": 2 }]);
    let documents = [doc("query", json!({ "name": "known", "query": "SELECT 1" })), pack(json!({ "queries": twice }))];
    let answer = server.rest.try_apply(&documents, false).await;
    assert!(answer.problems()[0].starts_with("documents[1].spec.queries[1].query: "), "{}", answer.text);
}

#[tokio::test]
async fn built_in_labels_stay_as_they_are() {
    let server = TestServer::start().await;
    let label = |name: &str, label_type: &str| {
        doc("label", json!({ "name": name, "query": "SELECT 2", "label_type": label_type }))
    };
    let answer = server.rest.try_apply(&[label("All Hosts", "regular")], false).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    for name in ["All Hosts", "one that only Fleet has"] {
        let applied = server.rest.apply(&[label(name, "builtin")]).await;
        assert_eq!((applied.changes[0].action, applied.warnings.len()), (Action::Ignored, 1), "{name}");
    }
    assert_eq!(server.number("SELECT count(*) FROM labels WHERE query = 'SELECT 2'"), 0);
}

/// Options that are wrapped in a `spec` of their own leave no room for others beside it.
#[tokio::test]
async fn keys_beside_a_nested_spec_are_refused() {
    let config = json!({ "options": { "distributed_interval": 10 } });
    assert_paths(&[
        (doc("options", json!({ "spec": { "config": config }, "config": {} })), ".spec.config"),
        (
            doc("config", json!({ "agent_options": { "spec": { "config": config }, "overrides": {} } })),
            ".spec.agent_options.overrides",
        ),
        (doc("options", json!({ "spec": { "config": config }, "anything": 1 })), ".spec.anything"),
    ])
    .await;
    let server = TestServer::start().await;
    for spec in [json!({ "spec": null, "config": config }), json!({ "spec": { "config": config }, "config": null })] {
        server.rest.apply(&[doc("options", spec.clone())]).await;
        let kept = server.rest.get("spec/osquery_options").await.json();
        assert_eq!(kept["spec"]["config"]["options"]["distributed_interval"], 10, "{spec}");
        server.rest.apply(&[doc("options", json!({ "config": {} }))]).await;
    }
}

/// `Uptime` is the query `uptime`, wherever it is named.
#[tokio::test]
async fn names_of_queries_and_packs_are_the_same_in_any_case() {
    let server = TestServer::start().await;
    let query = |name: &str, sql: &str| doc("query", json!({ "name": name, "query": sql }));
    let pack =
        |name: &str, query: &str| doc("pack", json!({ "name": name, "queries": [{ "query": query, "interval": 60 }] }));
    server.rest.apply(&[query("uptime", "SELECT 1"), pack("base", "UPTIME")]).await;
    let again = server.rest.apply(&[pack("base", "Uptime")]).await;
    assert_eq!(again.changes[0].action, Action::Unchanged);
    assert_eq!(server.rest.get("spec/packs/BASE").await.json()["specs"]["queries"][0]["query"], "uptime");
    let renamed = server.rest.apply(&[query("Uptime", "SELECT 2"), pack("Base", "Uptime")]).await;
    assert!(renamed.changes.iter().all(|change| change.action == Action::Changed), "{:?}", renamed.changes);
    let counts = ["queries", "packs"].map(|table| server.number(&format!("SELECT count(*) FROM {table}")));
    assert_eq!(counts, [1, 1]);
    for (path, body) in
        [("queries", json!({ "name": "UPTIME", "query": "SELECT 1" })), ("packs", json!({ "name": "bAse" }))]
    {
        assert_eq!(server.rest.post(path, &body).await.status, 409, "{path}");
    }
    for twins in
        [[query("a", "SELECT 1"), query("A", "SELECT 2")], [pack("p", "uptime"), doc("pack", json!({ "name": "P" }))]]
    {
        assert_eq!(server.rest.try_apply(&twins, false).await.status, 422);
    }
    assert_eq!(server.rest.try_apply(&[doc("pack", json!({ "name": "GLOBAL" }))], false).await.status, 422);
}

#[tokio::test]
async fn a_label_of_another_version_is_not_made_again_in_other_capitals() {
    let server = TestServer::start().await;
    server.rest.apply(&[doc("label", json!({ "name": "Later", "query": "SELECT 1" }))]).await;
    server.database().execute("UPDATE labels SET membership_type = 'of the future' WHERE name = 'Later'");
    let label = doc("label", json!({ "name": "later", "query": "SELECT 2" }));
    let answer = server.rest.try_apply(&[label], false).await;
    assert!(answer.text.contains("this version does not know the type of label"), "{}", answer.text);
    assert_eq!(server.number("SELECT count(*) FROM labels WHERE LOWER(name) = 'later'"), 1);
}
