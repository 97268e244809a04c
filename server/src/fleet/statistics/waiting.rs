//! Samples that wait to be written, one of each host. A crash loses them, and the next sample of each host counts what they
//! would have.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::Sample;
use super::fold::LATE;
use crate::clock::Moment;
use crate::fleet::hosts::Host;
use crate::lock::lock;

/// Most hosts whose samples wait; further ones are dropped.
const MAX_WAITING: usize = 4_000;

/// Most bytes in all samples that wait.
const MAX_BYTES: usize = 128 << 20;

/// So many hosts are written at one time.
pub(super) const BATCH: usize = 500;

/// So many queries in one transaction: folding them takes some milliseconds.
const BATCH_QUERIES: usize = 50_000;

/// A sample of a host.
#[derive(Debug, Clone)]
pub(super) struct WaitingSample {
    pub host: Arc<Host>,
    pub sample: Arc<Sample>,
    pub received: Moment,
}

#[derive(Debug, Default)]
pub(super) struct WaitingSamples(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    by_host: BTreeMap<i64, WaitingSample>,
    queries: usize,
    bytes: usize,
}

impl WaitingSamples {
    /// Adds a sample, unless too many wait. Of each host only the newest waits: it says all that others do.
    pub fn add(&self, sample: WaitingSample) -> bool {
        let mut queue = lock(&self.0);
        let host_id = sample.host.id;
        let known = queue.remove(host_id);
        let has_room = queue.by_host.len() < MAX_WAITING && queue.bytes + sample.sample.size() <= MAX_BYTES;
        let newest = match known {
            Some(known) if !has_room || is_newer(&known, &sample) => known,
            _ if has_room => sample,
            _ => return false,
        };
        queue.insert(newest);
        true
    }

    /// Hosts whose samples wait and their bytes, each with the most they may be.
    pub fn sizes(&self) -> [(usize, usize); 2] {
        let queue = lock(&self.0);
        [(queue.by_host.len(), MAX_WAITING), (queue.bytes, MAX_BYTES)]
    }

    /// Whether so many wait that no further host should be asked.
    pub fn are_many(&self) -> bool {
        let queue = lock(&self.0);
        queue.by_host.len() >= MAX_WAITING / 2 || queue.bytes >= MAX_BYTES / 2
    }

    /// Whether a batch is full, or any sample came before this moment.
    pub fn is_due(&self, before: Moment) -> bool {
        let queue = lock(&self.0);
        queue.by_host.len() >= BATCH
            || queue.queries >= BATCH_QUERIES
            || queue.by_host.values().any(|sample| sample.received <= before)
    }

    /// Takes all samples in batches, each ordered by host.
    pub fn take(&self) -> Vec<Vec<WaitingSample>> {
        let samples = std::mem::take(&mut *lock(&self.0)).by_host;
        let mut batches: Vec<Vec<WaitingSample>> = Vec::new();
        let mut queries = 0;
        for sample in samples.into_values() {
            queries += sample.sample.queries.len();
            match batches.last_mut() {
                Some(batch) if batch.len() < BATCH && queries <= BATCH_QUERIES => batch.push(sample),
                _ => {
                    queries = sample.sample.queries.len();
                    batches.push(vec![sample]);
                }
            }
        }
        batches
    }
}

impl Queue {
    fn insert(&mut self, sample: WaitingSample) {
        self.queries += sample.sample.queries.len();
        self.bytes += sample.sample.size();
        self.by_host.insert(sample.host.id, sample);
    }

    fn remove(&mut self, host_id: i64) -> Option<WaitingSample> {
        let sample = self.by_host.remove(&host_id)?;
        self.queries -= sample.sample.queries.len();
        self.bytes -= sample.sample.size();
        Some(sample)
    }
}

/// Whether a sample is newer than another one: it came later, unless it was overtaken.
fn is_newer(one: &WaitingSample, other: &WaitingSample) -> bool {
    let is_overtaken = |early: &WaitingSample, late: &WaitingSample| {
        let (early, late) = (early.sample.unix_time, late.sample.unix_time);
        late > 0 && early > late && early - late <= LATE
    };
    match one.received > other.received {
        true => !is_overtaken(other, one),
        false => is_overtaken(one, other),
    }
}
