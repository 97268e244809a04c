use muster_api::rest::LiveStatus;

use super::{RETRY_WINDOW, answers, ask, counts, hosts, job};
use crate::support::TestServer;

#[tokio::test]
async fn a_job_goes_on_after_the_server_was_restarted() {
    let mut server = TestServer::start().await;
    let mut agents = hosts(&server, 3).await;
    let id = ask(&server, "SELECT 1").await.id;
    agents[0].distributed().await;
    // It has the query and has not answered when the server goes away.
    agents[1].read().await;
    server.run_tasks().await;
    server.restart().await;
    assert_eq!(counts(&server, id).await.answered, 1);
    server.clock.advance(RETRY_WINDOW);
    for agent in &mut agents {
        agent.distributed().await;
    }
    let of = counts(&server, id).await;
    assert_eq!(of.answered, 3, "{of:?}");
    assert_eq!(answers(&server, id, 0).await.len(), 3);
    assert_eq!(job(&server, id).await.status, LiveStatus::Complete);
    server.run_tasks().await;
    server.restart().await;
    assert_eq!(job(&server, id).await.status, LiveStatus::Complete, "and what is over stays over");
    assert_eq!(answers(&server, id, 0).await.len(), 3);
}

/// Ended jobs are many, and each stream that is open costs; so they are opened for whoever reads the answers.
#[tokio::test]
async fn what_is_over_is_listed_without_its_answers() {
    let mut server = TestServer::start().await;
    let mut agents = hosts(&server, 1).await;
    let id = ask(&server, "SELECT 1").await.id;
    agents[0].distributed().await;
    server.run_tasks().await;
    server.restart().await;
    let opened = r#"muster_bus_commands_total{command="open"}"#;
    for _ in 0..3 {
        let listed = server.rest.get("live_queries?status=all").await.json();
        assert_eq!(listed["live_queries"][0]["counts"]["answered"], 1, "{listed:#}");
        assert_eq!(job(&server, id).await.counts.answered, 1);
    }
    assert_eq!(server.metric(opened).await, 0.0);
    assert_eq!(answers(&server, id, 0).await.len(), 1);
    assert_eq!(server.metric(opened).await, 1.0, "and only then");
}
