//! Every operation of the API: who may use it, and a request that means something. A route that is missing here fails
//! the tests.

use serde_json::{Value, json};

use crate::support::PASSWORD;
use Least::{Admin, Maintainer, Nobody, Observer};

/// The least role an operation needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Least {
    Nobody,
    Observer,
    Maintainer,
    Admin,
}

#[derive(Debug)]
pub struct Operation {
    pub method: &'static str,
    /// As it is routed.
    pub route: &'static str,
    /// With the name of something that is there.
    pub path: &'static str,
    pub least: Least,
    pub body: Option<Value>,
}

fn get(route: &'static str, least: Least) -> Operation {
    Operation { method: "GET", route, path: route.trim_start_matches('/'), least, body: None }
}

fn post(route: &'static str, least: Least, body: Value) -> Operation {
    Operation { method: "POST", body: Some(body), ..get(route, least) }
}

fn named(route: &'static str, path: &'static str, least: Least) -> Operation {
    Operation { path, ..get(route, least) }
}

fn patch(route: &'static str, path: &'static str, least: Least, body: Value) -> Operation {
    Operation { method: "PATCH", body: Some(body), ..named(route, path, least) }
}

fn delete(route: &'static str, path: &'static str, least: Least) -> Operation {
    Operation { method: "DELETE", ..named(route, path, least) }
}

fn apply(least: Least, kind: &str, spec: Value) -> Operation {
    post("/spec/apply", least, json!({ "documents": [{ "kind": kind, "spec": spec }] }))
}

