use std::collections::HashSet;

use bytes::Bytes;
use prometheus::IntCounterVec;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{BusFuture, Claim, EventPiece, EventPosition, JobKey, LiveBus, LivePace, Opened, Piece, Start};
use crate::clock::Moment;

/// A bus whose commands are counted by name.
#[derive(Debug)]
pub struct Counted<B> {
    bus: B,
    commands: IntCounterVec,
}

impl<B: LiveBus> Counted<B> {
    pub fn new(bus: B, commands: IntCounterVec) -> Self {
        Self { bus, commands }
    }

    fn count(&self, command: &str) -> &B {
        self.commands.with_label_values(&[command]).inc();
        &self.bus
    }
}

impl<B: LiveBus> LiveBus for Counted<B> {
    fn ping(&self) -> BusFuture<'_, ()> {
        self.count("ping").ping()
    }

    fn open(&self, job: JobKey, start: Start) -> BusFuture<'_, Opened> {
        self.count("open").open(job, start)
    }

    fn claim(&self, job: JobKey, host: i64, at: Moment, is_alone: bool, is_canary: bool) -> BusFuture<'_, Claim> {
        self.count("claim").claim(job, host, at, is_alone, is_canary)
    }

    fn pace(&self, job: JobKey, pace: LivePace) -> BusFuture<'_, bool> {
        self.count("pace").pace(job, pace)
    }

    fn unclaim(&self, job: JobKey, host: i64) -> BusFuture<'_, bool> {
        self.count("unclaim").unclaim(job, host)
    }

    fn answer(&self, job: JobKey, host: i64, line: Bytes, note: Vec<u8>, by: Instant) -> BusFuture<'_, bool> {
        self.count("answer").answer(job, host, line, note, by)
    }

    fn close(&self, job: JobKey, note: Vec<u8>) -> BusFuture<'_, bool> {
        self.count("close").close(job, note)
    }

    fn events(&self, job: JobKey, after: EventPosition) -> BusFuture<'_, EventPiece> {
        // Not counted: the embedded bus is asked for events all the time, and has them in memory.
        self.bus.events(job, after)
    }

    fn read(&self, job: JobKey, cursor: u64, max_bytes: usize) -> BusFuture<'_, Piece> {
        self.count("read").read(job, cursor, max_bytes)
    }

    fn watch(&self, job: JobKey) -> Option<watch::Receiver<u64>> {
        self.bus.watch(job)
    }

    fn length(&self, job: JobKey) -> u64 {
        self.bus.length(job)
    }

    fn remove(&self, job: JobKey) -> BusFuture<'_, ()> {
        self.count("remove").remove(job)
    }

    fn held(&self) -> HashSet<JobKey> {
        self.bus.held()
    }

    fn let_go(&self, jobs: &HashSet<JobKey>) {
        self.bus.let_go(jobs);
    }

    fn forget_others(&self, known: HashSet<JobKey>, before: Moment) -> BusFuture<'_, ()> {
        self.bus.forget_others(known, before)
    }
}
