//! The operations for one kind at a time, as older clients use them.

use serde_json::json;

use super::DOCUMENTS;
use crate::support::TestServer;

#[tokio::test]
async fn specs_are_written_and_read_kind_by_kind() {
    let server = TestServer::start().await;
    let queries = json!({ "specs": [{ "name": "q", "query": "SELECT 1" }] });
    assert_eq!(server.rest.post("spec/queries", &queries).await.json(), json!({}));
    let packs = json!({ "specs": [{ "name": "p", "queries": [{ "query": "q", "interval": 60 }],
        "targets": { "labels": ["All Hosts"] } }] });
    assert_eq!(server.rest.post("spec/packs", &packs).await.json(), json!({}));
    let labels = json!({ "specs": [{ "name": "l", "query": "SELECT 1" }] });
    assert_eq!(server.rest.post("spec/labels", &labels).await.json(), json!({}));
    let secret = json!({ "spec": { "secrets": [{ "secret": "s" }] } });
    assert_eq!(server.rest.post("spec/enroll_secret", &secret).await.json(), json!({}));

    assert_eq!(server.rest.get("spec/queries/q").await.json()["specs"]["query"], "SELECT 1");
    assert_eq!(server.rest.get("spec/packs/p").await.json()["specs"]["queries"][0]["interval"], 60);
    assert_eq!(server.rest.get("spec/labels/l").await.json()["specs"]["label_type"], "regular");
    assert_eq!(server.rest.get("spec/enroll_secret").await.json()["spec"]["secrets"][0]["secret"], "s");
}

#[tokio::test]
async fn what_is_wrong_is_placed_in_the_specs_that_were_sent() {
    let server = TestServer::start().await;
    for (path, body, wrong) in [
        (
            "spec/queries",
            json!({ "specs": [{ "name": "a", "query": "SELECT 1" }, { "name": "", "query": "x" }] }),
            "specs[1].name",
        ),
        (
            "spec/packs",
            json!({ "specs": [{ "name": "p", "queries": [{ "query": "none", "interval": 1 }] }] }),
            "specs[0].queries[0].query",
        ),
        ("spec/labels", json!({ "specs": [{ "name": "l" }] }), "specs[0].query"),
        ("spec/enroll_secret", json!({ "spec": { "secrets": [{ "secret": "" }] } }), "secrets[0].secret"),
    ] {
        let answer = server.rest.post(path, &body).await;
        assert_eq!(answer.status, 422, "{path}: {}", answer.text);
        assert!(answer.problems()[0].starts_with(&format!("{wrong}: ")), "{path}: {}", answer.text);
    }
    assert_eq!(server.number("SELECT count(*) FROM queries"), 0);
    let answer = server.rest.send("PATCH", "config", Some(&json!({ "org_info": { "org_nam": "x" } }))).await;
    assert!(answer.problems()[0].starts_with("org_info.org_nam: "), "{}", answer.text);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = TestServer::start().await;
    for path in ["spec/queries/none", "spec/packs/none", "spec/labels/none", "hosts/77", "hosts/identifier/none"] {
        let answer = server.rest.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
        assert_eq!(answer.json()["message"], "Resource Not Found", "{path}");
    }
}

#[tokio::test]
async fn names_are_found_whatever_is_in_them() {
    let server = TestServer::start().await;
    for (name, in_path) in [("a b", "a%20b"), ("50% ä/ö?#", "50%25%20%C3%A4%2F%C3%B6%3F%23"), ("x.y", "x.y")] {
        let body = json!({ "specs": [{ "name": name, "query": "SELECT 1" }] });
        assert_eq!(server.rest.post("spec/queries", &body).await.status, 200, "{name}");
        let found = server.rest.get(&format!("spec/queries/{in_path}")).await;
        assert_eq!(found.json()["specs"]["name"], name, "{}", found.text);
    }
}

#[tokio::test]
async fn a_config_is_patched_part_by_part_but_agent_options_as_a_whole() {
    let server = TestServer::start().await;
    server.rest.apply_yaml(DOCUMENTS).await;
    let patch = json!({
        "org_info": { "org_logo_url": "https://example.com/logo.png" },
        "agent_options": { "config": { "options": { "logger_tls_period": 5 } } },
    });
    let answer = server.rest.send("PATCH", "config", Some(&patch)).await;
    let config = answer.json();
    assert_eq!(config["org_info"]["org_name"], "Documents");
    assert_eq!(config["org_info"]["org_logo_url"], "https://example.com/logo.png");
    assert_eq!(
        config["agent_options"],
        json!({ "config": { "options": { "logger_tls_period": 5 } }, "overrides": {} })
    );
    assert_eq!(server.rest.get("config").await.json(), config);
}

