//! When hosts were last seen, of which each server has met some.

use std::time::Duration;

use super::{known_to_both, seen_at, two};
use crate::support::{TestServer, eventually};

const SOON: Duration = Duration::from_secs(60);

/// Two servers that know of each other.
async fn acquainted() -> (TestServer, TestServer) {
    let (one, other) = two().await;
    for server in [&one, &other, &one, &other] {
        server.run_tasks().await;
    }
    (one, other)
}

#[tokio::test]
async fn a_check_in_is_known_to_the_other_server() {
    let (one, other) = acquainted().await;
    let mut agent = one.enrolled(1).await;
    for _ in 0..4 {
        one.clock.advance(Duration::from_secs(25));
        assert!(agent.config().await.verdict.is_success());
        let now = one.clock.now().0;
        // Stored by the first, or sent.
        one.run_tasks().await;
        eventually("the other server knows", SOON, async || {
            other.run_tasks().await;
            (seen_at(&other, 1).await >= now - 15_000_000).then_some(())
        })
        .await;
        assert!(seen_at(&other, 1).await <= now);
    }
    assert_eq!(one.number("SELECT count(*) FROM seen_pages"), 1);
    assert!(seen_at(&one, 1).await > one.number("SELECT seen_at FROM hosts"), "nobody writes to rows of hosts");
}

#[tokio::test]
async fn contacts_never_go_backwards() {
    let (one, other) = acquainted().await;
    let mut agent = known_to_both(&one, &other, 1).await;
    one.clock.advance(Duration::from_secs(60));
    assert!(agent.config().await.verdict.is_success());
    other.address.draw(&mut agent);
    one.clock.advance(Duration::from_secs(60));
    assert!(agent.config().await.verdict.is_success());
    let now = one.clock.now().0;
    // The later contact is stored first.
    for server in [&other, &one, &other, &one] {
        server.run_tasks().await;
        one.clock.advance(Duration::from_secs(20));
    }
    assert_eq!((seen_at(&one, 1).await, seen_at(&other, 1).await), (now, now));
}

/// A node of the version before: its row names no version, and it decides by what is in rows of hosts and keys.
#[tokio::test]
async fn while_a_server_of_an_older_version_lives_contacts_and_uses_are_in_rows() {
    let one = TestServer::start().await;
    one.run_tasks().await;
    let mut agent = one.enrolled(1).await;
    assert!(agent.config().await.verdict.is_success());
    one.run_tasks().await;
    let row = || (one.number("SELECT seen_at FROM hosts"), one.number("SELECT used_at FROM node_keys"));
    let first = row();
    assert!(first.1 > 0, "the first use is written");
    let check_in = async |agent: &mut agent_compat::TestAgent| {
        one.clock.advance(Duration::from_secs(130));
        assert!(agent.config().await.verdict.is_success());
        one.run_tasks().await;
        one.clock.now().0
    };
    check_in(&mut agent).await;
    assert_eq!(row(), first);

    let database = one.database();
    database.execute(&format!("INSERT INTO replicas (id, written_at) VALUES ('older', {})", one.clock.now().0));
    let now = check_in(&mut agent).await;
    assert_eq!(row(), (now, now));
    assert_eq!(one.number("SELECT count(*) FROM replicas WHERE alive_at IS NOT NULL"), 1);

    database.execute("DELETE FROM replicas WHERE id = 'older'");
    check_in(&mut agent).await;
    assert_eq!(row(), (now, now));
}
