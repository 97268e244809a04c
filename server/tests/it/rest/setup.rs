use serde_json::{Value, json};

use crate::support::{Rest, TestServer};

#[tokio::test]
async fn a_server_is_set_up_once() {
    let server = TestServer::empty(|_| {}).await;
    for path in ["/api/v1/setup", "/api/setup"] {
        assert_eq!(server.rest.get(path).await.status, 404, "it is there for POST only");
    }
    let first = server.rest.post("/api/v1/setup", &Rest::set_up_body()).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let body = first.json();
    assert_eq!(body["admin"]["global_role"], "admin");
    assert_eq!(body["osquery_enroll_secret"], Value::Null);
    let token = body["token"].as_str().unwrap();
    assert_eq!(server.rest.with_token(token).get("me").await.json()["user"]["email"], "admin@example.com");
    for path in ["/api/v1/setup", "/api/setup"] {
        let mut other = Rest::set_up_body();
        other["admin"]["email"] = json!("other@example.com");
        let again = server.rest.post(path, &other).await;
        assert_eq!(again.status, 404, "{}", again.text);
    }
    assert_eq!(server.number("SELECT count(*) FROM users"), 1);
}

#[tokio::test]
async fn two_setups_at_one_time_make_one_administrator() {
    let server = TestServer::empty(|_| {}).await;
    let body = Rest::set_up_body();
    let answers = futures_util::future::join_all((0..4).map(|_| server.rest.post("/api/v1/setup", &body))).await;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 404, 404, 404]);
    assert_eq!(server.number("SELECT count(*) FROM users"), 1);
    assert_eq!(server.number("SELECT count(*) FROM enroll_secrets"), 1);
}

#[tokio::test]
async fn what_is_wrong_with_a_setup_is_named() {
    let server = TestServer::empty(|_| {}).await;
    for (change, expected) in [
        (json!({ "password": "short1!" }), "admin.password: "),
        (json!({ "password": "without-a-digit!" }), "admin.password: "),
        (json!({ "email": "nobody" }), "admin.email: "),
        (json!({ "email": "" }), "admin.email: "),
        (json!({ "password_confirmation": "another-1-secret!" }), "admin.password_confirmation: "),
    ] {
        let mut body = Rest::set_up_body();
        for (key, value) in change.as_object().unwrap() {
            body["admin"][key] = value.clone();
        }
        let answer = server.rest.post("/api/v1/setup", &body).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.problems()[0].starts_with(expected), "{}", answer.text);
    }
    let mut body = Rest::set_up_body();
    body["admin"]["rôle"] = json!("x");
    assert_eq!(server.rest.post("/api/v1/setup", &body).await.status, 400);
    assert_eq!(server.number("SELECT count(*) FROM users"), 0);
}

/// Before anybody has set the server up there is no secret to enroll with, and no way in.
#[tokio::test]
async fn a_server_nobody_has_set_up_lets_nobody_in() {
    let server = TestServer::empty(|_| {}).await;
    assert!(!server.agent(1).enroll().await.verdict.is_success());
    let login = json!({ "email": "admin@example.com", "password": "" });
    // Fleet's clients tell by it that the server is not set up.
    assert_eq!(server.rest.post("login", &login).await.status, 404);
    assert_eq!(server.rest.get("hosts").await.status, 401);
}

#[tokio::test]
async fn a_new_server_has_a_secret_of_its_own() {
    let server = TestServer::empty(|_| {}).await;
    let done = server.rest.post("/api/v1/setup", &Rest::set_up_body()).await.json();
    let rest = server.rest.with_token(done["token"].as_str().unwrap());
    let secrets = rest.get("spec/enroll_secret").await.json();
    let secret = secrets["spec"]["secrets"][0]["secret"].as_str().unwrap();
    assert!(secret.len() >= 32, "{secret}");
}
