//! Samples that wait to be written. A crash loses them, and the next sample of each host counts what they would have.

use std::sync::{Arc, Mutex};

use super::Sample;
use crate::clock::Moment;
use crate::fleet::hosts::Host;
use crate::lock::lock;

/// Most samples that wait; further ones are dropped.
const MAX_WAITING: usize = 4_000;

/// Most queries in all samples that wait, some 150 bytes each.
const MAX_QUERIES: usize = 1_000_000;

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
    samples: Vec<WaitingSample>,
    queries: usize,
}

impl WaitingSamples {
    /// Adds a sample, unless too many wait.
    pub fn add(&self, sample: WaitingSample) -> bool {
        let mut queue = lock(&self.0);
        let queries = queue.queries + sample.sample.queries.len();
        if queue.samples.len() >= MAX_WAITING || queries > MAX_QUERIES {
            return false;
        }
        queue.queries = queries;
        queue.samples.push(sample);
        true
    }

    /// Whether so many wait that no further host should be asked.
    pub fn are_many(&self) -> bool {
        let queue = lock(&self.0);
        queue.samples.len() >= MAX_WAITING / 2 || queue.queries >= MAX_QUERIES / 2
    }

    /// Whether a batch is full, or any sample came before this moment.
    pub fn is_due(&self, before: Moment) -> bool {
        let queue = lock(&self.0);
        queue.samples.len() >= BATCH
            || queue.queries >= BATCH_QUERIES
            || queue.samples.iter().any(|sample| sample.received <= before)
    }

    /// Takes all samples in batches, each ordered by host and time.
    pub fn take(&self) -> Vec<Vec<WaitingSample>> {
        let mut samples = std::mem::take(&mut *lock(&self.0)).samples;
        samples.sort_by_key(|waiting| (waiting.host.id, waiting.sample.unix_time, waiting.received));
        let mut batches: Vec<Vec<WaitingSample>> = Vec::new();
        let mut queries = 0;
        for sample in samples {
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
