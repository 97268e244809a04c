use serde_json::json;

use crate::support::{Answer, TestServer};

fn shape(what: &str, answer: &Answer) -> String {
    format!("{what} → {} {}\n{}\n", answer.status, answer.headers["content-type"].to_str().unwrap(), answer.text)
}

#[tokio::test]
async fn refusals_have_the_shape_fleets_clients_know() {
    let server = TestServer::with(|config| config.session.logins_per_minute = 1).await;
    let rest = &server.rest;
    let login = json!({ "email": "a@b.c", "password": "x" });
    let mut text = String::new();
    for (what, answer) in [
        ("no token", rest.anonymous().get("me").await),
        ("a wrong password", rest.post("login", &login).await),
        ("not this role's", server.user("observer").get("spec/packs").await),
        ("no such query", rest.get("spec/queries/none").await),
        ("no such host", rest.get("hosts/7").await),
        ("no such operation", rest.get("teams").await),
        ("setup again", rest.post("/api/v1/setup", &crate::support::Rest::set_up_body()).await),
        ("a bad document", rest.try_apply(&[json!({ "kind": "query", "spec": { "name": "a" } })], false).await),
        ("an unknown parameter", rest.get("hosts?stat=online").await),
        ("a bad number", rest.get("hosts?page=x").await),
        ("no JSON", rest.post_bytes("spec/apply", "application/json", "{").await),
        ("another type", rest.post_bytes("spec/apply", "text/plain", "{}").await),
        ("an unknown key", rest.post("spec/apply", &json!({ "documents": [], "dry": true })).await),
    ] {
        text += &shape(what, &answer);
    }
    insta::assert_snapshot!(text);
    let answer = rest.post("login", &login).await;
    insta::assert_snapshot!("too_many", shape("too many logins", &answer));
}

#[tokio::test]
async fn a_body_has_a_cap() {
    let server = TestServer::with(|config| config.server.max_rest_body = muster::config::Bytes::kib(8)).await;
    let query = |length: usize| json!({ "specs": [{ "name": "q", "query": "x".repeat(length) }] });
    assert_eq!(server.rest.post("spec/queries", &query(8_000)).await.status, 200);
    let answer = server.rest.post("spec/queries", &query(9_000)).await;
    assert_eq!(answer.status, 413, "{}", answer.text);
    assert_eq!(answer.problems().len(), 1);
}

/// Bodies of strangers are not even read.
#[tokio::test]
async fn who_has_no_token_learns_nothing_about_a_body() {
    let server = TestServer::start().await;
    let stranger = server.rest.with_token("made-up");
    for path in ["spec/apply", "spec/queries", "spec/packs", "spec/labels", "spec/enroll_secret"] {
        for body in ["{", "", "[]"] {
            let answer = stranger.post_bytes(path, "application/json", body).await;
            assert_eq!(answer.status, 401, "{path} {body:?}: {}", answer.text);
        }
    }
}

/// A client that mistakes the method gets an answer it can show.
#[tokio::test]
async fn a_wrong_method_is_told_in_json() {
    let server = TestServer::start().await;
    for (method, path) in
        [("GET", "login"), ("DELETE", "hosts"), ("POST", "me"), ("PUT", "config"), ("POST", "hosts/1")]
    {
        let answer = server.rest.send(method, path, None).await;
        assert!((400..500).contains(&answer.status), "{method} {path}: {answer:?}");
        assert_eq!(answer.problems().len(), 1, "{method} {path}");
    }
}
