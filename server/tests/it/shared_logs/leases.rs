//! A server to which the batches of a host keep coming keeps them without asking Redis, until the other one has a batch.

use std::time::Duration;

use super::{SharedLog, line};
use crate::support::{Passage, eventually};

/// Longest wait for what takes a few seconds.
const SOON: Duration = Duration::from_secs(20);

impl SharedLog {
    async fn leases(&self, server: usize) -> f64 {
        self.servers[server].metric("muster_log_batch_leases ").await
    }

    async fn ended(&self, why: &str) -> f64 {
        let name = format!("muster_log_batch_leases_ended_total{{why=\"{why}\"");
        self.servers[0].metric(&name).await + self.servers[1].metric(&name).await
    }

    /// Sends lines, counted from `first`, to a server until it has a lease. Gives how many there were.
    async fn stick_to(&self, server: usize, first: usize) -> usize {
        let mut count = 0;
        eventually("the server has a lease", SOON, async || {
            self.send(server, &[line(first + count)]).await;
            count += 1;
            (self.leases(server).await == 1.0).then_some(())
        })
        .await;
        count
    }

    /// Waits until repeats are found out at the other server, too. Lines are counted from `first`.
    async fn is_sharing(&self, first: usize) {
        let mut n = first;
        eventually("batches are shared", SOON, async || {
            n += 1;
            self.send(0, &[line(n)]).await;
            let before = self.kept();
            self.send(1, &[line(n)]).await;
            (self.kept() == before).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn batches_that_keep_coming_to_one_server_ask_redis_no_more() {
    let two = SharedLog::start().await;
    let count = two.stick_to(0, 0).await;
    assert!(count > 8, "a lease after {count} batches");
    let before = two.commands().await;
    for n in 0..20 {
        two.send(0, &[line(1000 + n)]).await;
        two.send(0, &[line(1000 + n), line(2000 + n)]).await;
    }
    assert_eq!(two.commands().await, before);
    assert_eq!(two.kept(), count + 40);
}

#[tokio::test]
async fn batches_that_come_to_both_by_turns_take_no_lease_and_are_kept_once() {
    let two = SharedLog::start().await;
    for n in 0..20 {
        two.send(n % 2, &[line(n)]).await;
        two.send((n + 1) % 2, &[line(n), line(1000 + n)]).await;
    }
    assert_eq!(two.kept(), 40);
    assert_eq!(two.leases(0).await + two.leases(1).await + two.ended("revoked").await, 0.0);
}

#[tokio::test]
async fn a_batch_waits_for_redis_once() {
    const LATER: Duration = Duration::from_millis(100);
    let two = SharedLog::start().await;
    two.ways[0].set(Passage::Slow(LATER));
    // On a busy machine some take longer, and some are kept without a Redis that was silent for too long.
    let mut n = 0;
    eventually("a batch waits for one round trip", SOON, async || {
        let waited = two.send(0, &[line(n)]).await;
        n += 1;
        two.is_unlocked().await;
        (LATER..2 * LATER).contains(&waited).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_lease_ends_when_the_other_server_has_a_batch_and_a_repeat_adds_nothing() {
    let two = SharedLog::start().await;
    let mut kept = 0;
    for round in 0..3 {
        let (one, other, first) = (round % 2, 1 - round % 2, round * 1000);
        kept += two.stick_to(one, first).await;
        // The agent has not heard that these are kept.
        two.send(one, &[line(first + 900), line(first + 901)]).await;
        let waited = two.send(other, &[line(first + 900), line(first + 901), line(first + 902)]).await;
        kept += 3;
        assert_eq!(two.kept(), kept);
        assert!(waited < Duration::from_secs(2), "{waited:?}");
        assert_eq!(two.leases(one).await, 0.0);
    }
    assert_eq!(two.ended("revoked").await, 3.0);
    assert_eq!(two.ended("lapsed").await, 0.0);
}

#[tokio::test]
async fn a_server_that_redis_does_not_hear_loses_its_leases() {
    let two = SharedLog::start().await;
    let count = two.stick_to(0, 0).await;
    two.ways[0].set(Passage::Cut);
    two.send(0, &[line(1000)]).await;
    assert!(!two.try_send(1, &[line(1001)]).await.verdict.is_success(), "the other one may still use its lease");
    eventually("the lease is over", SOON, async || {
        two.try_send(1, &[line(1001)]).await.verdict.is_success().then_some(())
    })
    .await;
    two.send(0, &[line(1002)]).await;
    assert_eq!(two.kept(), count + 3);
    two.ways[0].set(Passage::Open);
    two.is_sharing(2000).await;
    let kept = two.kept();
    two.send(1, &[line(5000)]).await;
    two.send(0, &[line(5000), line(5001)]).await;
    assert_eq!(two.kept(), kept + 2);
    assert_eq!(two.ended("lapsed").await, 1.0);
}

#[tokio::test]
async fn leases_end_when_redis_has_lost_its_data() {
    let two = SharedLog::start().await;
    let count = two.stick_to(0, 0).await;
    two.redis.ask(&["FLUSHALL"]);
    eventually("the server notices", SOON, async || (two.ended("lapsed").await == 1.0).then_some(())).await;
    two.send(0, &[line(1000)]).await;
    two.send(1, &[line(1000), line(1001)]).await;
    assert_eq!(two.kept(), count + 2);
}

#[tokio::test]
async fn a_graceful_stop_gives_up_leases() {
    let mut two = SharedLog::start().await;
    let count = two.stick_to(0, 0).await;
    two.send(0, &[line(1000), line(1001)]).await;
    two.servers[0].stop().await;
    let waited = two.send(1, &[line(1000), line(1001), line(1002)]).await;
    assert!(waited < Duration::from_secs(1), "{waited:?}");
    assert_eq!(two.kept(), count + 3);
    assert_eq!(two.servers[1].number("SELECT count(*) FROM log_batches"), 0, "Redis has all of them");
}

#[tokio::test]
async fn while_a_server_of_the_version_before_lives_there_are_no_leases() {
    let two = SharedLog::start().await;
    let mut count = two.stick_to(0, 0).await;
    let now = two.servers[0].clock.now().0;
    let database = two.servers[0].database();
    database.execute(&format!("INSERT INTO replicas (id, written_at, alive_at) VALUES ('older', {now}, {now})"));
    two.servers[0].run_tasks().await;
    eventually("the lease is given up", SOON, async || (two.leases(0).await == 0.0).then_some(())).await;
    two.is_unlocked().await;
    for n in 0..20 {
        two.send(0, &[line(1000 + n)]).await;
    }
    count += 20;
    assert_eq!(two.leases(0).await, 0.0);
    database.execute("DELETE FROM replicas WHERE id = 'older'");
    two.servers[0].run_tasks().await;
    count += two.stick_to(0, 2000).await;
    assert_eq!(two.kept(), count);
}

#[tokio::test]
async fn the_lease_of_a_deleted_host_is_given_up() {
    let two = SharedLog::start().await;
    two.stick_to(0, 0).await;
    let id = two.servers[0].number("SELECT id FROM hosts");
    assert_eq!(two.servers[0].rest.send("DELETE", &format!("hosts/{id}"), None).await.status, 200);
    eventually("the lease is given up", SOON, async || (two.leases(0).await == 0.0).then_some(())).await;
    two.is_unlocked().await;
}
