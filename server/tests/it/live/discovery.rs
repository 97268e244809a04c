//! Live queries with a discovery query: hosts where it finds nothing are told apart from hosts that lost the query.

use std::sync::Arc;
use std::time::Duration;

use agent_compat::TestAgent;
use agent_compat::agent::{Identity, Platform};
use muster_api::rest::{LiveStatus, TargetState};
use serde_json::{Value, json};

use super::{RETRY_WINDOW, answers, ask, counts, hosts, job, start};
use crate::checkin::questions;
use crate::support::TestServer;

const NOWHERE: &str = "SELECT 1 FROM osquery_info WHERE pid < 0";
const EVERYWHERE: &str = "SELECT 1 FROM osquery_info";

/// From the first that knows costs back to those that send texts for numbers; nobody knows what the last one does.
const VERSIONS: [&str; 6] = ["5.23.1", "5.8.0", "5.7.0", "4.3.0", "3.1.0", "unknown"];

async fn host_of(server: &TestServer, index: u32, version: &str) -> TestAgent {
    let mut identity = Identity::simulated(1, index, Platform::Linux);
    version.clone_into(&mut identity.osquery_version);
    let mut agent = server.address.agent_of(identity);
    agent.enroll().await;
    crate::checkin::settle(&mut agent).await;
    agent
}

async fn discover(server: &TestServer, sql: &str, discovery: &str) -> i64 {
    start(server, json!({ "query": sql, "discovery": discovery, "targets": { "all": true } })).await.id
}

async fn state_of_only_host(server: &TestServer, id: i64) -> TargetState {
    counts(server, id).await;
    answers(server, id, 0).await[0].state
}

#[tokio::test]
async fn hosts_where_it_finds_nothing_are_skipped_whatever_their_version() {
    let server = TestServer::with(|config| config.server.tls = false).await;
    let mut agents = Vec::new();
    for (index, version) in (0..).zip(VERSIONS) {
        agents.push(host_of(&server, index * 2, version).await);
        agents.push(host_of(&server, index * 2 + 1, version).await);
    }
    let chosen: Vec<String> =
        agents.iter().step_by(2).map(|agent| format!("'{}'", agent.agent().identity().uuid)).collect();
    let discovery = format!("SELECT 1 FROM system_info WHERE uuid IN ({})", chosen.join(","));
    let id = discover(&server, "SELECT version FROM osquery_info", &discovery).await;
    for agent in &mut agents {
        let round = agent.distributed().await;
        assert!(round.write.unwrap().verdict.is_success());
    }
    let of = counts(&server, id).await;
    assert_eq!((of.targets, of.answered, of.skipped), (12, 6, 6));
    let shown = job(&server, id).await;
    assert_eq!((shown.status, shown.discovery), (LiveStatus::Complete, Some(discovery)));
    let skipped: Vec<i64> = answers(&server, id, 0)
        .await
        .into_iter()
        .filter(|answer| answer.state == TargetState::Skipped && answer.rows.is_empty())
        .map(|answer| answer.host_id)
        .collect();
    let listed = server.rest.get(&format!("live_queries/{id}/hosts?state=skipped")).await.json();
    let listed: Vec<i64> =
        listed["hosts"].as_array().unwrap().iter().map(|host| host["id"].as_i64().unwrap()).collect();
    assert_eq!(listed, skipped);
    assert_eq!(listed, [2, 4, 6, 8, 10, 12]);
}

#[tokio::test]
async fn a_skip_stands_beside_what_failed_and_what_is_denylisted() {
    let server = TestServer::start().await;
    let mut agent = host_of(&server, 0, "5.23.1").await;
    agent.agent_mut().set_killer(Some(Arc::new(|sql: &str| sql.contains("deadly"))));
    // It learns that this one is deadly.
    let dead = discover(&server, "SELECT 'deadly'", EVERYWHERE).await;
    assert!(agent.distributed().await.write.is_none());
    server.rest.post(&format!("live_queries/{dead}/cancel"), &json!({})).await;
    server.clock.advance(RETRY_WINDOW);
    let denylisted = discover(&server, "SELECT 'deadly'", EVERYWHERE).await;
    let failed = discover(&server, "SELECT * FROM no_such_table", EVERYWHERE).await;
    let skipped = discover(&server, "SELECT 'not here'", NOWHERE).await;
    let plain = ask(&server, "SELECT 1 AS one").await.id;
    for _ in 0..4 {
        agent.distributed().await;
    }
    assert_eq!(state_of_only_host(&server, denylisted).await, TargetState::Denylisted);
    assert_eq!(state_of_only_host(&server, failed).await, TargetState::Failed);
    assert_eq!(state_of_only_host(&server, skipped).await, TargetState::Skipped);
    assert_eq!(state_of_only_host(&server, plain).await, TargetState::Answered);
}

