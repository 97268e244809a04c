//! What Fleet's clients of all versions send, as they send it.

use serde_json::{Value, json};

use crate::support::{PASSWORD, TestServer};

#[tokio::test]
async fn clients_of_fleets_predecessor_set_up_and_log_in() {
    let server = TestServer::empty(|_| {}).await;
    let body = json!({
        "admin": {
            "admin": true, "username": "admin", "email": "admin@example.com", "password": PASSWORD,
            "password_confirmation": PASSWORD,
        },
        "org_info": { "org_name": "Tests" },
        "kolide_server_url": "https://localhost:8080",
    });
    let done = server.rest.post("/api/v1/setup", &body).await;
    assert_eq!(done.status, 200, "{}", done.text);
    let done = done.json();
    assert_eq!((&done["admin"]["name"], &done["server_url"]), (&json!("admin"), &json!("https://localhost:8080")));
    let login = json!({ "Username": "admin@example.com", "Password": PASSWORD });
    let token = server.rest.post("/api/v1/kolide/login", &login).await.json()["token"].as_str().unwrap().to_owned();
    let rest = server.rest.with_token(&token);
    for path in ["me", "config", "hosts", "labels", "packs", "queries", "spec/enroll_secret", "spec/osquery_options"] {
        assert_eq!(rest.get(&format!("/api/v1/kolide/{path}")).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn keys_are_read_in_any_case_and_mistakes_stay_mistakes() {
    let server = TestServer::start().await;
    let query = json!({ "Name": "mixed", "QUERY": "SELECT 1" });
    assert_eq!(server.rest.post("queries", &query).await.json()["query"]["name"], "mixed");
    let answer = server.rest.post("queries", &json!({ "Nam": "mixed", "query": "SELECT 1" })).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    assert!(answer.problems()[0].contains("unknown field `nam`"), "{}", answer.text);
    // What is inside a body may be an operator's own.
    let options = json!({ "spec": { "config": { "decorators": { "load": ["SELECT 1 AS One"] } } } });
    assert_eq!(server.rest.post("spec/osquery_options", &options).await.status, 200);
    assert_eq!(server.rest.get("spec/osquery_options").await.json()["spec"]["config"], options["spec"]["config"]);
}

#[tokio::test]
async fn a_body_without_a_type_is_taken_for_json_and_one_of_another_is_not() {
    let server = TestServer::start().await;
    let body = json!({ "name": "untyped", "query": "SELECT 1" }).to_string();
    assert_eq!(server.rest.post_untyped("queries", body.clone()).await.status, 200);
    assert_eq!(server.rest.post_bytes("queries", "text/plain", body).await.status, 415);
    let login = json!({ "email": "admin@example.com", "password": PASSWORD }).to_string();
    assert_eq!(server.rest.anonymous().post_untyped("login", login).await.status, 200);
}

#[tokio::test]
async fn names_that_were_not_given_are_left_out_of_a_selection() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let name = server.rest.get("hosts/1").await.json()["host"]["hostname"].clone();
    for (selected, status) in [
        (json!({ "hosts": [name], "labels": [""] }), 200),
        (json!({ "hosts": [""], "labels": ["All Hosts"] }), 200),
        (json!({ "hosts": [""], "labels": [""] }), 400),
        (json!({ "hosts": ["no such host"], "labels": [""] }), 422),
    ] {
        let body = json!({ "query": "SELECT 1", "selected": selected });
        let answer = server.rest.post("queries/run_by_names", &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
    }
    drop(agent);
}

#[tokio::test]
async fn agent_options_are_read_and_replaced_under_their_older_name() {
    let server = TestServer::start().await;
    let spec = json!({
        "config": { "options": { "distributed_interval": 17 } },
        "overrides": { "platforms": { "darwin": { "options": { "distributed_interval": 34 } } } },
    });
    assert_eq!(server.rest.post("spec/osquery_options", &json!({ "spec": spec })).await.status, 200);
    assert_eq!(server.rest.get("spec/osquery_options").await.json(), json!({ "spec": spec }));
    assert_eq!(server.rest.get("config").await.json()["agent_options"], spec);
    let wrong = json!({ "spec": { "config": { "options": { "distributed_interval": "soon" } } } });
    let answer = server.rest.post("spec/osquery_options", &wrong).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(answer.problems()[0].starts_with("config.options.distributed_interval: "), "{}", answer.text);
}

#[tokio::test]
async fn a_host_shows_its_labels_whole() {
    let server = TestServer::start().await;
    server.enrolled(1).await;
    let host: Value = server.rest.get("hosts/1").await.json();
    let label = &host["host"]["labels"][0];
    let shown: Value = server.rest.get(&format!("labels/{}", label["id"])).await.json();
    let keys = ["id", "name", "query", "platform", "label_type", "label_membership_type", "display_text", "created_at"];
    for key in keys {
        assert_eq!(label[key], shown["label"][key], "{key}");
    }
    assert_eq!(label["label_type"], "builtin");
}

/// No word that stands where an id may stand is read as one.
#[tokio::test]
async fn words_in_place_of_ids_are_no_operations() {
    let server = TestServer::start().await;
    for (method, path) in [
        ("GET", "hosts/reports?format=csv"),
        ("GET", "hosts/x"),
        ("GET", "hosts/-1"),
        ("GET", "labels/spec"),
        ("GET", "queries/report"),
        ("GET", "packs/none"),
        ("GET", "users/me"),
        ("GET", "live_queries/last"),
        ("POST", "hosts/transfer"),
    ] {
        let answer = server.rest.send(method, path, None).await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
        assert!(answer.problems()[0].starts_with("base: no such operation"), "{method} {path}: {}", answer.text);
    }
}

#[tokio::test]
async fn names_are_translated_in_their_order_and_by_the_rights_of_the_caller() {
    let server = TestServer::start().await;
    server.enrolled(1).await;
    let host = server.rest.get("hosts/1").await.json()["host"].clone();
    let thing = |of: &str, name: &str| json!({ "type": of, "payload": { "identifier": name, "id": 0 } });
    let (user, label) = (thing("user", " Admin@Example.com"), thing("label", "all HOSTS"));
    let by_name = thing("host", host["hostname"].as_str().unwrap());
    let by_uuid = thing("host", host["uuid"].as_str().unwrap());
    let list = |things: &[&Value]| json!({ "list": things });
    let all = server.rest.post("translate", &list(&[&by_uuid, &user, &label, &by_name])).await.json();
    let found: Vec<&Value> = all["list"].as_array().unwrap().iter().map(|thing| &thing["payload"]["id"]).collect();
    let id = |table: &str, of: &str| server.number(&format!("SELECT id FROM {table} WHERE {of}"));
    let (user_id, label_id) = (id("users", "email = 'admin@example.com'"), id("labels", "name = 'All Hosts'"));
    assert_eq!(found, [&host["id"], &json!(user_id), &json!(label_id), &host["id"]]);

    let observer = server.user("observer");
    assert_eq!(observer.post("translate", &list(&[&label, &by_name])).await.status, 200);
    assert_eq!(observer.post("translate", &list(&[&label, &user])).await.status, 403);
    let answer = server.rest.post("translate", &list(&[&label, &thing("pack", "p"), &thing("team", "t")])).await;
    assert_eq!(answer.status, 422, "{}", answer.text);
    let paths: Vec<String> = answer.problems().into_iter().map(|problem| problem[..12].to_owned()).collect();
    assert_eq!(paths, ["list[1].type", "list[2].type"]);
    for (count, status) in [(0, 200), (1_000, 200), (1_001, 422)] {
        let answer = server.rest.post("translate", &list(&vec![&label; count])).await;
        assert_eq!(answer.status, status, "{count}: {}", answer.text);
    }
}
