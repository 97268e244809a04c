//! A meaningful request for every operation of the API. What an operation needs comes from the server's own description,
//! `GET openapi.json`; an operation without a request here fails the tests.

use std::collections::BTreeSet;

use agent_compat::agent::{Identity, Platform};
use agent_compat::{CarveOutcome, Carver};
use serde_json::{Value, json};

use super::schemas;
use crate::support::{PASSWORD, TestServer, mariadb};
use Least::{Admin, Maintainer, Nobody, Observer};

/// The least role an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Least {
    Nobody,
    Observer,
    Maintainer,
    Admin,
}

/// A request and the least role that may send it.
#[derive(Debug)]
pub struct Operation {
    pub method: &'static str,
    /// The path as the description has it.
    pub route: &'static str,
    /// The path with the name or id of an existing object.
    pub path: &'static str,
    pub least: Least,
    pub body: Option<Value>,
}

/// A request; the least role is that of the description unless `least` says that these contents need more.
struct Sample {
    method: &'static str,
    route: &'static str,
    path: &'static str,
    body: Option<Value>,
    least: Option<Least>,
}

/// A rollout of a pack that nothing else names.
/// The path of a scheduled query by its id. On MariaDB one id was used up by the rollout, whose documents are tried and taken back.
fn scheduled(path: &str, id: u64) -> &'static str {
    format!("{path}/{}", id + u64::from(mariadb::is_chosen())).leak()
}

/// What requests delete by its id: query 3, label 10 and pack 2.
const SPARE: &str = "
kind: query
spec: {name: spare, query: SELECT 1}
---
kind: label
spec: {name: spare, query: SELECT 1}
---
kind: pack
spec: {name: spare}
";

const ROLLOUT: &str = r#"
apiVersion: v1
kind: rollout
spec:
  name: new pack
  documents:
    - kind: pack
      spec:
        name: rolled out
        targets:
          labels: [All Hosts]
        queries:
          - query: uptime
            name: up
            interval: 600
"#;

/// A server with all objects that the requests name.
pub async fn furnished() -> TestServer {
    let server = TestServer::start().await;
    let mut identity = Identity::simulated(1, 1, Platform::Linux);
    "the-host".clone_into(&mut identity.host_identifier);
    let mut agent = server.address.agent_of(identity);
    assert!(agent.enroll().await.verdict.is_success());
    server.rest.apply_yaml(super::DOCUMENTS).await;
    // Before what is tried and taken back, which uses up ids on MariaDB.
    server.rest.apply_yaml(SPARE).await;
    server.rest.apply_yaml(ROLLOUT).await;
    let outcome = Carver::numbered(1, 4, b"an archive".to_vec()).send(&agent).await;
    assert_eq!(outcome, CarveOutcome::Success { left_out: Vec::new() });
    let plan = json!({ "documents": [{ "kind": "query", "spec": { "name": "planned", "query": "SELECT 1" } }] });
    assert_eq!(server.rest.post("spec/plan", &plan).await.status, 200);
    // Requests of somebody else.
    let now = server.clock.now().0;
    for key in ["aaaaaaaaaaaa", "bbbbbbbbbbbb"] {
        server.database().execute(&format!(
            "INSERT INTO guard_approvals (mark, sql_use, asked_by_id, asked_by, asked_at, expires_at, state, findings, query) \
             VALUES ('{key}', 'live', 4711, 'else@example.com', {now}, {now} + 90000000000, 'open', '[]', 'SELECT 1')"
        ));
    }
    server
}

/// The operations in an order in which all of them succeed for an administrator.
pub async fn all(server: &TestServer) -> Vec<Operation> {
    let document = document(server).await;
    let operation = |sample: Sample| {
        let Sample { method, route, path, body, least } = sample;
        let described = described(&document, method, route);
        let documented = least_of(described);
        let least = least.unwrap_or(documented);
        assert!(least >= documented, "{method} {route} needs {documented:?} in any case");
        Operation { method, route, path, least, body }
    };
    samples().into_iter().map(operation).collect()
}

/// The server's description of its API.
pub async fn document(server: &TestServer) -> Value {
    let answer = server.rest.anonymous().get("openapi.json").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// The description of an operation.
pub fn described<'a>(document: &'a Value, method: &str, route: &str) -> &'a Value {
    let operation = &document["paths"][route][method.to_lowercase()];
    assert!(operation.is_object(), "{method} {route} is not described");
    operation
}

