//! Two machines that claim one identity, as cloned disks do.

use std::time::Duration;

use agent_compat::TestAgent;

use super::{host, hosts, identity};
use crate::support::{KeptLines, TestServer, count};

/// Longer than the overlap of two keys of one machine can be.
const LONG: Duration = Duration::from_secs(130);

fn clone_of(server: &TestServer, index: u32, instance: &str) -> TestAgent {
    let mut identity = identity(index);
    instance.clone_into(&mut identity.instance_id);
    server.address.agent_of(identity)
}

async fn live_beside_each_other(server: &TestServer, one: &mut TestAgent, two: &mut TestAgent) {
    for _ in 0..3 {
        for agent in [&mut *one, &mut *two] {
            assert!(agent.config().await.verdict.is_success());
        }
        server.clock.advance(LONG);
        server.run_tasks().await;
    }
}

async fn two_clones(server: &TestServer) -> (TestAgent, TestAgent) {
    let (mut one, mut two) = (clone_of(server, 1, "instance-one"), clone_of(server, 1, "instance-two"));
    assert!(one.enroll().await.verdict.is_success());
    assert!(one.config().await.verdict.is_success());
    server.clock.advance(Duration::from_secs(5));
    assert!(two.enroll().await.verdict.is_success());
    (one, two)
}

#[tokio::test]
async fn machines_that_share_an_identity_become_two_hosts() {
    let mut server = TestServer::start().await;
    let (mut one, mut two) = two_clones(&server).await;
    assert_eq!(hosts(&server).await.len(), 1, "at first they look like one that lost its database");
    live_beside_each_other(&server, &mut one, &mut two).await;

    let both = hosts(&server).await;
    assert_eq!(both.len(), 2);
    for found in &both {
        let warning = host(&server, found.id).await.clone_warning.unwrap();
        assert!(warning.contains(&identity(1).host_identifier), "{warning}");
        assert!(!host(&server, found.id).await.labels.is_empty());
    }
    assert_eq!(server.metric("muster_clones_separated_total").await, 1.0);

    // The same line of both is no repeat now, and both keys survive restarts and time.
    for agent in [&mut one, &mut two] {
        agent.push_result_line(r#"{"line":1}"#);
        assert!(agent.flush_logs().await[0].verdict.is_success());
    }
    assert_eq!(KeptLines::read(&server.results()).count(r#"{"line":1}"#), 2);
    server.restart().await;
    live_beside_each_other(&server, &mut one, &mut two).await;
    assert_eq!(hosts(&server).await.len(), 2);
    assert_eq!((one.counters().node_invalid(), two.counters().node_invalid()), (0, 0));
}

#[tokio::test]
async fn separated_machines_find_their_own_rows_when_they_enroll_again() {
    let server = TestServer::start().await;
    let (mut one, mut two) = two_clones(&server).await;
    live_beside_each_other(&server, &mut one, &mut two).await;
    for agent in [&mut one, &mut two] {
        assert!(agent.enroll().await.verdict.is_success());
        assert!(agent.config().await.verdict.is_success());
    }
    assert_eq!(hosts(&server).await.len(), 2);
    let mut three = clone_of(&server, 1, "instance-three");
    assert!(three.enroll().await.verdict.is_success());
    assert!(three.config().await.verdict.is_success());
    assert_eq!(hosts(&server).await.len(), 3, "a third clone is told apart at once");
}

/// One machine whose agent lost its database: the old key falls silent.
#[tokio::test]
async fn a_machine_that_lost_its_database_stays_one_host() {
    let server = TestServer::start().await;
    let (mut before, mut after) = two_clones(&server).await;
    // Requests under way end within the overlap.
    assert!(after.config().await.verdict.is_success());
    server.clock.advance(Duration::from_secs(20));
    assert!(before.config().await.verdict.is_success());
    for _ in 0..5 {
        server.clock.advance(LONG);
        assert!(after.config().await.verdict.is_success());
        server.run_tasks().await;
    }
    assert_eq!(hosts(&server).await.len(), 1);
    assert_eq!(host(&server, hosts(&server).await[0].id).await.clone_warning, None);
}

/// Two keys of one agent, as after a lost answer to an enrollment.
#[tokio::test]
async fn two_keys_of_one_instance_are_one_host() {
    let server = TestServer::start().await;
    let (mut one, mut two) = (server.enrolled(1).await, server.enrolled(1).await);
    live_beside_each_other(&server, &mut one, &mut two).await;
    assert_eq!(hosts(&server).await.len(), 1);
}

/// A golden image: all machines made from it enroll at once, under one identity.
#[tokio::test]
async fn all_machines_of_one_image_get_rows_of_their_own_in_one_pass() {
    let machines = count(60, 5_000);
    let server = TestServer::with(|config| {
        config.osquery.enrolls_per_second = 10_000;
        config.osquery.enrolls_per_second_per_secret = 10_000;
    })
    .await;
    let mut agents: Vec<TestAgent> =
        (0..machines).map(|index| clone_of(&server, 1, &format!("instance-{index:05}"))).collect();
    for agent in &mut agents {
        assert!(agent.enroll().await.verdict.is_success());
    }
    // The last one has not shown its key yet, so nothing is proven of it.
    let (unproven, proven) = agents.split_last_mut().unwrap();
    for agent in &mut *proven {
        assert!(agent.config().await.verdict.is_success());
    }
    server.run_tasks().await;
    assert_eq!(server.number("SELECT count(*) FROM hosts"), 1);

    server.clock.advance(LONG);
    for agent in &mut *proven {
        assert!(agent.config().await.verdict.is_success());
    }
    server.run_tasks().await;
    let number = |sql: &str| usize::try_from(server.number(sql)).unwrap();
    assert_eq!(number("SELECT count(*) FROM hosts"), machines - 1);
    assert_eq!(number("SELECT count(DISTINCT host_id) FROM node_keys"), machines - 1);
    assert_eq!(number("SELECT count(*) FROM node_keys"), machines, "no key was dropped");
    assert_eq!(number("SELECT count(*) FROM label_members WHERE label_id = 1"), machines - 1);
    assert!((server.metric("muster_clones_separated_total").await - (machines - 2) as f64).abs() < 0.5);

    // Each goes on as itself, and the last follows once it is proven.
    assert!(unproven.config().await.verdict.is_success());
    server.run_tasks().await;
    server.clock.advance(LONG);
    for agent in &mut agents {
        assert!(agent.config().await.verdict.is_success());
    }
    server.run_tasks().await;
    assert_eq!(number("SELECT count(DISTINCT host_id) FROM node_keys"), machines);
    for agent in &mut agents {
        assert!(agent.config().await.verdict.is_success());
        assert_eq!(agent.counters().node_invalid(), 0);
    }
}