/// It voids the whole read, and the agent says nothing.
#[tokio::test]
async fn a_discovery_query_that_cannot_run_spoils_no_other() {
    for version in ["5.23.1", "5.7.0"] {
        let server = TestServer::start().await;
        let mut agent = host_of(&server, 0, version).await;
        let broken = discover(&server, "SELECT 1", "SELECT 1 FROM no_such_table").await;
        let (skipped, plain) = (discover(&server, "SELECT 2", NOWHERE).await, ask(&server, "SELECT 3").await.id);
        assert_eq!(questions(&agent.distributed().await), [format!("fleet_distributed_query_{plain}")]);
        assert_eq!(state_of_only_host(&server, plain).await, TargetState::Answered, "at once");
        for _ in 0..4 {
            agent.distributed().await;
            server.clock.advance(RETRY_WINDOW);
        }
        assert_eq!(state_of_only_host(&server, skipped).await, TargetState::Skipped);
        let lost = &answers(&server, broken, 0).await[0];
        assert_eq!(lost.state, TargetState::Lost);
        assert!(lost.error.as_deref().unwrap().contains("discovery"), "{lost:?}");
    }
}

/// Whether the query, its sentinel or its discovery query does it, and with or without a denylist.
#[tokio::test]
async fn a_worker_that_dies_in_the_read_is_suspected_and_not_skipped() {
    for (version, deadly) in [("5.23.1", "query"), ("5.4.0", "query"), ("5.23.1", "discovery"), ("5.7.0", "discovery")]
    {
        let server = TestServer::start().await;
        let mut agent = host_of(&server, 0, version).await;
        agent.agent_mut().set_killer(Some(Arc::new(move |sql: &str| sql.contains(deadly))));
        // The server learns how often it fetches its config.
        for _ in 0..3 {
            agent.config().await;
            server.clock.advance(Duration::from_secs(60));
        }
        let id = discover(&server, "SELECT 'query'", &format!("{EVERYWHERE} WHERE 'discovery' != ''")).await;
        assert!(agent.distributed().await.write.is_none());
        agent.config().await;
        server.clock.advance(Duration::from_secs(5));
        agent.config().await;
        // What was not started yet runs in the new worker. Nothing is left of the sentinel, or it would be a skip.
        assert!(agent.distributed().await.write.is_none());
        assert_eq!(counts(&server, id).await.sent, 1, "{version} {deadly}");
        server.clock.advance(RETRY_WINDOW);
        agent.distributed().await;
        assert_eq!(state_of_only_host(&server, id).await, TargetState::Suspect, "{version} {deadly}");
    }
}

/// The same agent, killed between two queries: what it keeps on disk runs later and is an answer.
#[tokio::test]
async fn a_query_that_outlives_its_worker_is_answered() {
    let server = TestServer::start().await;
    let mut agent = host_of(&server, 0, "5.7.0").await;
    let id = discover(&server, "SELECT 1", EVERYWHERE).await;
    agent.read().await;
    let now = agent.now_ms();
    agent.agent_mut().restart(now);
    agent.agent_mut().run_live_queries(now);
    assert!(agent.write([]).await.verdict.is_success());
    assert_eq!(state_of_only_host(&server, id).await, TargetState::Answered);
}

#[tokio::test]
async fn it_is_checked_like_the_query_and_asked_for_by_the_same_people() {
    let server = TestServer::start().await;
    hosts(&server, 1).await;
    for discovery in ["", "SELCT 1", "SELECT 1; SELECT 2", "PRAGMA page_size"] {
        let request = json!({ "query": "SELECT 1", "discovery": discovery, "targets": { "all": true } });
        let answer = server.rest.post("live_queries", &request).await;
        assert_eq!(answer.status, 422, "{discovery}");
        assert!(answer.problems()[0].starts_with("discovery: "), "{discovery}: {:?}", answer.problems());
    }
    let saved = json!({ "name": "open", "query": "SELECT 1", "observer_can_run": true });
    assert_eq!(server.rest.post("queries", &saved).await.status, 200);
    let observer = server.user("observer");
    let mut request = json!({ "query_name": "open", "targets": { "all": true } });
    assert_eq!(observer.post("live_queries", &request).await.status, 200);
    request["discovery"] = Value::from("SELECT 1");
    assert_eq!(observer.post("live_queries", &request).await.status, 403, "that is SQL of one's own");
}
