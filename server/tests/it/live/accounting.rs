use std::time::Duration;

use muster_api::rest::{LiveStatus, TargetState};
use serde_json::json;

use super::{answers, ask, counts, hosts, job, start};
use crate::support::TestServer;

#[tokio::test]
async fn every_host_answers_once_and_the_job_is_complete() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 3).await;
    let id = ask(&server, "SELECT version FROM osquery_info").await.id;
    assert_eq!(counts(&server, id).await.pending, 3);
    for (answered, agent) in (1..).zip(&mut agents) {
        let read = agent.read().await;
        assert!(read.verdict.value().unwrap()["queries"][format!("fleet_distributed_query_{id}")].is_string());
        assert_eq!(counts(&server, id).await.sent, 1);
        // The agent already has the query; this runs it and delivers the answer.
        agent.distributed().await;
        assert_eq!(counts(&server, id).await.answered, answered);
    }
    let job = job(&server, id).await;
    assert_eq!(job.status, LiveStatus::Complete);
    assert_eq!(job.cost.unwrap().hosts, 3);
    let answers = answers(&server, id, 0).await;
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|answer| answer.state == TargetState::Answered && answer.rows.len() == 1));
}

#[tokio::test]
async fn who_is_asked_is_fixed_at_the_start() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 2).await;
    let only = agents[0].agent().identity().uuid.clone();
    let id = start(&server, json!({ "query": "SELECT 1", "targets": { "hosts": [only] } })).await.id;
    let mut late = hosts(&server, 3).await.pop().unwrap();
    for agent in agents.iter_mut().chain([&mut late]) {
        agent.distributed().await;
    }
    let counts = counts(&server, id).await;
    assert_eq!((counts.targets, counts.answered), (1, 1));
}

#[tokio::test]
async fn what_nobody_is_called_is_refused() {
    let server = TestServer::start().await;
    hosts(&server, 1).await;
    for (request, path) in [
        (json!({ "query": "SELECT 1", "targets": { "hosts": ["nobody"] } }), "targets.hosts[0]"),
        (json!({ "query": "SELECT 1", "targets": { "labels": ["All Hosts", "none"] } }), "targets.labels[1]"),
        (json!({ "query": "SELECT 1", "targets": {} }), "targets"),
        (json!({ "query": "SELCT 1", "targets": { "all": true } }), "query"),
        (json!({ "query": "SELECT 1; SELECT 2", "targets": { "all": true } }), "query"),
        (json!({ "query": "SELECT 1", "targets": { "labels": ["MS Windows"] } }), "targets"),
        (
            json!({ "query": "SELECT 1", "targets": { "platforms": ["linux", "linus"], "labels": ["macOS"] } }),
            "targets.platforms[1]: no host has the platform \"linus\"",
        ),
    ] {
        let answer = server.rest.post("live_queries", &request).await;
        assert_eq!(answer.status, 422, "{request}");
        assert!(answer.problems()[0].starts_with(path), "{request}: {:?}", answer.problems());
    }
}

#[tokio::test]
async fn groups_intersect_and_exclusions_are_taken_away() {
    let server = TestServer::start().await;
    let agents = hosts(&server, 4).await;
    let named = |index: usize| agents[index].agent().identity().uuid.clone();
    for (targets, expected) in [
        (json!({ "labels": ["All Hosts"], "platforms": ["linux"] }), 4),
        (json!({ "labels": ["All Hosts"], "exclude_hosts": [named(0), named(1)] }), 2),
        (json!({ "all": true, "exclude_labels": ["All Linux"], "hosts": [] }), 0),
        (json!({ "labels": ["macOS"], "hosts": [named(2)] }), 1),
    ] {
        let answer = server.rest.post("live_queries", &json!({ "query": "SELECT 1", "targets": targets })).await;
        let targeted = answer.json()["live_query"]["counts"]["targets"].as_u64().unwrap_or(0);
        assert_eq!(targeted, expected, "{targets}: {}", answer.text);
    }
}

#[tokio::test]
async fn cancelled_and_expired_jobs_account_for_everybody() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 3).await;
    let cancelled = ask(&server, "SELECT 1").await.id;
    let expired =
        start(&server, json!({ "query": "SELECT 2", "targets": { "all": true }, "deadline_seconds": 60 })).await.id;
    agents[0].distributed().await;
    agents[1].read().await;
    server.rest.post(&format!("live_queries/{cancelled}/cancel"), &json!({})).await;
    server.clock.advance(Duration::from_secs(61));
    server.run_tasks().await;
    let of = counts(&server, cancelled).await;
    assert_eq!((of.answered, of.cancelled), (1, 2));
    let of = counts(&server, expired).await;
    assert_eq!((of.answered, of.expired), (1, 2));
    assert_eq!(job(&server, expired).await.status, LiveStatus::Expired);
    // Answers that come too late are taken, so that the agent is rid of them, and change nothing.
    assert!(agents[1].distributed().await.read.verdict.is_success());
    assert_eq!(counts(&server, cancelled).await.answered, 1);
    let text = server.rest.get(&format!("live_queries/{expired}/hosts?state=expired")).await.json();
    assert_eq!(text["hosts"].as_array().unwrap().len(), 2, "{text}");
}
