//! Keys of which each server has seen a part.

use std::time::Duration;

use super::two;
use crate::support::TestServer;

const GRACE: Duration = Duration::from_secs(600);

/// The old key is used at one server only, and the one that retires keys has never seen it.
#[tokio::test]
async fn a_key_that_is_used_elsewhere_lives() {
    let (one, other) = two().await;
    one.run_tasks().await;
    let mut old = other.enrolled(1).await;
    assert!(old.config().await.verdict.is_success());
    one.clock.advance(Duration::from_secs(1));
    let mut new = one.enrolled(1).await;
    assert!(new.config().await.verdict.is_success());
    for _ in 0..6 {
        one.clock.advance(GRACE / 3);
        assert!(old.config().await.verdict.is_success());
        // The leader first: what the other has not written yet must not be taken for idle.
        one.run_tasks().await;
        other.run_tasks().await;
    }
    assert!(old.config().await.verdict.is_success());
    assert_eq!(one.number("SELECT count(*) FROM node_keys"), 2);

    // Once it is idle it goes, at both.
    for _ in 0..4 {
        one.clock.advance(GRACE);
        other.run_tasks().await;
        one.run_tasks().await;
    }
    other.run_tasks().await;
    assert_eq!(one.number("SELECT count(*) FROM node_keys"), 1);
    assert!(old.config().await.verdict.is_node_invalid());
    assert!(new.config().await.verdict.is_success());
}

/// A server that serves but cannot say what it knows keeps keys alive.
#[tokio::test]
async fn keys_wait_for_a_server_that_cannot_write() {
    let (one, other) = two().await;
    one.run_tasks().await;
    let mut old = other.enrolled(1).await;
    assert!(old.config().await.verdict.is_success());
    one.clock.advance(Duration::from_secs(1));
    let mut new = one.enrolled(1).await;
    assert!(new.config().await.verdict.is_success());
    other.run_tasks().await;
    let row = "SELECT count(*) FROM replicas";
    assert_eq!(one.number(row), 2);
    // As if it had last written long ago.
    let long_ago = one.clock.now();
    one.clock.advance(GRACE * 10);
    let database = one.database();
    database.execute(&format!("UPDATE node_keys SET used_at = {}", long_ago.0));
    database.execute(&format!("INSERT INTO replicas (id, written_at) VALUES ('silent', {})", long_ago.0));
    one.run_tasks().await;
    assert_eq!(one.number("SELECT count(*) FROM node_keys"), 2);
    // After a day it counts as gone.
    one.clock.advance(Duration::from_secs(25 * 3600));
    // Whoever leads now waits for reports of two minutes later.
    for _ in 0..3 {
        assert!(new.config().await.verdict.is_success());
        other.run_tasks().await;
        one.run_tasks().await;
        one.clock.advance(Duration::from_secs(130));
    }
    assert_eq!(one.number("SELECT count(*) FROM node_keys"), 1);
}

/// Each machine talks to a server of its own.
#[tokio::test]
async fn clones_at_different_servers_are_told_apart() {
    let (first, second) = two().await;
    let machine = |server: &TestServer, instance: &str| {
        let mut identity = crate::enrollment::identity(1);
        instance.clone_into(&mut identity.instance_id);
        server.address.agent_of(identity)
    };
    let (mut one, mut two) = (machine(&first, "instance-one"), machine(&second, "instance-two"));
    for agent in [&mut one, &mut two] {
        assert!(agent.enroll().await.verdict.is_success());
        assert!(agent.config().await.verdict.is_success());
        first.clock.advance(Duration::from_secs(5));
    }
    for _ in 0..3 {
        for (server, agent) in [(&first, &mut one), (&second, &mut two)] {
            assert!(agent.config().await.verdict.is_success());
            server.run_tasks().await;
        }
        first.clock.advance(Duration::from_secs(130));
        second.run_tasks().await;
        first.run_tasks().await;
    }
    assert_eq!(first.number("SELECT count(*) FROM hosts"), 2);
    second.run_tasks().await;
    // Both go on at either server, each as itself.
    for (server, agent) in [(&second, &mut one), (&first, &mut two)] {
        server.address.draw(agent);
        assert!(agent.config().await.verdict.is_success());
        agent.push_result_line(r#"{"line":1}"#);
        assert!(agent.flush_logs().await[0].verdict.is_success());
    }
    assert_eq!(first.number("SELECT count(DISTINCT host_id) FROM node_keys"), 2);
    assert_eq!((one.counters().node_invalid(), two.counters().node_invalid()), (0, 0));
}

/// Of the only key of a host just the first use is written. What a server knows of later ones counts once the host has
/// another key, however long the leader has waited for it.
#[tokio::test]
async fn the_only_key_lives_on_when_another_one_comes() {
    let (one, other) = two().await;
    one.run_tasks().await;
    let mut old = other.enrolled(1).await;
    for _ in 0..5 {
        assert!(old.config().await.verdict.is_success());
        other.run_tasks().await;
        one.run_tasks().await;
        one.clock.advance(GRACE);
    }
    let first = one.number("SELECT first_used_at FROM node_keys");
    assert_eq!(one.number("SELECT used_at FROM node_keys"), first, "one write for all uses");
    assert!(old.config().await.verdict.is_success());
    let in_use = one.clock.now().0;
    one.clock.advance(Duration::from_secs(1));
    let mut new = one.enrolled(1).await;
    assert!(new.config().await.verdict.is_success());
    // The leader alone goes on for a while.
    for _ in 0..6 {
        one.run_tasks().await;
        assert_eq!(one.number("SELECT count(*) FROM node_keys"), 2);
        one.clock.advance(Duration::from_secs(30));
    }
    // The other follows, and its report says when the old key was used.
    other.run_tasks().await;
    assert_eq!(
        one.number("SELECT MAX(used_at) FROM node_keys WHERE created_at < (SELECT MAX(created_at) FROM node_keys)"),
        in_use
    );
    one.run_tasks().await;
    assert_eq!(one.number("SELECT count(*) FROM node_keys"), 2);
    assert!(old.config().await.verdict.is_success());
}
