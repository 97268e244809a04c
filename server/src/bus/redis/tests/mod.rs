//! The bus on real Redis processes, whole and while they fail.

mod batches;
mod contract;
mod failover;
mod messages;
mod outages;

use std::time::Duration;

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};

use super::{LinkMetrics, RedisBus, RedisShare};
use crate::bus::{BusError, ChangeEvent, ChangeEvents, JobKey, LiveBus as _, Notifier as _};
use crate::config::{self, Sources};
use crate::histogram::Histograms;
use crate::redis_processes::Settings;
use crate::tests::wait;

/// Of tests with a Redis of their own.
const JOB: JobKey = JobKey { id: 1, made: None };

/// Longest wait for something to come right again.
const SOON: Duration = Duration::from_secs(20);

pub fn share(settings: &Settings) -> RedisShare {
    share_counted(settings).0
}

/// As [`share`], with the counts of commands by name.
fn share_counted(settings: &Settings) -> (RedisShare, IntCounterVec) {
    let counters = |name| IntCounterVec::new(Opts::new(name, "Help."), &["what"]).unwrap();
    let metrics = LinkMetrics {
        commands: counters("commands"),
        failures: counters("failures"),
        retries: IntCounter::new("retries", "Help.").unwrap(),
        seconds: Histograms::new("seconds", "Help.", &["purpose"]).unwrap(),
        notifications: counters("notifications"),
        is_up: IntGauge::new("up", "Help.").unwrap(),
    };
    let commands = metrics.commands.clone();
    let sources = Sources { flags: settings.clone(), ..Sources::default() };
    let config = config::load(&sources).unwrap().config.redis;
    (RedisShare::new(&config, Duration::from_secs(3600), metrics).unwrap(), commands)
}

fn bus(settings: &Settings) -> RedisBus {
    share(settings).bus
}

async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    wait::eventually(what, SOON, look).await
}

async fn hears(events: &mut ChangeEvents, wanted: ChangeEvent) {
    let hear = async { while events.next().await.unwrap() != wanted {} };
    tokio::time::timeout(SOON, hear).await.unwrap_or_else(|_| panic!("{wanted:?} was not heard"));
}

/// Rings until it is heard: there may be no subscription yet.
async fn rings_through(from: &RedisShare, events: &mut ChangeEvents, event: ChangeEvent) {
    eventually("an event is heard", async || {
        from.notifier.publish(event);
        tokio::time::timeout(Duration::from_millis(100), hears(events, event)).await.ok()
    })
    .await;
}

/// Calls that fail say so soon; the first of them may have to find out.
async fn is_unavailable(bus: &RedisBus, job: JobKey) {
    let refused = bus.claim(job, 1, crate::clock::Moment(0), true, false).await;
    assert!(matches!(refused, Err(BusError::Unavailable(_))), "{refused:?}");
}

/// Waits until claims succeed again, and claims a host that nobody else asks.
async fn works_again(bus: &RedisBus, job: JobKey) {
    let host = rand::random_range(1000..1_000_000);
    eventually("Redis is used again", async || {
        match bus.claim(job, host, crate::clock::Moment(0), true, false).await {
            // One that was carried out before its answer was lost is not given again.
            Ok(_) => Some(()),
            Err(BusError::Unavailable(_)) => None,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
}