fn least_of(operation: &Value) -> Least {
    match operation["x-least-role"].as_str() {
        None => Nobody,
        Some("observer") => Observer,
        Some("maintainer") => Maintainer,
        Some("admin") => Admin,
        Some(other) => panic!("unknown role {other}"),
    }
}

fn get(route: &'static str) -> Sample {
    Sample { method: "GET", route, path: route.trim_start_matches('/'), body: None, least: None }
}

fn post(route: &'static str, body: Value) -> Sample {
    Sample { method: "POST", body: Some(body), ..get(route) }
}

fn named(route: &'static str, path: &'static str) -> Sample {
    Sample { path, ..get(route) }
}

fn patch(route: &'static str, path: &'static str, body: Value) -> Sample {
    Sample { method: "PATCH", body: Some(body), ..named(route, path) }
}

fn delete(route: &'static str, path: &'static str) -> Sample {
    Sample { method: "DELETE", ..named(route, path) }
}

fn translated(of: &str, name: &str) -> Value {
    json!({ "list": [{ "type": of, "payload": { "identifier": name } }] })
}

fn apply(least: Least, kind: &str, spec: Value) -> Sample {
    let document = json!({ "kind": kind, "spec": spec });
    Sample { least: Some(least), ..post("/spec/apply", json!({ "documents": [document] })) }
}

