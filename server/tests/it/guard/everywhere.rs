use serde_json::{Value, json};

use super::{GuardFile, enforce, rule};
use crate::live::hosts;
use crate::support::{Answer, Rest, TestServer, Visitor};

const CURL: &str = "SELECT result FROM \"Curl\" WHERE url = 'http://192.0.2.1/'";

/// Saved queries that were there before.
const SAVED: usize = 5;

/// The same in other words each time: hosts run nothing of it yet.
fn curl(number: usize) -> String {
    format!("{CURL} LIMIT {number}")
}

/// What was there before the guard refused it.
struct Before {
    /// Those that read `curl`.
    query_ids: Vec<i64>,
    harmless_id: i64,
    pack_id: i64,
    disabled_pack_id: i64,
    host_id: i64,
}

/// A way by which SQL comes in, with what it answers.
type Ways = Vec<(&'static str, Answer)>;

fn document(kind: &str, spec: Value) -> Value {
    json!({ "kind": kind, "spec": spec })
}

fn options(parts: Value) -> Value {
    document("options", json!({ "config": parts }))
}

async fn before(server: &TestServer) -> Before {
    hosts(server, 1).await;
    let all = json!({ "labels": ["All Hosts"] });
    let scheduled = json!([{ "query": "curls0", "interval": 60 }]);
    let mut documents: Vec<Value> = (0..SAVED)
        .map(|number| document("query", json!({ "name": format!("curls{number}"), "query": curl(number) })))
        .collect();
    documents.push(document("query", json!({ "name": "harmless", "query": "SELECT 1" })));
    documents.push(document("pack", json!({ "name": "enabled", "targets": all })));
    let disabled = json!({ "name": "disabled", "targets": all, "disabled": true, "queries": scheduled });
    documents.push(document("pack", disabled));
    server.rest.apply(&documents).await;
    let id = |table: &str, name: &str| server.number(&format!("SELECT id FROM {table} WHERE name = '{name}'"));
    Before {
        query_ids: (0..SAVED).map(|number| id("queries", &format!("curls{number}"))).collect(),
        harmless_id: id("queries", "harmless"),
        pack_id: id("packs", "enabled"),
        disabled_pack_id: id("packs", "disabled"),
        host_id: server.number("SELECT min(id) FROM hosts"),
    }
}

/// Live queries, by everything that starts them.
async fn live(server: &TestServer, before: &Before) -> Ways {
    let rest = &server.rest;
    let all = json!({ "all": true });
    let ids = json!({ "hosts": [before.host_id], "labels": [] });
    let names = json!({ "hosts": [], "labels": ["All Hosts"] });
    let post = async |path: &str, body: Value| rest.post(path, &body).await;
    let visitor = Visitor::of(&server.address, rest);
    let page = visitor.submit("/live", "/live", &[("sql", CURL), ("all", "true")]).await;
    // Of a live query that has begun, its page says it.
    let page = match page.headers.get("location") {
        Some(location) => visitor.get(location.to_str().unwrap()).await,
        None => page,
    };
    vec![
        ("live SQL", post("live_queries", json!({ "query": CURL, "targets": all })).await),
        ("live by name", post("live_queries", json!({ "query_name": "curls0", "targets": all })).await),
        (
            "live discovery",
            post("live_queries", json!({ "query": "SELECT 1", "discovery": CURL, "targets": all })).await,
        ),
        ("campaign", post("queries/run", json!({ "query": CURL, "selected": ids })).await),
        (
            "campaign of a saved query",
            post("queries/run", json!({ "query_id": before.query_ids[0], "selected": ids })).await,
        ),
        ("campaign by names", post("queries/run_by_names", json!({ "query": CURL, "selected": names })).await),
        ("live page", page),
    ]
}

/// Saved queries, labels, packs and schedules, by REST and by pages.
async fn saved(server: &TestServer, before: &Before) -> Ways {
    let rest = &server.rest;
    let post = async |path: &str, body: Value| rest.post(path, &body).await;
    let patch = async |path: String, body: Value| rest.send("PATCH", &path, Some(&body)).await;
    let Before { query_ids, harmless_id, pack_id, disabled_pack_id, .. } = before;
    let visitor = Visitor::of(&server.address, rest);
    let review = [("name", "harmless"), ("sql", CURL), ("step", "review")];
    let edit = format!("/queries/{harmless_id}/edit");
    vec![
        ("new query", post("queries", json!({ "name": "new", "query": CURL })).await),
        ("edited on a page", visitor.submit(&edit, &edit, &review).await),
        ("edited query", patch(format!("queries/{harmless_id}"), json!({ "query": CURL })).await),
        ("new label", post("labels", json!({ "name": "new", "query": curl(20) })).await),
        (
            "schedule of a pack",
            post("packs/schedule", json!({ "pack_id": pack_id, "query_id": query_ids[1], "interval": 60 })).await,
        ),
        ("global schedule", post("global/schedule", json!({ "query_id": query_ids[2], "interval": 60 })).await),
        ("enabled pack", patch(format!("packs/{disabled_pack_id}"), json!({ "disabled": false })).await),
    ]
}

/// Documents, applied and tried.
async fn documents(rest: &Rest) -> Ways {
    let all = json!({ "labels": ["All Hosts"] });
    let scheduled = |number: usize| json!([{ "query": format!("curls{number}"), "interval": 60 }]);
    let queries = |number: usize| json!({ "q": { "query": curl(number), "interval": 60 } });
    let pack = json!({ "name": "d3", "targets": all, "queries": scheduled(3) });
    let apart = json!({ "config": {}, "overrides": { "platforms": { "debian": { "schedule": queries(18) } } } });
    let documents = [
        ("query document", document("query", json!({ "name": "d1", "query": CURL }))),
        ("label document", document("label", json!({ "name": "d2", "query": CURL }))),
        ("pack document", document("pack", pack)),
        ("discovery document", document("pack", json!({ "name": "d4", "targets": all, "discovery": [CURL] }))),
        ("global schedule document", document("global_schedule", json!({ "queries": scheduled(4) }))),
        ("decorator at start", options(json!({ "decorators": { "load": [curl(10)] } }))),
        ("decorator always", options(json!({ "decorators": { "always": [curl(11)] } }))),
        ("decorator by interval", options(json!({ "decorators": { "interval": { "60": [curl(12)] } } }))),
        ("view", options(json!({ "views": { "harmless_name": curl(13) } }))),
        ("files by SQL", options(json!({ "file_paths_query": { "x": [curl(14)] } }))),
        ("schedule in options", options(json!({ "schedule": queries(15) }))),
        ("pack in options", options(json!({ "packs": { "p": { "queries": queries(16) } } }))),
        ("discovery in options", options(json!({ "packs": { "p": { "discovery": [CURL], "queries": {} } } }))),
        ("packs in options", options(json!({ "packs": { "*": { "p": { "queries": queries(17) } } } }))),
        ("override of options", document("options", apart)),
        ("configuration", document("config", json!({ "agent_options": { "config": { "schedule": queries(19) } } }))),
    ];
    let mut ways = Vec::new();
    for (way, document) in documents {
        let documents = [document];
        ways.push((way, rest.try_apply(&documents, true).await));
        ways.push((way, rest.try_apply(&documents, false).await));
    }
    ways
}

async fn all(server: &TestServer, before: &Before) -> Ways {
    let mut ways = live(server, before).await;
    ways.extend(documents(&server.rest).await);
    ways.extend(saved(server, before).await);
    ways
}

#[tokio::test]
async fn what_a_rule_denies_is_refused_whatever_way_it_comes_by() {
    let file = GuardFile::new(&rule("warn", "deny: true"));
    let server = TestServer::with(|config| file.set(config)).await;
    let before = before(&server).await;
    enforce(&server, &file, &rule("enforce", "deny: true"), CURL).await;
    let tables = ["queries", "labels", "packs", "scheduled_queries", "live_queries"];
    let counts = || tables.map(|table| server.number(&format!("SELECT count(*) FROM {table}")));
    let were = counts();
    for (way, answer) in all(&server, &before).await {
        // A page shows its form again.
        let is_page = answer.text.contains("<html");
        assert!(is_page || answer.status == 422, "{way}: {} {}", answer.status, answer.text);
        for said in ["the table guard refuses this", "requests", "hosts send requests"] {
            assert!(answer.text.contains(said), "{way}: {}", answer.text);
        }
    }
    assert_eq!(counts(), were, "and nothing was kept");
    let run = json!({ "query_ids": [before.query_ids[0]], "host_ids": [before.host_id] });
    let answer = server.rest.send("GET", "queries/run", Some(&run)).await.json();
    let error = answer["live_query_results"][0]["error"].as_str().unwrap_or_default();
    assert!(error.contains("the table guard refuses this"), "{answer:#}");
    assert!(server.metric("muster_guard_findings_total{effect=\"refused\",use=\"decorator\"}").await >= 3.0);
    // What hosts run already can be changed otherwise, and taken away.
    let documents = [document("query", json!({ "name": "curls0", "query": curl(0), "description": "as it was" }))];
    assert_eq!(server.rest.try_apply(&documents, false).await.status, 200);
    assert_eq!(server.rest.send("DELETE", "packs/disabled", None).await.status, 200);
}

#[tokio::test]
async fn what_a_rule_warns_of_is_said_whatever_way_it_comes_by() {
    let file = GuardFile::new(&rule("warn", "deny: true"));
    let server = TestServer::with(|config| file.set(config)).await;
    let before = before(&server).await;
    for (way, answer) in all(&server, &before).await {
        assert_eq!(answer.status, 200, "{way}: {}", answer.text);
        for said in ["the table guard warns", "requests", "hosts send requests"] {
            assert!(answer.text.contains(said), "{way}: {}", answer.text);
        }
    }
    let activity =
        "SELECT count(*) FROM activities WHERE kind = 'live_query' AND details LIKE '%the table guard warns%'";
    assert!(server.number(activity) >= 5);
}

#[tokio::test]
async fn the_guard_that_is_shipped_warns_and_refuses_nothing() {
    let server = TestServer::start().await;
    let query = json!({ "name": "a", "query": "SELECT command FROM users JOIN shell_history USING (uid)" });
    let answer = server.rest.post("queries", &query).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.text.contains("the table guard warns (rule \\\"shell-history\\\")"), "{}", answer.text);
    let query = json!({ "name": "b", "query": "SELECT name FROM processes" });
    assert!(!server.rest.post("queries", &query).await.text.contains("table guard"));
}
