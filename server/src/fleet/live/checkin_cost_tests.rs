//! Measures what a check-in costs while many jobs are open; prints figures and is run by hand:
//! `cargo test -p muster --lib checkin_cost -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Live;
use super::states::States;
use crate::clock::Moment;
use crate::fleet::hosts::{Assignment, Host, SeenTimes};
use crate::store::entity::live_queries::{LiveStatusWord, Model};
use crate::store::hosts::AgentIntervals;
use crate::store::reports::RefreshRecord;
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
    }
}

fn host(id: i64) -> Arc<Host> {
    let record = RefreshRecord {
        id,
        detail_updated_at: Moment::NEVER,
        label_updated_at: Moment::NEVER,
        refetch_requested: false,
        open_round: None,
    };
    let assignment = Assignment { platform: "ubuntu".into(), label_ids: Box::default() };
    Arc::new(Host::with(id, assignment, AgentIntervals::default(), &record, SeenTimes::default().slot(id)))
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
