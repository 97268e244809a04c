//! Requests that are given up, as when their client goes away, and steps that fail half-way.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use muster_api::rest::{LiveStatus, LiveTargets, NewLiveQuery, TargetState};

use super::notes::Settlement;
use super::progress::OpenTarget;
use super::{Job, Live};
use crate::bus::contract_tests::soon;
use crate::fleet::access::Principal;
use crate::store;
use crate::tests::world::World;

/// Longest wait for what goes on after a request was given up.
const SOON: Duration = Duration::from_secs(20);

/// A query for all hosts.
fn for_all() -> NewLiveQuery {
    NewLiveQuery {
        query: Some("SELECT 1".to_owned()),
        targets: LiveTargets { all: true, ..LiveTargets::default() },
        ..NewLiveQuery::default()
    }
}

#[actix_web::test]
async fn a_start_that_is_given_up_at_any_moment_leaves_no_row_that_nobody_holds() {
    let world = World::new().await;
    world.enroll("one", "ubuntu").await;
    let fleet = &world.app.fleet;
    let principal = fleet.access.authenticate(&world.token).await.unwrap();
    let request = for_all();
    let mut has_ended = false;
    for polls in (1..).take_while(|polls| *polls < 200) {
        if has_ended {
            break;
        }
        let mut starting = pin!(fleet.live.start(&principal, &request));
        let mut left = polls;
        has_ended = std::future::poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(false);
            }
            left -= 1;
            starting.as_mut().poll(context).map(|started| started.is_ok())
        })
        .await;
    }
    assert!(has_ended, "a start needs fewer steps");
    let deadline = Instant::now() + SOON;
    loop {
        fleet.live.look().await.unwrap();
        let rows = store::live_queries::open(world.app.store.reader()).await.unwrap();
        let rows: BTreeSet<i64> = rows.into_iter().map(|row| row.id).collect();
        let held: BTreeSet<i64> = fleet.live.open_jobs().iter().map(|job| job.id).collect();
        if rows == held && !rows.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "open rows {rows:?}, held {held:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A live query for three hosts, and its operator.
pub(super) async fn started(world: &World) -> (Arc<Job>, Principal) {
    for name in ["one", "two", "three"] {
        world.enroll(name, "ubuntu").await;
    }
    let fleet = &world.app.fleet;
    let principal = fleet.access.authenticate(&world.token).await.unwrap();
    (start(&fleet.live, &principal).await, principal)
}

pub(super) async fn start(live: &Arc<Live>, principal: &Principal) -> Arc<Job> {
    let id = live.start(principal, &for_all()).await.unwrap().id;
    live.find(id).await.unwrap()
}

pub(super) fn settled_as(state: TargetState) -> Settlement {
    Settlement { state, truncated: false, unkept: false, stats: None, bytes: 0, at: 1_768_478_400_000_000 }
}

#[actix_web::test]
async fn a_fold_goes_on_when_its_caller_gives_up() {
    let world = World::new().await;
    let (job, _) = started(&world).await;
    let live = &world.app.fleet.live;
    let host = job.targets().min().unwrap().cast_signed();
    assert!(live.bus.claim(job.key, host, live.clock.now(), true, false).await.unwrap().is_won());
    {
        let mut folding = pin!(live.fold(&job));
        assert!(futures_util::poll!(folding.as_mut()).is_pending());
    }
    let deadline = Instant::now() + SOON;
    while !matches!(job.open_target(host), Some(OpenTarget::Sent { .. })) {
        assert!(Instant::now() < deadline, "the claim is not seen");
        tokio::task::yield_now().await;
    }
}

/// The request that brought the third one may have been given up, or the bus have failed.
#[actix_web::test]
async fn the_next_sweep_stops_a_query_that_its_third_suspect_has_not_stopped() {
    let world = World::new().await;
    world.enroll("four", "ubuntu").await;
    let (job, _) = started(&world).await;
    let live = &world.app.fleet.live;
    for host in job.targets().iter().take(3).map(u64::cast_signed) {
        let note = settled_as(TargetState::Suspect).to_bytes();
        assert!(live.bus.answer(job.key, host, Bytes::new(), note, soon()).await.unwrap());
    }
    live.fold(&job).await.unwrap();
    assert!(job.is_open() && live.must_act(&job));
    live.sweep().await.unwrap();
    let (status, reason) = job.status();
    assert_eq!(status, LiveStatus::Stopped, "{reason}");
}

#[actix_web::test]
async fn results_that_are_removed_while_they_are_read_are_no_complete_stream() {
    let world = World::new().await;
    let (job, principal) = started(&world).await;
    let live = &world.app.fleet.live;
    for host in job.targets().iter().map(u64::cast_signed) {
        let line = format!("{{\"host_id\":{host},\"rows\":[]}}").into_bytes();
        assert!(live.keep(&job, host, line, &settled_as(TargetState::Answered)).await.unwrap());
    }
    assert!(!job.is_open());
    let mut follower = live.follow(&principal, job.id, 0).await.unwrap();
    assert_eq!(follower.read().await.unwrap().len(), 3);
    live.bus.remove(job.key).await.unwrap();
    job.lose_answers();
    assert!(follower.more().await, "nobody knows yet");
    assert!(follower.read().await.is_err(), "what is left must not be taken for everything");
}
