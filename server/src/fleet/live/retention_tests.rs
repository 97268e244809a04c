//! Results that one of two nodes removes.

use std::sync::Arc;

use muster_api::rest::TargetState;

use super::super::{Job, given_up_tests};
use super::*;
use crate::fleet::access::Principal;
use crate::redis_processes::RedisProcess;
use crate::tests::world::World;

/// Two nodes, and a live query that all three hosts have answered, as both know.
struct TwoNodes {
    a: World,
    b: World,
    of_a: Arc<Job>,
    of_b: Arc<Job>,
    principal: Principal,
    _redis: RedisProcess,
}

impl TwoNodes {
    async fn start() -> Self {
        let redis = RedisProcess::start().await;
        let a = World::with(|config| config.redis.address = vec![redis.address()]).await;
        let b = a.beside().await;
        let (of_a, principal) = given_up_tests::started(&a).await;
        let live = &b.app.fleet.live;
        live.look().await.unwrap();
        let of_b = live.find(of_a.id).await.unwrap();
        for host in of_a.targets().iter().map(u64::cast_signed) {
            let line = format!("{{\"host_id\":{host},\"rows\":[]}}").into_bytes();
            let settled = given_up_tests::settled_as(TargetState::Answered);
            assert!(live.keep(&of_b, host, line, &settled).await.unwrap());
        }
        a.app.fleet.live.look().await.unwrap();
        assert!(!of_a.is_open() && !of_b.is_open());
        a.app.fleet.live.write_checkpoint(&of_a).await.unwrap();
        Self { a, b, of_a, of_b, principal, _redis: redis }
    }

    /// As the leader does.
    async fn remove(&self) {
        let live = &self.a.app.fleet.live;
        let rows = store::live_queries::with_results(live.store.reader()).await.unwrap();
        live.remove_results(&rows[0]).await.unwrap();
    }
}

#[actix_web::test]
async fn results_that_another_node_removes_while_they_are_read_are_no_complete_stream() {
    let two = TwoNodes::start().await;
    let live = &two.b.app.fleet.live;
    let mut follower = live.follow(&two.principal, two.of_b.id, 0).await.unwrap();
    assert_eq!(follower.read().await.unwrap().len(), 3);
    two.remove().await;
    // Somebody reads there, which makes the job anew.
    let mut other = two.a.app.fleet.live.follow(&two.principal, two.of_a.id, 0).await.unwrap();
    assert!(other.read().await.unwrap().is_empty());
    let read = follower.read().await;
    assert!(read.is_err(), "what is left must not be taken for everything: {read:?}");
    assert_eq!(two.of_b.counts().results_lost, 3);
}

#[actix_web::test]
async fn results_that_another_node_has_removed_are_counted_as_lost_everywhere() {
    let two = TwoNodes::start().await;
    assert_eq!(two.of_b.counts().results_lost, 0);
    two.remove().await;
    let live = &two.b.app.fleet.live;
    live.look().await.unwrap();
    assert_eq!(live.get(&two.principal, two.of_b.id).await.unwrap().counts.results_lost, 3);
}

#[actix_web::test]
async fn a_reader_that_comes_after_another_node_has_removed_results_counts_them_as_lost() {
    let two = TwoNodes::start().await;
    two.remove().await;
    for world in [&two.a, &two.b] {
        let mut reader = world.app.fleet.live.follow(&two.principal, two.of_b.id, 0).await.unwrap();
        assert!(reader.read().await.unwrap().is_empty());
    }
    assert_eq!(two.of_b.counts().results_lost, 3);
}
