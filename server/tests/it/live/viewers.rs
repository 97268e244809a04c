use std::collections::BTreeSet;

use super::{answers, ask, hosts};
use crate::support::TestServer;

#[tokio::test]
async fn a_viewer_that_comes_late_and_comes_back_sees_everything_once() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 6).await;
    let id = ask(&server, "SELECT 1").await.id;
    for agent in &mut agents[..2] {
        agent.distributed().await;
    }
    let first = answers(&server, id, 0).await;
    assert_eq!(first.len(), 2);
    for agent in &mut agents[2..] {
        agent.distributed().await;
    }
    // From wherever somebody left off.
    for (seen, answer) in (1..).zip(&first) {
        let rest = answers(&server, id, answer.cursor).await;
        assert_eq!(rest.len(), 6 - seen);
    }
    let hosts: BTreeSet<i64> = answers(&server, id, 0).await.iter().map(|answer| answer.host_id).collect();
    assert_eq!(hosts.len(), 6);
    assert!(answers(&server, id, 1_000_000_000).await.is_empty());
}

#[tokio::test]
async fn following_ends_when_the_job_is_over() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 3).await;
    let id = ask(&server, "SELECT 1").await.id;
    let path = format!("live_queries/{id}/results?follow=true");
    let (text, ()) = tokio::join!(async { server.rest.get(&path).await.text }, async {
        for agent in &mut agents {
            agent.distributed().await;
        }
    });
    assert_eq!(text.lines().filter(|line| !line.is_empty()).count(), 3, "{text}");
}

#[tokio::test]
async fn others_do_not_see_it() {
    let server = TestServer::start().await;
    hosts(&server, 1).await;
    let id = ask(&server, "SELECT 1").await.id;
    let observer = server.user("observer");
    for path in ["", "/results", "/hosts?state=pending"] {
        assert_eq!(observer.get(&format!("live_queries/{id}{path}")).await.status, 404, "{path}");
    }
    let request = serde_json::json!({ "query": "SELECT 1", "targets": { "all": true } });
    assert_eq!(observer.post("live_queries", &request).await.status, 403);
}

#[tokio::test]
async fn more_followers_than_allowed_are_told_to_come_back() {
    let server = TestServer::with(|config| config.live.max_followers = 1).await;
    hosts(&server, 1).await;
    let id = ask(&server, "SELECT 1").await.id;
    let path = format!("live_queries/{id}/results?follow=true");
    let first = server.rest.getting(&path).send().await.unwrap();
    assert_eq!(first.status(), 200);
    let second = server.rest.get(&path).await;
    assert_eq!(second.status, 503);
    assert!(second.text.contains("live.max_followers"), "{}", second.text);
    assert!(server.metric("muster_limit_hits_total{limit=\"live_max_followers\"}").await >= 1.0);
    server.rest.post(&format!("live_queries/{id}/cancel"), &serde_json::json!({})).await;
    first.text().await.unwrap();
    crate::support::eventually("the permit is free again", std::time::Duration::from_secs(20), async || {
        (server.rest.get(&path).await.status == 200).then_some(())
    })
    .await;
}