fn samples() -> Vec<Sample> {
    let query = json!({ "name": "of the matrix", "query": "SELECT 1" });
    let pack = json!({ "name": "of the matrix", "queries": [] });
    let label = json!({ "name": "of the matrix", "query": "SELECT 1" });
    let secrets = json!({ "secrets": [{ "secret": "of the matrix" }] });
    let config = json!({ "org_info": { "org_name": "of the matrix" } });
    let specs = |spec: &Value| json!({ "specs": [spec] });
    let new_user = json!({ "email": "made@example.com", "password": PASSWORD, "global_role": "observer" });
    let passwords = json!({ "old_password": PASSWORD, "new_password": format!("{PASSWORD}2") });
    vec![
        post("/login", json!({ "email": "admin@example.com", "password": PASSWORD })),
        get("/openapi.json"),
        get("/results/info"),
        get("/me"),
        get("/version"),
        post("/translate", translated("label", "has docker")),
        Sample { least: Some(Admin), ..post("/translate", translated("user", "admin@example.com")) },
        get("/config"),
        patch("/config", "config", config.clone()),
        apply(Maintainer, "query", query.clone()),
        apply(Maintainer, "label", label.clone()),
        apply(Maintainer, "pack", pack.clone()),
        apply(Admin, "config", config),
        apply(Admin, "options", json!({ "config": {} })),
        apply(Admin, "enroll_secret", secrets.clone()),
        apply(Admin, "user_roles", json!({ "roles": {} })),
        post("/spec/plan", json!({ "documents": [{ "kind": "query", "spec": query }], "max_deletes": 0 })),
        get("/spec/plans"),
        named("/spec/plans/{id}", "spec/plans/1"),
        post("/spec/delete", json!({ "documents": [{ "kind": "query", "spec": { "name": "not there" } }] })),
        get("/documents/status"),
        get("/spec/queries"),
        post("/spec/queries", specs(&query)),
        named("/spec/queries/{name}", "spec/queries/uptime"),
        get("/spec/packs"),
        post("/spec/packs", specs(&pack)),
        named("/spec/packs/{name}", "spec/packs/base"),
        get("/spec/labels"),
        post("/spec/labels", specs(&label)),
        named("/spec/labels/{name}", "spec/labels/has%20docker"),
        get("/spec/global_schedule"),
        post("/spec/global_schedule", json!({ "spec": { "queries": [] } })),
        get("/spec/enroll_secret"),
        post("/spec/enroll_secret", json!({ "spec": secrets })),
        get("/spec/osquery_options"),
        post("/spec/osquery_options", json!({ "spec": { "config": {} } })),
        get("/hosts"),
        get("/hosts/count"),
        get("/host_summary"),
        post("/hosts/search", json!({ "query": "the" })),
        named("/hosts/report", "hosts/report?format=ndjson"),
        named("/hosts/identifier/{word}", "hosts/identifier/the-host"),
        named("/hosts/{id}", "hosts/1"),
        named("/hosts/identifier/{word}/config", "hosts/identifier/the-host/config"),
        named("/hosts/{id}/config", "hosts/1/config"),
        named("/hosts/{id}/statistics", "hosts/1/statistics"),
        get("/statistics/queries"),
        named("/statistics/query", "statistics/query?pack=base&name=uptime&label_id=1"),
        named("/statistics/denylist", "statistics/denylist?lifted=true"),
        get("/statistics/restarts"),
        get("/statistics/stalled"),
        get("/statistics/hosts"),
        named("/agent_config", "agent_config?platform=ubuntu&label_id=1"),
        named("/schema", "schema?platform=linux&label_id=1&host_id=1&unagreed=true"),
        Sample { path: "hosts/1/refetch", ..post("/hosts/{id}/refetch", json!({})) },
        get("/queries"),
        post("/queries", json!({ "name": "made", "query": "SELECT 1" })),
        named("/queries/{id}", "queries/1"),
        patch("/queries/{id}", "queries/1", json!({ "description": "changed" })),
        delete("/queries/{name}", "queries/made"),
        delete("/queries/id/{id}", "queries/id/3"),
        post("/queries/delete", json!({ "ids": [] })),
        get("/labels"),
        get("/labels/summary"),
        post("/labels", json!({ "name": "made", "query": "SELECT 1" })),
        named("/labels/{id}", "labels/9"),
        named("/labels/{id}/hosts", "labels/9/hosts"),
        patch("/labels/{id}", "labels/9", json!({ "description": "changed" })),
        delete("/labels/{name}", "labels/made"),
        delete("/labels/id/{id}", "labels/id/10"),
        get("/packs"),
        post("/packs", json!({ "name": "made" })),
        named("/packs/{id}", "packs/1"),
        patch("/packs/{id}", "packs/1", json!({ "description": "changed" })),
        named("/packs/{id}/scheduled", "packs/1/scheduled"),
        post("/schedule", json!({ "pack_id": 1, "query_id": 1, "interval": 60 })),
        post("/packs/schedule", json!({ "pack_id": 1, "query_id": 1, "interval": 60 })),
        get("/schedule"),
        named("/schedule/{id}", "schedule/1"),
        patch("/schedule/{id}", "schedule/1", json!({ "interval": 60 })),
        delete("/schedule/{id}", scheduled("schedule", 3)),
        get("/global/schedule"),
        post("/global/schedule", json!({ "query_id": 1, "interval": 60 })),
        patch("/global/schedule/{id}", scheduled("global/schedule", 5), json!({ "interval": 90 })),
        delete("/global/schedule/{id}", scheduled("global/schedule", 5)),
        delete("/packs/{name}", "packs/made"),
        delete("/packs/id/{id}", "packs/id/2"),
        post("/live_queries", json!({ "query_name": "ports", "targets": { "all": true } })),
        Sample {
            least: Some(Maintainer),
            ..post("/live_queries", json!({ "query": "SELECT 1", "targets": { "all": true } }))
        },
        get("/live_queries"),
        named("/live_queries/{id}", "live_queries/1"),
        named("/live_queries/{id}/hosts", "live_queries/1/hosts?state=pending"),
        named("/live_queries/{id}/results", "live_queries/1/results"),
        Sample { path: "live_queries/1/rate", ..post("/live_queries/{id}/rate", json!({ "rate": 5 })) },
        Sample { path: "live_queries/1/pause", ..post("/live_queries/{id}/pause", json!({})) },
        Sample { path: "live_queries/1/resume", ..post("/live_queries/{id}/resume", json!({})) },
        Sample { path: "live_queries/1/promote", ..post("/live_queries/{id}/promote", json!({})) },
        Sample { path: "live_queries/1/cancel", ..post("/live_queries/{id}/cancel", json!({})) },
        Sample {
            least: Some(Maintainer),
            ..post("/queries/run", json!({ "query": "SELECT 1", "selected": { "hosts": [1] } }))
        },
        Sample {
            least: Some(Maintainer),
            ..post("/queries/run_by_names", json!({ "query": "SELECT 1", "selected": { "hosts": ["the-host"] } }))
        },
        Sample { method: "GET", ..post("/queries/run", json!({ "query_ids": [999], "host_ids": [1] })) },
        post("/targets", json!({ "query": "", "selected": { "hosts": [1] } })),
        post("/targets/count", json!({ "selected": { "hosts": [1] } })),
        get("/status/live_query"),
        get("/status/result_store"),
        get("/users"),
        post("/users/admin", new_user),
        named("/users/{id}", "users/1"),
        patch("/users/{id}", "users/3", json!({ "name": "changed" })),
        delete("/users/{id}", "users/3"),
        get("/users/roles/spec"),
        post("/users/roles/spec", json!({ "spec": { "roles": {} } })),
        post("/change_password", passwords),
        named("/carves", "carves?expired=1&order_key=created_at"),
        named("/carves/{id}", "carves/1"),
        named("/carves/{id}/block/{block}", "carves/1/block/2"),
        named("/carves/{id}/contents", "carves/1/contents"),
        named("/carves/{id}/blocks", "carves/1/blocks?count=1"),
        delete("/carves/{id}", "carves/1"),
        get("/approvals"),
        Sample { path: "approvals/aaaaaaaaaaaa/grant", ..post("/approvals/{key}/grant", json!({})) },
        Sample { path: "approvals/bbbbbbbbbbbb/deny", ..post("/approvals/{key}/deny", json!({})) },
        get("/rollouts"),
        named("/rollouts/{name}", "rollouts/new%20pack"),
        Sample { path: "rollouts/new%20pack/pause", ..post("/rollouts/{name}/pause", json!({})) },
        Sample { path: "rollouts/new%20pack/resume", ..post("/rollouts/{name}/resume", json!({})) },
        Sample { path: "rollouts/new%20pack/promote", ..post("/rollouts/{name}/promote", json!({})) },
        Sample { path: "rollouts/new%20pack/abort", ..post("/rollouts/{name}/abort", json!({})) },
        post("/hosts/delete", json!({ "ids": [] })),
        delete("/hosts/{id}", "hosts/1"),
        // Last, since it ends the session it is tried with.
        post("/logout", json!({})),
    ]
}

