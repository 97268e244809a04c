use std::time::Duration;

use agent_compat::agent::{AgentEndpoint, Flags};
use serde_json::json;

use super::identity;
use crate::support::{ServerSetup, TestServer, assert_refused, eventually};

async fn enroll_with(server: &TestServer, index: u32, secret: &str) -> agent_compat::Exchange {
    let flags = Flags { enroll_secret: secret.into(), ..Flags::default() };
    server.address.agent_with(identity(index), flags).enroll().await
}

async fn set_secrets(server: &TestServer, secrets: &[&str]) {
    let secrets: Vec<_> = secrets.iter().map(|secret| json!({ "secret": secret })).collect();
    server.rest.apply(&[json!({ "kind": "enroll_secret", "spec": { "secrets": secrets } })]).await;
}

#[tokio::test]
async fn a_wrong_secret_gets_no_key() {
    let server = TestServer::start().await;
    for secret in ["", "wrong", "ENROL-SECRET-OF-THE-TESTS", "enrol-secret-of-the-tests "] {
        let exchange = enroll_with(&server, 1, secret).await;
        assert!(!exchange.verdict.is_success(), "{secret:?}: {exchange:?}");
        assert_eq!(exchange.status(), 401);
    }
    assert_eq!(server.number("SELECT count(*) FROM hosts"), 0);
    assert_eq!(server.metric(r#"muster_enrolls_total{outcome="wrong_secret"}"#).await, 4.0);
}

#[tokio::test]
async fn secrets_are_rotated_without_disturbing_hosts() {
    let server = TestServer::start().await;
    set_secrets(&server, &["first", "second"]).await;
    let mut agent = server.address.agent_with(identity(1), Flags { enroll_secret: "first".into(), ..Flags::default() });
    assert!(agent.enroll().await.verdict.is_success());
    assert!(enroll_with(&server, 2, "second").await.verdict.is_success());
    set_secrets(&server, &["second", "third"]).await;
    assert!(!enroll_with(&server, 3, "first").await.verdict.is_success());
    assert!(enroll_with(&server, 4, "third").await.verdict.is_success());
    assert!(enroll_with(&server, 5, "second").await.verdict.is_success());
    assert!(agent.config().await.verdict.is_success(), "who has enrolled stays enrolled");
    set_secrets(&server, &[]).await;
    assert!(!enroll_with(&server, 6, "second").await.verdict.is_success());
}

#[tokio::test]
async fn a_host_must_wait_before_it_enrolls_again() {
    let server = TestServer::with(|config| config.osquery.enroll_cooldown = Duration::from_secs(60)).await;
    let mut agent = server.enrolled(1).await;
    assert_refused(&server.agent(1).enroll().await, "too soon");
    assert!(server.agent(2).enroll().await.verdict.is_success(), "others need not wait");
    assert!(agent.config().await.verdict.is_success());
    server.clock.advance(Duration::from_secs(61));
    assert!(server.agent(1).enroll().await.verdict.is_success());
}

#[tokio::test]
async fn too_many_enrollments_are_told_to_come_back() {
    let server = TestServer::with(|config| config.osquery.enrolls_per_second = 3).await;
    let mut agents: Vec<_> = (0..12).map(|index| server.agent(index)).collect();
    let answers = futures_util::future::join_all(agents.iter_mut().map(|agent| agent.enroll())).await;
    let refused: Vec<_> = answers.iter().filter(|exchange| !exchange.verdict.is_success()).collect();
    assert!(!refused.is_empty());
    for exchange in refused {
        assert_refused(exchange, "too many");
        assert_eq!(exchange.status(), 429);
    }
    assert!(server.metric(r#"muster_limit_hits_total{limit="enrolls_per_second"}"#).await > 0.0);
    let mut last = server.agent(99);
    eventually("there is room again", Duration::from_secs(10), async || {
        last.enroll().await.verdict.is_success().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_secret_has_a_limit_of_its_own() {
    let server = TestServer::with(|config| config.osquery.enrolls_per_second_per_secret = 1).await;
    set_secrets(&server, &["busy", "quiet"]).await;
    assert!(enroll_with(&server, 1, "busy").await.verdict.is_success());
    let mut is_refused = false;
    for index in 2..12 {
        is_refused |= !enroll_with(&server, index, "busy").await.verdict.is_success();
    }
    assert!(is_refused);
    assert!(enroll_with(&server, 50, "quiet").await.verdict.is_success());
    assert!(server.metric(r#"muster_limit_hits_total{limit="enrolls_per_second_per_secret"}"#).await > 0.0);
    assert!(server.metric(r#"muster_enrolls_total{outcome="over_rate"}"#).await > 0.0);
}

/// The agent says only that it got no key, so the server's log must say why: once for many.
#[tokio::test]
async fn refused_enrollments_are_logged_with_reason_address_and_host() {
    let setup = ServerSetup::new(&[]);
    let server = setup.start().await;
    for index in 0..20 {
        let flags = Flags { enroll_secret: "wrong".into(), ..Flags::default() };
        let mut agent = setup.address().agent_with(identity(index), flags);
        assert!(!agent.enroll().await.verdict.is_success());
    }
    let unknown = setup.address().agent(1).raw(AgentEndpoint::Config, r#"{"node_key":"unknown"}"#, &[]).await;
    assert!(unknown.verdict.is_node_invalid(), "{unknown:?}");
    let lines = eventually("both refusals are logged", Duration::from_secs(20), async || {
        let said = server.said();
        let lines: Vec<_> = said.lines().filter(|line| line.contains("request of an agent refused")).collect();
        let has = |handler: &str| lines.iter().any(|line| line.contains(handler));
        (has("enroll_agent") && has("get_client_config"))
            .then(|| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())
    })
    .await;
    let about_enrolling: Vec<_> = lines.iter().filter(|line| line.contains("enroll_agent")).collect();
    for part in ["no matching secret found", "127.0.0.1", identity(0).fqdn.as_str(), "status=401"] {
        assert!(about_enrolling[0].contains(part), "{part}: {lines:?}");
    }
    assert!(about_enrolling.len() < 10, "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("wrong")), "secrets are not logged");
}
