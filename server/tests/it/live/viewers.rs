use std::collections::BTreeSet;

use serde_json::json;

use super::campaigns::campaign;
use super::sockets::Socket;
use super::{answers, ask, hosts};
use crate::support::{Rest, TestServer};

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

/// What is read when a stream that goes on has ended.
async fn last_line(stream: reqwest::Response) -> String {
    let text = stream.text().await.expect("the stream ends well, and its last line says why");
    text.lines().last().unwrap_or_default().to_owned()
}

/// A stream ends soon after its reader may not read it any more, and says why; others go on.
#[tokio::test]
async fn a_stream_ends_with_the_session_of_its_reader() {
    let server = TestServer::start().await;
    hosts(&server, 1).await;
    let id = ask(&server, "SELECT 1").await.id;
    let follow = async |reader: &Rest| {
        let stream = reader.getting(&format!("live_queries/{id}/results?follow=true")).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        stream
    };
    let (leaves, demoted) = (server.user("maintainer"), server.user("admin"));
    let streams = [follow(&leaves).await, follow(&demoted).await, follow(&server.rest).await];
    assert_eq!(leaves.post("logout", &json!({})).await.status, 200);
    let role = json!({ "spec": { "roles": { "admin-user@example.com": { "global_role": "observer" } } } });
    let changed = server.rest.post("users/roles/spec", &role).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let [left, demoted, goes_on] = streams;
    assert_eq!(last_line(left).await, "{\"error\":\"the session has ended; log in again\"}");
    assert!(last_line(demoted).await.contains("was not found"), "observers see their own alone");
    server.rest.post(&format!("live_queries/{id}/cancel"), &json!({})).await;
    assert!(!last_line(goes_on).await.contains("\"error\":\"the session"));
}

/// A campaign that is watched ends with the session as well.
#[tokio::test]
async fn a_socket_closes_with_the_session_of_its_reader() {
    let server = TestServer::start().await;
    let agents = hosts(&server, 1).await;
    let id = campaign(&server, &[agents[0].agent().identity().uuid.clone()]).await;
    let mut socket = Socket::watch(&server, id).await;
    assert_eq!(socket.next().await["type"], "totals");
    assert_eq!(server.rest.post("logout", &json!({})).await.status, 200);
    loop {
        let message = socket.next().await;
        match message["type"].as_str().unwrap() {
            "error" => return assert_eq!(message["data"], "the session has ended; log in again"),
            _ => assert_eq!(message["type"], "status"),
        }
    }
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