pub fn all() -> Vec<Operation> {
    let query = json!({ "name": "of the matrix", "query": "SELECT 1" });
    let pack = json!({ "name": "of the matrix", "queries": [] });
    let label = json!({ "name": "of the matrix", "query": "SELECT 1" });
    let secrets = json!({ "secrets": [{ "secret": "of the matrix" }] });
    let config = json!({ "org_info": { "org_name": "of the matrix" } });
    let specs = |spec: &Value| json!({ "specs": [spec] });
    let new_user = json!({ "email": "made@example.com", "password": PASSWORD, "global_role": "observer" });
    let passwords = json!({ "old_password": PASSWORD, "new_password": format!("{PASSWORD}2") });
    vec![
        post("/login", Nobody, json!({ "email": "admin@example.com", "password": PASSWORD })),
        get("/me", Observer),
        get("/version", Observer),
        get("/config", Observer),
        patch("/config", "config", Admin, config.clone()),
        apply(Maintainer, "query", query.clone()),
        apply(Maintainer, "label", label.clone()),
        apply(Maintainer, "pack", pack.clone()),
        apply(Admin, "config", config),
        apply(Admin, "options", json!({ "config": {} })),
        apply(Admin, "enroll_secret", secrets.clone()),
        apply(Admin, "user_roles", json!({ "roles": {} })),
        post(
            "/spec/delete",
            Maintainer,
            json!({ "documents": [{ "kind": "query", "spec": { "name": "not there" } }] }),
        ),
        get("/spec/queries", Observer),
        post("/spec/queries", Maintainer, specs(&query)),
        named("/spec/queries/{name}", "spec/queries/uptime", Observer),
        get("/spec/packs", Maintainer),
        post("/spec/packs", Maintainer, specs(&pack)),
        named("/spec/packs/{name}", "spec/packs/base", Maintainer),
        get("/spec/labels", Observer),
        post("/spec/labels", Maintainer, specs(&label)),
        named("/spec/labels/{name}", "spec/labels/has%20docker", Observer),
        get("/spec/enroll_secret", Maintainer),
        post("/spec/enroll_secret", Admin, json!({ "spec": secrets })),
        get("/hosts", Observer),
        get("/hosts/count", Observer),
        named("/hosts/identifier/{word}", "hosts/identifier/the-host", Observer),
        named("/hosts/{id}", "hosts/1", Observer),
        named("/hosts/identifier/{word}/config", "hosts/identifier/the-host/config", Maintainer),
        named("/hosts/{id}/config", "hosts/1/config", Maintainer),
        Operation { path: "hosts/1/refetch", ..post("/hosts/{id}/refetch", Maintainer, json!({})) },
        get("/queries", Observer),
        post("/queries", Maintainer, json!({ "name": "made", "query": "SELECT 1" })),
        named("/queries/{id}", "queries/1", Observer),
        patch("/queries/{id}", "queries/1", Maintainer, json!({ "description": "changed" })),
        delete("/queries/{name}", "queries/made", Maintainer),
        delete("/queries/id/{id}", "queries/id/3", Maintainer),
        post("/queries/delete", Maintainer, json!({ "ids": [] })),
        get("/labels", Observer),
        get("/labels/summary", Observer),
        post("/labels", Maintainer, json!({ "name": "made", "query": "SELECT 1" })),
        named("/labels/{id}", "labels/9", Observer),
        named("/labels/{id}/hosts", "labels/9/hosts", Observer),
        patch("/labels/{id}", "labels/9", Maintainer, json!({ "description": "changed" })),
        delete("/labels/{name}", "labels/made", Maintainer),
        delete("/labels/id/{id}", "labels/id/10", Maintainer),
        get("/packs", Maintainer),
        post("/packs", Maintainer, json!({ "name": "made" })),
        named("/packs/{id}", "packs/1", Maintainer),
        patch("/packs/{id}", "packs/1", Maintainer, json!({ "description": "changed" })),
        named("/packs/{id}/scheduled", "packs/1/scheduled", Maintainer),
        post("/schedule", Maintainer, json!({ "pack_id": 1, "query_id": 1, "interval": 60 })),
        post("/packs/schedule", Maintainer, json!({ "pack_id": 1, "query_id": 1, "interval": 60 })),
        named("/schedule/{id}", "schedule/1", Maintainer),
        patch("/schedule/{id}", "schedule/1", Maintainer, json!({ "interval": 60 })),
        delete("/schedule/{id}", "schedule/3", Maintainer),
        get("/global/schedule", Maintainer),
        post("/global/schedule", Maintainer, json!({ "query_id": 1, "interval": 60 })),
        patch("/global/schedule/{id}", "global/schedule/5", Maintainer, json!({ "interval": 90 })),
        delete("/global/schedule/{id}", "global/schedule/5", Maintainer),
        delete("/packs/{name}", "packs/made", Maintainer),
        delete("/packs/id/{id}", "packs/id/2", Maintainer),
        post("/live_queries", Observer, json!({ "query_name": "ports", "targets": { "all": true } })),
        post("/live_queries", Maintainer, json!({ "query": "SELECT 1", "targets": { "all": true } })),
        get("/live_queries", Observer),
        named("/live_queries/{id}", "live_queries/1", Observer),
        named("/live_queries/{id}/hosts", "live_queries/1/hosts?state=pending", Observer),
        named("/live_queries/{id}/results", "live_queries/1/results", Observer),
        Operation { path: "live_queries/1/cancel", ..post("/live_queries/{id}/cancel", Observer, json!({})) },
        post("/queries/run", Maintainer, json!({ "query": "SELECT 1", "selected": { "hosts": [1] } })),
        post(
            "/queries/run_by_names",
            Maintainer,
            json!({ "query": "SELECT 1", "selected": { "hosts": ["the-host"] } }),
        ),
        Operation { method: "GET", ..post("/queries/run", Observer, json!({ "query_ids": [999], "host_ids": [1] })) },
        post("/targets", Observer, json!({ "query": "", "selected": { "hosts": [1] } })),
        post("/targets/count", Observer, json!({ "selected": { "hosts": [1] } })),
        get("/status/live_query", Observer),
        get("/status/result_store", Observer),
        get("/users", Admin),
        post("/users/admin", Admin, new_user),
        named("/users/{id}", "users/1", Admin),
        patch("/users/{id}", "users/3", Admin, json!({ "name": "changed" })),
        delete("/users/{id}", "users/3", Admin),
        get("/users/roles/spec", Admin),
        post("/users/roles/spec", Admin, json!({ "spec": { "roles": {} } })),
        post("/change_password", Observer, passwords),
        post("/hosts/delete", Maintainer, json!({ "ids": [] })),
        delete("/hosts/{id}", "hosts/1", Maintainer),
        // Last, since it ends the session it is tried with.
        post("/logout", Observer, json!({})),
    ]
}

/// Method and path of every route the server's source declares.
fn declared() -> Vec<(String, String)> {
    let sources = [include_str!("../../../src/admin/mod.rs"), include_str!("../../../src/admin/live/mod.rs")];
    let mut routes = Vec::new();
    for declaration in sources.iter().flat_map(|source| source.split(".route(").skip(1)) {
        let Some(path) = declaration.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) else {
            continue;
        };
        let method = declaration.split("web::").nth(1).unwrap().split('(').next().unwrap();
        // Sockets are told in their first message who opens them: see `live::sockets`.
        if !path.starts_with("/results/") {
            routes.push((method.to_uppercase(), path.to_owned()));
        }
    }
    routes
}

#[test]
fn every_route_is_in_the_table() {
    let declared = declared();
    assert!(declared.len() > 20, "the routes are no longer where this test looks for them: {declared:?}");
    let known = all();
    for (method, path) in &declared {
        let is_known = known.iter().any(|operation| operation.method == method && operation.route == path);
        assert!(is_known, "{method} {path} is not in the table of operations");
    }
    for operation in &known {
        let is_declared = declared.contains(&(operation.method.to_owned(), operation.route.to_owned()));
        assert!(is_declared, "{operation:?} is no longer there");
    }
}
