use std::time::Duration;

use muster_api::rest::LiveStatus;
use serde_json::json;

use super::{change, counts, hosts, job, start};
use crate::support::TestServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_and_a_rate_outlast_a_restart_and_are_changed_while_it_runs() {
    let mut server = TestServer::with(|config| config.live.rate = 2).await;
    let mut agents = hosts(&server, 6).await;
    let made = start(&server, json!({ "query": "SELECT 1", "targets": { "all": true } })).await;
    let id = made.id;
    assert_eq!((made.rate, made.paused, made.given), (2, false, 0), "the default of the server");
    for agent in &mut agents {
        agent.distributed().await;
    }
    assert_eq!(counts(&server, id).await.answered, 2, "those of one second");
    let own = start(&server, json!({ "query": "SELECT 2", "targets": { "all": true }, "rate": 0 })).await;
    assert_eq!(own.rate, 0);
    change(&server, id, "pause", json!({})).await;
    server.restart().await;
    let paused = job(&server, id).await;
    assert_eq!((paused.rate, paused.paused, paused.given), (2, true, 2), "{paused:?}");
    server.clock.advance(Duration::from_secs(10));
    for agent in &mut agents {
        agent.distributed().await;
    }
    assert_eq!(job(&server, id).await.given, 2, "nobody is asked");
    assert_eq!(job(&server, own.id).await.status, LiveStatus::Complete, "and the other one goes on");
    assert_eq!(change(&server, id, "rate", json!({ "rate": 3 })).await.rate, 3);
    assert!(!change(&server, id, "resume", json!({})).await.paused);
    for agent in &mut agents {
        agent.distributed().await;
    }
    assert_eq!(counts(&server, id).await.answered, 5);
    change(&server, id, "rate", json!({ "rate": 0 })).await;
    for agent in &mut agents {
        agent.distributed().await;
    }
    let over = job(&server, id).await;
    assert_eq!((over.status, over.given, over.paused), (LiveStatus::Complete, 6, false), "{over:?}");
    let activities = "SELECT count(*) FROM activities WHERE kind IN \
        ('paused_live_query', 'resumed_live_query', 'changed_live_query_rate')";
    assert_eq!(server.number(activities), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_changed_is_refused_in_words() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 1).await;
    let request = |rate: u32| json!({ "query": "SELECT 1", "targets": { "all": true }, "rate": rate });
    let refused = server.rest.post("live_queries", &request(100_001)).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("expects 1 to 100000 hosts a second, or 0"), "{}", refused.text);
    let id = start(&server, request(1)).await.id;
    let refused = server.rest.post(&format!("live_queries/{id}/rate"), &json!({ "rate": 100_001 })).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    agents[0].distributed().await;
    for (action, body) in [("pause", json!({})), ("resume", json!({})), ("rate", json!({ "rate": 5 }))] {
        let refused = server.rest.post(&format!("live_queries/{id}/{action}"), &body).await;
        assert_eq!(refused.status, 422);
        assert!(refused.text.contains(&format!("live query {id} is complete")), "{}", refused.text);
        let unknown = server.rest.post(&format!("live_queries/999/{action}"), &body).await;
        assert_eq!(unknown.status, 404, "{}", unknown.text);
    }
}
