use serde_json::json;

use super::{hosts, start};
use crate::checkin::questions;
use crate::support::{TestServer, skipped_with_redis};

/// Commands to the bus, but for looking whether it is there.
async fn commands(server: &TestServer) -> f64 {
    let all = server.metric("muster_bus_commands_total").await;
    all - server.metric(r#"muster_bus_commands_total{command="ping"}"#).await
}

#[tokio::test]
async fn two_hundred_open_jobs_leave_other_hosts_check_ins_as_they_are() {
    if skipped_with_redis("its tasks ask Redis meanwhile, see live_nodes") {
        return;
    }
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 2).await;
    let asked = agents[1].agent().identity().uuid.clone();
    for n in 0..200 {
        start(&server, json!({ "query": format!("SELECT {n}"), "targets": { "hosts": [asked] } })).await;
    }
    server.run_tasks().await;
    let before = commands(&server).await;
    let lookups = server.metric("muster_key_lookups_total").await;
    // With the database held by somebody else, a check-in that needed it could not succeed.
    let database = server.database();
    database.hold();
    for _ in 0..50 {
        assert!(questions(&agents[0].distributed().await).is_empty());
    }
    database.release();
    assert_eq!(commands(&server).await, before, "no question to the bus");
    assert_eq!(server.metric("muster_key_lookups_total").await, lookups);
    let mut answered = 0;
    for _ in 0..30 {
        answered += questions(&agents[1].distributed().await).len();
    }
    assert_eq!(answered, 200, "while the host that is asked works through all of them");
}
