use agent_compat::agent::AgentEndpoint;
use agent_compat::{TestAgent, Verdict};

use super::{assert_serving, small_caps};
use crate::support::{Answer, TestServer};

fn assert_error(answer: &Answer, what: &str) {
    let body = answer.json();
    assert!(body.get("error").is_some_and(serde_json::Value::is_string), "{what}: {answer:?}");
    assert!(answer.status >= 400, "{what}: {answer:?}");
}

#[tokio::test]
async fn unknown_endpoints_and_methods_are_refused_in_the_agents_words() {
    let server = TestServer::with(small_caps).await;
    let rest = server.rest.anonymous();
    for base in ["/api/osquery", "/api/v1/osquery"] {
        for path in ["/", "/nothing", "/log/", "/log/more", "/logs", "/LOG", "/distributed", "/distributed/"] {
            assert_error(&rest.post(&format!("{base}{path}"), &serde_json::json!({})).await, path);
        }
        for path in ["/enroll", "/config", "/log", "/distributed/read", "/distributed/write"] {
            for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"] {
                let answer = rest.send(method, &format!("{base}{path}"), None).await;
                assert_error(&answer, &format!("{method} {path}"));
            }
        }
    }
    assert_serving(&server).await;
}

/// An agent whose flags name a path nobody serves must keep its lines and its config.
#[tokio::test]
async fn a_mistaken_path_is_no_success_anywhere() {
    let server = TestServer::with(small_caps).await;
    let agent: TestAgent = server.enrolled(1).await;
    let mut taken_for_success = Vec::new();
    for path in [
        "/",
        "/log",
        "/osquery/log",
        "/api/v1/osquery",
        "/api/osquery",
        "/api/v2/osquery/log",
        "/api/v1/fleet/log",
        "/api/v1/fleet/me",
        "/api/v1/setup/log",
        "/metrics",
        "/healthz",
    ] {
        for endpoint in [AgentEndpoint::Log, AgentEndpoint::Config] {
            let exchange = agent.post(path, endpoint, r#"{"node_key":"x"}"#, &[]).await;
            if exchange.verdict.is_success() {
                taken_for_success.push(format!(
                    "{path}: {} {:?}",
                    exchange.status(),
                    String::from_utf8_lossy(exchange.body())
                ));
            }
        }
    }
    taken_for_success.dedup();
    assert!(taken_for_success.is_empty(), "agents take these for success: {taken_for_success:#?}");
}

#[tokio::test]
async fn a_secret_in_the_query_string_changes_nothing() {
    let server = TestServer::with(small_caps).await;
    let agent = server.enrolled(1).await;
    let path = format!("{}?enroll_secret=abc", agent.agent().path(AgentEndpoint::Config));
    let body = super::good_body(&agent, AgentEndpoint::Config);
    assert!(agent.post(&path, AgentEndpoint::Config, body.clone(), &[]).await.verdict.is_success());
    let other = server.agent(2);
    assert!(matches!(
        other.post(&path, AgentEndpoint::Config, r#"{"node_key":""}"#, &[]).await.verdict,
        Verdict::NodeInvalid
    ));
}

/// A proxy may encode what needs no encoding.
#[tokio::test]
async fn an_encoded_path_is_the_same_path() {
    let server = TestServer::with(small_caps).await;
    let agent = server.enrolled(1).await;
    let path = agent.agent().path(AgentEndpoint::Config).replace("config", "%63onfig");
    let body = super::good_body(&agent, AgentEndpoint::Config);
    assert!(agent.post(&path, AgentEndpoint::Config, body, &[]).await.verdict.is_success());
}
