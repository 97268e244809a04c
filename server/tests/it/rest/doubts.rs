//! Documents that are valid and probably a mistake: they apply, with a warning for each.

use muster_api::rest::Applied;
use serde_json::{Value, json};

use crate::support::TestServer;

fn warned(applied: &Applied) -> Vec<(&str, &str)> {
    applied.warnings.iter().map(|warning| (warning.name.as_str(), warning.reason.as_str())).collect()
}

/// Applies documents and compares the warnings, by their paths and a part of the reason.
async fn assert_warned(server: &TestServer, documents: &[Value], expected: &[(&str, &str)]) {
    let applied = server.rest.apply(documents).await;
    let warned = warned(&applied);
    assert_eq!(warned.len(), expected.len(), "{warned:#?}");
    for (path, part) in expected {
        assert!(warned.iter().any(|(at, reason)| at == path && reason.contains(part)), "{path} {part}: {warned:#?}");
    }
}

#[tokio::test]
async fn sql_that_agents_cannot_run_is_kept_with_a_warning() {
    let server = TestServer::start().await;
    let documents = [
        json!({ "kind": "query", "spec": { "name": "broken", "query": "selec * fro uptime" } }),
        json!({ "kind": "query", "spec": { "name": "two", "query": "select 1; drop table x" } }),
        json!({ "kind": "query", "spec": { "name": "good", "query": "select * from nobody_knows_here" } }),
        json!({ "kind": "label", "spec": { "name": "l", "query": "select 1 frm x y z" } }),
        json!({ "kind": "pack", "spec": { "name": "p", "discovery": ["select 1", "delete from x"],
            "targets": { "labels": ["l"] }, "queries": [{ "query": "good", "interval": 60 }] } }),
        json!({ "kind": "options", "spec": { "config": { "options": { "logger_tls_period": 10 },
            "decorators": { "load": ["selct 1"] } } } }),
    ];
    let applied = server.rest.apply(&documents).await;
    let doubted: Vec<&str> =
        warned(&applied).into_iter().filter(|(_, reason)| reason.contains("cannot run it")).map(|(at, _)| at).collect();
    assert_eq!(
        doubted,
        [
            "documents[0].spec.query",
            "documents[1].spec.query",
            "documents[3].spec.query",
            "documents[4].spec.discovery[1]",
            "documents[5].spec.config.decorators.load[0]",
        ]
    );
    assert_eq!(server.number("SELECT count(*) FROM queries"), 3, "they are kept all the same");
    let specs = json!({ "specs": [{ "name": "broken", "query": "selec" }] });
    let answer = server.rest.post("spec/queries", &specs).await;
    assert_eq!(answer.json()["warnings"][0]["name"], "specs[0].query", "{}", answer.text);
}

#[tokio::test]
async fn saving_sql_that_agents_cannot_run_answers_with_a_warning() {
    let server = TestServer::start().await;
    for (path, kind) in [("queries", "query"), ("labels", "label")] {
        let saved = server.rest.post(path, &json!({ "name": "a", "query": "selec * fro uptime" })).await.json();
        assert_eq!(saved["warnings"][0]["name"], "query", "{saved}");
        assert_eq!(saved[kind]["query"], "selec * fro uptime", "{saved}");
        let saved = server.rest.post(path, &json!({ "name": "b", "query": "select 1" })).await.json();
        assert_eq!(saved.get("warnings"), None, "{saved}");
    }
}

#[tokio::test]
async fn packs_that_do_nothing_are_warned_of() {
    let server = TestServer::start().await;
    let query = json!({ "kind": "query", "spec": { "name": "q", "query": "select 1" } });
    let pack = |spec: Value| json!({ "kind": "pack", "spec": spec });
    let queries = json!([{ "query": "q", "interval": 60 }]);
    let targets = json!({ "labels": ["All Hosts"] });
    let idle = [
        ("documents[1].spec.targets", "no targets, so no host runs it"),
        ("documents[1].spec.queries", "no queries, so hosts run nothing of it"),
    ];
    assert_warned(&server, &[query, pack(json!({ "name": "p" }))], &idle).await;
    assert_warned(&server, &[pack(json!({ "name": "p", "queries": queries, "targets": targets }))], &[]).await;
    let taken_off = [("documents[0].spec.targets", "is taken off every host")];
    assert_warned(&server, &[pack(json!({ "name": "p", "queries": queries }))], &taken_off).await;
    assert_warned(&server, &[pack(json!({ "name": "p", "queries": queries, "targets": targets }))], &[]).await;
    let emptied = [("documents[0].spec.queries", "all that the pack scheduled are removed")];
    assert_warned(&server, &[pack(json!({ "name": "p", "targets": targets }))], &emptied).await;
}

#[tokio::test]
async fn settings_that_keep_hosts_out_are_warned_of() {
    let server = TestServer::start().await;
    let none = json!({ "kind": "enroll_secret", "spec": { "secrets": [] } });
    assert_warned(&server, &[none], &[("documents[0].spec.secrets", "no host can enroll any more")]).await;
    let config = |name: &str, url: &str| json!({ "kind": "config", "spec": { "org_info": { "org_name": name }, "server_settings": { "server_url": url } } });
    let wrong = [
        ("documents[0].spec.org_info.org_name", "no name"),
        ("documents[0].spec.server_settings.server_url", "not the URL of a server"),
    ];
    assert_warned(&server, &[config("", "not a url")], &wrong).await;
    assert_warned(&server, &[config("", "not a url")], &[]).await;
    let another =
        [("documents[0].spec.server_settings.server_url", "instead of not a url; is it that of this server?")];
    assert_warned(&server, &[config("Example", "https://[::1]:8080")], &another).await;
}

/// `fleetctl get hosts --yaml` writes one for each host.
#[tokio::test]
async fn documents_of_one_kind_that_is_skipped_are_one_warning() {
    let server = TestServer::start().await;
    let host = |name: &str| json!({ "kind": "host", "spec": { "name": name } });
    let many = [("documents[0].kind", "skipped host \"a\", \"b\", \"c\": hosts come by enrolling")];
    assert_warned(&server, &[host("a"), host("b"), host("c")], &many).await;
}
