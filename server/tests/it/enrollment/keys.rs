use std::time::Duration;

use agent_compat::TestAgent;
use agent_compat::Verdict;

use crate::support::TestServer;

const GRACE: Duration = Duration::from_secs(600);

/// An agent of host 1 with a key of its own.
async fn another_key(server: &TestServer) -> TestAgent {
    server.clock.advance(Duration::from_secs(1));
    server.enrolled(1).await
}

async fn is_good(agent: &mut TestAgent) -> bool {
    // By request, without losing the key when it is refused.
    let body = format!(r#"{{"node_key":"{}"}}"#, agent.node_key());
    match agent.raw(agent_compat::agent::AgentEndpoint::Config, body, &[]).await.verdict {
        Verdict::Success(_) => true,
        Verdict::NodeInvalid => false,
        Verdict::Failure(reason) => panic!("{reason}"),
    }
}

#[tokio::test]
async fn an_older_key_dies_when_a_newer_one_is_in_use_and_it_has_been_idle() {
    let server = TestServer::with(|config| config.osquery.old_key_grace = GRACE).await;
    let mut old = another_key(&server).await;
    assert!(is_good(&mut old).await);
    let mut new = another_key(&server).await;
    server.clock.advance(GRACE * 2);
    server.run_tasks().await;
    assert!(is_good(&mut old).await, "the newer key has not been used yet");

    assert!(is_good(&mut new).await);
    server.clock.advance(GRACE / 2);
    server.run_tasks().await;
    assert!(is_good(&mut old).await, "it was used a moment ago");

    server.clock.advance(GRACE * 2);
    server.run_tasks().await;
    assert!(!is_good(&mut old).await);
    assert!(is_good(&mut new).await);
    assert_eq!(server.number("SELECT count(*) FROM node_keys"), 1);
}

#[tokio::test]
async fn the_only_key_never_dies() {
    let mut server = TestServer::with(|config| config.osquery.old_key_grace = GRACE).await;
    let mut agent = another_key(&server).await;
    assert!(is_good(&mut agent).await);
    server.clock.advance(Duration::from_secs(400 * 24 * 3600));
    server.run_tasks().await;
    assert!(is_good(&mut agent).await);
    server.restart().await;
    server.run_tasks().await;
    assert!(is_good(&mut agent).await);
}

/// A restart forgets which keys are in memory, not which are good.
#[tokio::test]
async fn a_restart_does_not_bring_a_key_closer_to_its_end() {
    let mut server = TestServer::with(|config| config.osquery.old_key_grace = GRACE).await;
    let mut old = another_key(&server).await;
    assert!(is_good(&mut old).await);
    let mut new = another_key(&server).await;
    server.restart().await;
    server.clock.advance(GRACE * 2);
    assert!(is_good(&mut new).await);
    assert!(is_good(&mut old).await);
    server.run_tasks().await;
    assert!(is_good(&mut old).await);
}

#[tokio::test]
async fn a_host_has_at_most_eight_keys_and_the_newest_always() {
    let server = TestServer::start().await;
    let mut agents = Vec::new();
    for _ in 0..8 {
        agents.push(another_key(&server).await);
    }
    for agent in &mut agents[..2] {
        server.clock.advance(Duration::from_secs(1));
        assert!(is_good(agent).await);
    }
    server.clock.advance(Duration::from_secs(300));
    server.run_tasks().await;
    agents.push(another_key(&server).await);
    assert_eq!(server.number("SELECT count(*) FROM node_keys"), 8);
    let mut good = Vec::new();
    for agent in &mut agents {
        good.push(is_good(agent).await);
    }
    // The oldest of those never used had to go, not those in use.
    assert_eq!(good, [true, true, false, true, true, true, true, true, true]);
}

#[tokio::test]
async fn unknown_and_missing_keys_are_called_invalid_at_every_endpoint() {
    let server = TestServer::start().await;
    let agent = server.agent(1);
    for key in ["", "never-given-out", "x' OR 1=1 --", &"k".repeat(3000)] {
        for (path, body) in [
            ("config", serde_json::json!({ "node_key": key })),
            ("distributed/read", serde_json::json!({ "node_key": key })),
            ("distributed/write", serde_json::json!({ "queries": {}, "node_key": key })),
            ("log", serde_json::json!({ "data": [{ "a": 1 }], "log_type": "result", "node_key": key })),
        ] {
            let path = format!("/api/v1/osquery/{path}");
            let exchange = agent.post(&path, agent_compat::agent::AgentEndpoint::Config, body.to_string(), &[]).await;
            assert!(exchange.verdict.is_node_invalid(), "{path} {key:.20}: {exchange:?}");
            assert!(!String::from_utf8_lossy(exchange.body()).contains("never-given-out"), "keys are not echoed");
        }
    }
    assert_eq!(std::fs::read(server.results()).unwrap(), b"");
}

/// From 5.23 on agents send the key in a header too; the body is what counts.
#[tokio::test]
async fn the_header_stands_in_where_the_body_has_no_key() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let endpoint = agent_compat::agent::AgentEndpoint::Config;
    let good = format!("NodeKey {}", agent.node_key());
    let only_header = agent.raw(endpoint, "{}", &[("Authorization", &good)]).await;
    assert!(only_header.verdict.is_success(), "{only_header:?}");
    let body = format!(r#"{{"node_key":"{}"}}"#, agent.node_key());
    assert!(agent.raw(endpoint, body, &[("Authorization", "NodeKey wrong")]).await.verdict.is_success());
    let wrong_body = agent.raw(endpoint, r#"{"node_key":"wrong"}"#, &[("Authorization", &good)]).await;
    assert!(wrong_body.verdict.is_node_invalid(), "{wrong_body:?}");
}