#[tokio::test]
async fn what_the_server_has_is_shown_as_documents() {
    let server = TestServer::start().await;
    server.rest.apply_yaml(DOCUMENTS).await;
    for path in ["spec/queries", "spec/packs", "spec/labels", "spec/enroll_secret", "config", "spec/packs/base"] {
        insta::assert_snapshot!(path.replace('/', "_"), server.rest.get(path).await.text);
    }
}

/// A key that nobody reads is a mistake of whoever sent it.
#[tokio::test]
async fn keys_beside_a_spec_are_refused() {
    let server = TestServer::start().await;
    let secrets = json!({ "secrets": [{ "secret": "s" }] });
    for (path, spec) in [
        ("spec/enroll_secret", secrets.clone()),
        ("spec/osquery_options", json!({ "config": {} })),
        ("users/roles/spec", json!({ "roles": {} })),
    ] {
        let answer = server.rest.post(path, &json!({ "spec": spec, "spce": {} })).await;
        assert_eq!(answer.status, 400, "{path}: {}", answer.text);
        assert!(answer.problems()[0].contains("unknown field `spce`"), "{}", answer.text);
        let has_both = path == "spec/enroll_secret";
        let answer = server.rest.post(path, &json!({ "spec": spec, "specs": spec })).await;
        assert_eq!(answer.status, if has_both { 200 } else { 400 }, "{path}: {}", answer.text);
    }
}

/// Newer clients of Fleet try changes with a parameter, which nobody may miss.
#[tokio::test]
async fn a_dry_run_of_one_kind_changes_nothing() {
    let server = TestServer::start().await;
    server.rest.apply_yaml(DOCUMENTS).await;
    let specs = |spec: serde_json::Value| json!({ "specs": [spec] });
    let document = json!({ "kind": "query", "spec": { "name": "uptime", "query": "SELECT 2" } });
    let paths = ["config", "spec/queries", "spec/packs", "spec/labels", "spec/enroll_secret", "users/roles/spec"];
    let mut before = Vec::new();
    for path in paths {
        before.push(server.rest.get(path).await.text);
    }
    for (method, path, body) in [
        ("PATCH", "config", json!({ "org_info": { "org_name": "tried" } })),
        ("POST", "spec/queries", specs(json!({ "name": "uptime", "query": "SELECT 2" }))),
        ("POST", "spec/packs", specs(json!({ "name": "base", "queries": [] }))),
        ("POST", "spec/labels", specs(json!({ "name": "tried", "query": "SELECT 1" }))),
        ("POST", "spec/enroll_secret", json!({ "spec": { "secrets": [{ "secret": "tried" }] } })),
        (
            "POST",
            "spec/osquery_options",
            json!({ "spec": { "config": { "options": { "distributed_interval": 17 } } } }),
        ),
        (
            "POST",
            "users/roles/spec",
            json!({ "spec": { "roles": { "admin@example.com": { "global_role": "admin" } } } }),
        ),
        ("POST", "spec/apply", json!({ "documents": [document] })),
        ("POST", "spec/delete", json!({ "documents": [{ "kind": "pack", "spec": { "name": "base" } }] })),
    ] {
        let answer = server.rest.send(method, &format!("{path}?dry_run=true&force=true"), Some(&body)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        for parameter in ["dry-run=true", "dry_run=perhaps", "team_id=1"] {
            let answer = server.rest.send(method, &format!("{path}?{parameter}"), Some(&body)).await;
            assert_eq!(answer.status, 400, "{path}?{parameter}: {}", answer.text);
        }
    }
    for (path, before) in paths.into_iter().zip(before) {
        assert_eq!(server.rest.get(path).await.text, before, "{path}");
    }
    let wrong = specs(json!({ "name": "", "query": "SELECT 1" }));
    assert_eq!(server.rest.post("spec/queries?dry_run=true", &wrong).await.status, 422);
}