#[tokio::test]
async fn every_operation_has_a_request() {
    let server = TestServer::start().await;
    let document = document(&server).await;
    let mut described = BTreeSet::new();
    for (route, path) in document["paths"].as_object().unwrap() {
        for (method, operation) in path.as_object().unwrap() {
            // Set-up has tests of its own, and sockets say in their first message who opens them: see `live::sockets`.
            if path.get("servers").is_none() && operation["responses"].get("101").is_none() {
                described.insert((method.to_uppercase(), route.clone()));
            }
        }
    }
    let sampled = samples().into_iter().map(|sample| (sample.method.to_owned(), sample.route.to_owned())).collect();
    assert_eq!(described, sampled);
}

/// Requests and responses are what the description says.
#[tokio::test]
async fn bodies_match_their_schemas() {
    let server = furnished().await;
    let user = server.user("admin");
    let document = document(&server).await;
    for Operation { method, route, path, body, .. } in all(&server).await {
        let operation = described(&document, method, route);
        if let Some(body) = &body {
            let wanted = &operation["requestBody"]["content"]["application/json"]["schema"];
            // Some operations without a body take an empty one.
            if !wanted.is_null() {
                assert_eq!(schemas::faults(&document, wanted, body), [""; 0], "{method} {route}: {body}");
            }
        }
        let answer = user.send(method, path, body.as_ref()).await;
        assert_eq!(answer.status, 200, "{method} {route}: {}", answer.text);
        let content = operation["responses"]["200"]["content"].as_object().unwrap();
        let (media_type, content) = content.iter().next().unwrap();
        assert!(answer.headers["content-type"].to_str().unwrap().starts_with(media_type), "{method} {route}");
        if media_type == "application/x-tar" {
            continue;
        }
        let values: Vec<Value> =
            serde_json::Deserializer::from_str(&answer.text).into_iter().map(Result::unwrap).collect();
        for value in values {
            assert_eq!(schemas::faults(&document, &content["schema"], &value), [""; 0], "{method} {route}: {value:#}");
        }
    }
    let refused = server.rest.anonymous().get("me").await.json();
    let refusal = &document["components"]["responses"]["Refusal"]["content"]["application/json"]["schema"];
    assert_eq!(schemas::faults(&document, refusal, &refused), [""; 0]);
}
