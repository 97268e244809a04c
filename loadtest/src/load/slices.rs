//! Latency by slices of time, so that phases of a run can be told apart afterwards.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Map, Value, json};

use super::{
    fleet::Micros,
    measure::{Endpoint, record},
};

/// Most slices of a run: a few kilobytes for each.
pub(super) const MAX_SLICES: u32 = 10_000;

/// Names under which requests are told apart: the endpoints, and reads that were given a live query.
const SERIES: usize = Endpoint::ALL.len() + 1;
const LIVE_READ: &str = "live_read";

/// Requests of one name that were due in one slice.
#[derive(Clone, Debug)]
struct Series {
    /// Requests that failed. How long they took says nothing about the others.
    failed: u64,
    /// Microseconds of all others from when they were due, to one in a hundred.
    latency: Histogram<u32>,
}

impl Default for Series {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "the number of digits is a constant")]
        Self { failed: 0, latency: Histogram::new(2).expect("two digits are allowed") }
    }
}

/// The slices of a run, each as long as the others. None are kept if their length is 0.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    length: Micros,
    all: Vec<[Series; SERIES]>,
}

impl Slices {
    pub fn new(length: Micros) -> Self {
        Self { length, all: Vec::new() }
    }

    /// Counts a request that has succeeded or failed so long after it was due.
    pub fn record(&mut self, due: Micros, endpoint: Endpoint, is_live: bool, took: Duration, failed: bool) {
        let at = due.checked_div(self.length).and_then(|at| usize::try_from(at).ok());
        let Some(at) = at.filter(|at| *at < MAX_SLICES as usize) else { return };
        if self.all.len() <= at {
            self.all.resize_with(at + 1, Default::default);
        }
        let series = &mut self.all[at][if is_live { SERIES - 1 } else { endpoint as usize }];
        if failed {
            series.failed += 1;
        } else {
            record(&mut series.latency, took);
        }
    }

    /// Adds another thread's numbers, of slices of the same length.
    pub fn add(&mut self, other: &Self) {
        self.length = other.length;
        if self.all.len() < other.all.len() {
            self.all.resize_with(other.all.len(), Default::default);
        }
        for (mine, theirs) in self.all.iter_mut().flatten().zip(other.all.iter().flatten()) {
            mine.failed += theirs.failed;
            // Both have the same bounds, so adding has no way to fail.
            let _ = mine.latency.add(&theirs.latency);
        }
    }

    /// Times in microseconds and how often each was seen, by slice and name; `None` without slices.
    pub fn json(&self) -> Option<Value> {
        (self.length > 0).then(|| {
            let slices = self.all.iter().map(slice_json);
            json!({ "length_ms": self.length / 1000, "slices": slices.collect::<Vec<_>>() })
        })
    }
}

fn slice_json(slice: &[Series; SERIES]) -> Value {
    let names = Endpoint::ALL.iter().map(|endpoint| endpoint.name()).chain([LIVE_READ]);
    let is_there = |series: &Series| series.failed > 0 || !series.latency.is_empty();
    let entries = names.zip(slice).filter(|(_, series)| is_there(series)).map(|(name, series)| {
        let latency = series.latency.iter_recorded();
        let latency: Vec<_> = latency.map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
        (name.to_owned(), json!({ "failed": series.failed, "latency_us": latency }))
    });
    Value::Object(entries.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_count_in_the_slice_they_were_due_in() {
        let mut slices = Slices::new(10_000_000);
        let mut other = slices.clone();
        let took = Duration::from_micros(100);
        slices.record(9_999_999, Endpoint::Read, false, took, false);
        slices.record(10_000_000, Endpoint::Read, true, took, false);
        other.record(10_000_000, Endpoint::Log, false, took, true);
        other.record(9_000_000, Endpoint::Read, false, took, false);
        slices.add(&other);
        let first = json!({ "read": { "failed": 0, "latency_us": [[100, 2]] } });
        let second = json!({
            "live_read": { "failed": 0, "latency_us": [[100, 1]] },
            "log": { "failed": 1, "latency_us": [] },
        });
        assert_eq!(slices.json(), Some(json!({ "length_ms": 10_000, "slices": [first, second] })));
        let mut none = Slices::new(0);
        none.record(5, Endpoint::Read, false, took, false);
        assert_eq!(none.json(), None);
    }
}
