//! Secrets that are good for a time, or for a number of hosts.

use std::time::Duration;

use agent_compat::agent::{AgentEndpoint, Flags};
use serde_json::{Value, json};

use super::identity;
use crate::support::{Rest, ServerSetup, TestServer, eventually};

async fn enroll_with(server: &TestServer, index: u32, secret: &str) -> agent_compat::Exchange {
    let flags = Flags { enroll_secret: secret.into(), ..Flags::default() };
    server.address.agent_with(identity(index), flags).enroll().await
}

fn document(secrets: Value) -> Value {
    json!({ "kind": "enroll_secret", "spec": { "secrets": secrets } })
}

async fn listed(server: &TestServer) -> Value {
    server.rest.get("spec/enroll_secret").await.json()["spec"]["secrets"].clone()
}

fn assert_not_admitted(exchange: &agent_compat::Exchange, reason: &str) {
    assert!(!exchange.verdict.is_success(), "{exchange:?}");
    assert_eq!(exchange.status(), 401);
    let answer: Value = serde_json::from_slice(exchange.body()).unwrap();
    assert_eq!(answer["node_invalid"], true, "{answer}");
    let error = answer["error"].as_str().unwrap();
    assert!(error.starts_with("enroll failed: ") && error.contains(reason), "{error}");
}

#[tokio::test]
async fn a_secret_is_good_until_it_expires() {
    let server = TestServer::start().await;
    let end = (server.clock.now().plus(Duration::from_secs(60))).to_utc().to_rfc3339();
    let secrets = json!([{ "secret": "for-today", "name": "today", "expires_at": end }, { "secret": "for-ever" }]);
    server.rest.apply(&[document(secrets)]).await;
    assert!(enroll_with(&server, 1, "for-today").await.verdict.is_success());
    server.clock.advance(Duration::from_secs(60));
    assert_not_admitted(&enroll_with(&server, 2, "for-today").await, "\"today\" has expired");
    assert_not_admitted(&enroll_with(&server, 1, "for-today").await, "\"today\" has expired");
    assert!(enroll_with(&server, 2, "for-ever").await.verdict.is_success());
    assert_eq!(server.metric(r#"muster_enrolls_total{outcome="expired_secret"}"#).await, 2.0);

    // Also for those that have read the expiry before.
    server.rest.apply(&[document(json!([{ "secret": "for-today", "expires_at": "never" }]))]).await;
    assert!(enroll_with(&server, 3, "for-today").await.verdict.is_success());
    assert!(listed(&server).await[0]["expires_at"].is_null());
}

#[tokio::test]
async fn a_secret_is_for_as_many_hosts_as_its_quota() {
    let server = TestServer::start().await;
    server.rest.apply(&[document(json!([{ "secret": "for-two", "name": "lab", "quota": 2 }]))]).await;
    for index in [1, 2, 1] {
        assert!(enroll_with(&server, index, "for-two").await.verdict.is_success(), "{index}");
    }
    assert_not_admitted(&enroll_with(&server, 3, "for-two").await, "\"lab\" is used up");
    assert_eq!(server.metric(r#"muster_enrolls_total{outcome="used_up_secret"}"#).await, 1.0);
    assert_eq!(server.number("SELECT count(*) FROM hosts"), 2);
    let secret = &listed(&server).await[0];
    assert_eq!((&secret["quota"], &secret["hosts_enrolled"]), (&json!(2), &json!(2)));
}

#[tokio::test]
async fn what_is_shown_of_secrets_can_be_applied_again() {
    let server = TestServer::start().await;
    let secrets = json!([
        { "secret": "one", "name": "a", "quota": 3, "expires_at": "2099-12-31T00:00:00Z" },
        { "secret": "two" }
    ]);
    server.rest.apply(&[document(secrets)]).await;
    assert!(listed(&server).await[0].get("last_used_at").is_none());
    assert!(enroll_with(&server, 1, "one").await.verdict.is_success());
    server.run_tasks().await;
    let before = listed(&server).await;
    assert_eq!(before[0]["expires_at"], "2099-12-31T00:00:00Z");
    assert_eq!(
        before[0]["last_used_at"],
        server.clock.now().to_utc().to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
    );
    // Also by clients of Fleet, which know the secrets alone.
    for again in [before.clone(), json!([{ "secret": "one" }, { "secret": "two" }])] {
        let answer = server.rest.post("spec/enroll_secret", &json!({ "spec": { "secrets": again } })).await;
        assert_eq!((answer.status, answer.json()), (200, json!({})));
        assert_eq!(listed(&server).await, before);
    }
    for (terms, wrong) in [
        (json!({ "secret": "x", "quota": 0 }), "secrets[0].quota"),
        (json!({ "secret": "x", "quota": -1 }), "secrets[0].quota"),
        (json!({ "secret": "x", "quota": "many" }), "secrets[0].quota"),
        (json!({ "secret": "x", "expires_at": "tomorrow" }), "secrets[0].expires_at"),
    ] {
        let answer = server.rest.post("spec/enroll_secret", &json!({ "spec": { "secrets": [terms] } })).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.problems()[0].starts_with(&format!("{wrong}: ")), "{}", answer.text);
    }
    assert_eq!(listed(&server).await, before);
}

/// A line of its own names the secret, and is not hidden by strangers with wrong secrets.
#[tokio::test]
async fn refusals_of_a_secret_are_logged_under_its_name() {
    let setup = ServerSetup::new(&[]);
    let server = setup.start().await;
    let secrets = json!([{ "secret": "for-one-alone", "name": "kiosk", "quota": 1 }]);
    Rest::new(&setup.address()).set_up().await.apply(&[document(secrets)]).await;
    let wrong = setup.address().agent(1).raw(AgentEndpoint::Enroll, r#"{"enroll_secret":"x"}"#, &[]).await;
    assert_eq!(wrong.status(), 401);
    for index in 0..5 {
        let flags = Flags { enroll_secret: "for-one-alone".into(), ..Flags::default() };
        let exchange = setup.address().agent_with(identity(index), flags).enroll().await;
        assert_eq!(exchange.verdict.is_success(), index == 0, "{exchange:?}");
    }
    let lines = eventually("the refusal is logged", Duration::from_secs(20), async || {
        let said = server.said();
        let lines: Vec<String> =
            said.lines().filter(|line| line.contains("a host was not enrolled")).map(str::to_owned).collect();
        (!lines.is_empty()).then_some(lines)
    })
    .await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("kiosk") && lines[0].contains("used up"), "{lines:?}");
    assert!(!server.said().contains("for-one-alone"), "secrets are not logged");
}
