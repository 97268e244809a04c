use muster_api::rest::LiveStatus;

use super::{ENVELOPE, answers, ask, counts, hosts, job};
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
    server.clock.advance(ENVELOPE);
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
