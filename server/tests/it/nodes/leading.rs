//! One server does the work of all, and another follows it.

use std::time::Duration;

use super::two;
use crate::support::TestServer;

async fn leads(server: &TestServer) -> bool {
    server.metric("muster_is_leader ").await > 0.0
}

async fn runs(server: &TestServer, task: &str) -> f64 {
    server.metric(&format!(r#"muster_task_runs_total{{outcome="done",task="{task}"}}"#)).await
}

#[tokio::test]
async fn one_leads_and_the_next_follows_at_once_when_it_stops() {
    let (mut one, other) = two().await;
    one.run_tasks().await;
    other.run_tasks().await;
    assert!(leads(&one).await && !leads(&other).await);
    assert!(runs(&one, "retire_keys").await > 0.0);
    assert_eq!(runs(&other, "retire_keys").await, 0.0);
    assert!(runs(&other, "follow").await > 0.0, "every server does its own");
    one.stop().await;
    other.run_tasks().await;
    assert!(leads(&other).await);
    assert_eq!(other.number("SELECT count(*) FROM replicas"), 1, "the one that stopped has said so");
}

#[tokio::test]
async fn a_leader_that_falls_silent_is_followed_when_its_lease_is_over() {
    let (one, other) = two().await;
    one.run_tasks().await;
    // As if it had died: it does not come to renew.
    let database = other.database();
    let hold = |until: i64| {
        database.execute(&format!("UPDATE leases SET holder = 'silent', expires_at = {until}"));
    };
    let until = other.clock.now().plus(Duration::from_secs(30));
    hold(until.0);
    other.run_tasks().await;
    assert!(!leads(&other).await);
    other.clock.advance(Duration::from_secs(31));
    other.run_tasks().await;
    assert!(!leads(&other).await, "clocks may differ");
    other.clock.advance(Duration::from_secs(5));
    other.run_tasks().await;
    one.run_tasks().await;
    assert!(leads(&one).await != leads(&other).await);
}
