//! Proves that an empty check-in does not look through the open jobs, and measures what check-ins cost while many are open.
//! The latter prints figures and is run by hand:
//! `cargo test -p muster --lib checkin_cost -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Live;
use super::states::States;
use crate::bus::LivePace;
use crate::clock::Moment;
use crate::fleet::hosts::Host;
use crate::store::entity::live_queries::{LiveStatusWord, Model};
use crate::tests::world::World;

const JOBS: i64 = 500;

/// Hosts with other ids that every job targets, too.
const OTHERS: std::ops::Range<i64> = 1_000..11_000;

/// Targets of no job, of the job in the middle, and of every job.
const OF_NONE: i64 = 1;
const OF_ONE: i64 = 2;
const OF_ALL: i64 = 3;

fn row(id: i64, now: Moment) -> Model {
    let targets = OTHERS.chain([OF_ALL]).chain((id == JOBS / 2).then_some(OF_ONE));
    Model {
        id,
        query: format!("SELECT {id}"),
        discovery: None,
        query_name: String::new(),
        author_id: None,
        author_email: String::new(),
        created_at: now,
        deadline: now.plus(Duration::from_secs(3600)),
        finished_at: None,
        watched_until: None,
        status: LiveStatusWord::Open,
        stop_reason: String::new(),
        states: States::pending(targets).to_bytes(),
        results_bytes: 0,
        bus_key: None,
        rate: 0,
        is_paused: false,
        pace_changes: 0,
        canaries: None,
        canaries_until: None,
        is_paused_early: false,
        host_cpu_ms: 0,
        fleet_cpu_ms: 0,
        row_limit: 0,
        byte_limit: 0,
        guard_warnings: None,
    }
}

fn host(id: i64) -> Arc<Host> {
    Arc::new(Host::unasked(id, "ubuntu"))
}

/// The mean of many check-ins, none of which is given a query.
async fn idle(live: &Arc<Live>, host: &Arc<Host>, times: u32) -> Duration {
    let began = Instant::now();
    for _ in 0..times {
        assert!(live.questions(host).await.is_none());
    }
    began.elapsed() / times
}

/// The mean of the check-ins until the host has every query, and how many these are.
async fn busy(live: &Arc<Live>, host: &Arc<Host>) -> (Duration, u32) {
    let began = Instant::now();
    let mut times = 0;
    while live.questions(host).await.is_some() {
        times += 1;
    }
    (began.elapsed() / times, times)
}

#[tokio::test]
#[ignore = "prints figures, for comparison"]
async fn check_ins_beside_many_open_jobs() {
    let world = World::new().await;
    let live = &world.app.fleet.live;
    for id in 1..=JOBS {
        let job = live.hold(row(id, live.clock.now())).unwrap();
        live.fold(&job).await.unwrap();
    }
    let (none, one, all) = (host(OF_NONE), host(OF_ONE), host(OF_ALL));
    println!("{JOBS} open jobs of {} targets", OTHERS.count());
    println!(
        "target of none: first check-in {:?}, then {:?}",
        idle(live, &none, 1).await,
        idle(live, &none, 100_000).await
    );
    for (name, host) in [("one", one), ("all", all)] {
        let (asked, times) = busy(live, &host).await;
        println!(
            "target of {name}: {asked:?} for each of {times} that are asked, then {:?}",
            idle(live, &host, 1_000).await
        );
    }
}

/// A check-in of a host that no job waits for compares two counts: it looks at no job, paused or not.
#[tokio::test]
async fn a_check_in_of_a_host_that_is_no_target_looks_at_no_open_job() {
    let world = World::new().await;
    let live = &world.app.fleet.live;
    let mut jobs = Vec::new();
    for id in 1..=200 {
        let job =
            live.hold(Model { states: States::pending([1_000 + id]).to_bytes(), ..row(id, live.clock.now()) }).unwrap();
        live.fold(&job).await.unwrap();
        jobs.push(job);
    }
    let (none, target) = (host(OF_NONE), host(1_001));
    assert!(live.questions(&none).await.is_none());
    assert!(!none.live.may_have_open(), "one look tells that there is nothing");
    let pace = |is_paused, changes| LivePace { rate: 0, is_paused, canaries_until: None, changes };
    assert!(live.bus.pace(jobs[0].key, pace(true, 1)).await.unwrap());
    live.fold(&jobs[0]).await.unwrap();
    assert!(live.questions(&target).await.is_none());
    assert!(!target.live.may_have_open(), "nor does a paused job cost its targets anything");
    assert!(live.bus.pace(jobs[0].key, pace(false, 2)).await.unwrap());
    live.fold(&jobs[0]).await.unwrap();
    target.live.announce();
    assert!(live.questions(&target).await.is_some());
    assert!(!none.live.may_have_open(), "whatever happened to the others");
}
