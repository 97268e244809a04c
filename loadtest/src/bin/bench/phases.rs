//! Latencies of a phase of a run, merged from its slices.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Requests that agents make by themselves: reads without a live query, configs and logs.
pub const CHECK_INS: [&str; 3] = ["read", "config", "log"];

/// The name under which all of them are counted together.
pub const TOGETHER: &str = "all of them";

/// The slices in the results of `loadtest`.
#[derive(Debug, Deserialize)]
pub struct SliceResults {
    length_ms: u64,
    slices: Vec<BTreeMap<String, SeriesResults>>,
}

#[derive(Debug, Default, Deserialize)]
struct SeriesResults {
    failed: u64,
    /// Microseconds, and how often they were seen.
    latency_us: Vec<(u64, u64)>,
}

/// From and to, in milliseconds of Unix time.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub from_ms: u64,
    pub to_ms: u64,
}

/// Latency of check-ins in one phase, by name.
pub type PhaseLatency = BTreeMap<String, Quantiles>;

/// Latency of requests that succeeded, counted from when they were due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    pub requests: u64,
    pub failed: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Quantiles {
    /// As in tables, with the ratio to what it was undisturbed.
    pub fn beside(&self, undisturbed: Option<&Self>) -> String {
        let times = format!("{:.1} / {:.1}", self.p50_ms, self.p99_ms);
        match undisturbed.filter(|before| before.p99_ms > 0.0) {
            Some(before) => format!("{times} (× {:.1})", self.p99_ms / before.p99_ms),
            None => times,
        }
    }
}

impl SliceResults {
    /// The latency of check-ins in the slices that lie within the span as a whole. `start_ms` is when the run began.
    pub fn within(&self, start_ms: u64, span: Span) -> PhaseLatency {
        let of = |at: usize| start_ms + at as u64 * self.length_ms;
        let is_inside = |at: usize| of(at) >= span.from_ms && of(at + 1) <= span.to_ms;
        let inside = self.slices.iter().enumerate().filter(|(at, _)| is_inside(*at));
        let inside: Vec<_> = inside.map(|(_, slice)| slice).collect();
        let each = CHECK_INS.iter().map(|name| ((*name).to_owned(), merged(&inside, &[name])));
        each.chain([(TOGETHER.to_owned(), merged(&inside, &CHECK_INS))]).collect()
    }
}

fn merged(slices: &[&BTreeMap<String, SeriesResults>], names: &[&str]) -> Quantiles {
    #[expect(clippy::expect_used, reason = "the number of digits is a constant")]
    let mut latency = Histogram::<u64>::new(3).expect("three digits are allowed");
    let mut failed = 0;
    for series in slices.iter().flat_map(|slice| names.iter().filter_map(|name| slice.get(*name))) {
        failed += series.failed;
        for (value, count) in &series.latency_us {
            // It grows, so that recording has no way to fail.
            let _ = latency.record_n(*value, *count);
        }
    }
    let quantile = |part: f64| latency.value_at_quantile(part) as f64 / 1000.0;
    Quantiles { requests: latency.len() + failed, failed, p50_ms: quantile(0.5), p99_ms: quantile(0.99) }
}

/// Rows of a table with the latencies of phases side by side, the first of which was undisturbed.
pub fn latency_rows(phases: &[&PhaseLatency]) -> String {
    let Some(undisturbed) = phases.first() else { return String::new() };
    let row = |name: &str| {
        let cell = |(at, phase): (usize, &&PhaseLatency)| match phase.get(name) {
            Some(times) => format!(" {} |", times.beside(undisturbed.get(name).filter(|_| at > 0))),
            None => " – |".to_owned(),
        };
        let cells: String = phases.iter().enumerate().map(cell).collect();
        format!("| {name}: p50 / p99, ms |{cells}\n")
    };
    let counts = |title: &str, count: fn(&Quantiles) -> u64| {
        let cells: String = phases.iter().map(|phase| format!(" {} |", phase.get(TOGETHER).map_or(0, count))).collect();
        format!("| {title} |{cells}\n")
    };
    let rows: String = CHECK_INS.iter().chain([&TOGETHER]).map(|name| row(name)).collect();
    rows + &counts("such requests", |times| times.requests) + &counts("of which failed", |times| times.failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_what_lies_within_it() {
        let text = r#"{"length_ms": 1000, "slices": [
            {"read": {"failed": 7, "latency_us": [[5000000, 9]]}},
            {"read": {"failed": 0, "latency_us": [[1000, 99]]}, "live_read": {"failed": 0, "latency_us": [[9000, 5]]}},
            {"log": {"failed": 1, "latency_us": [[3000, 99]]}},
            {"read": {"failed": 0, "latency_us": [[5000000, 9]]}}
        ]}"#;
        let slices: SliceResults = serde_json::from_str(text).unwrap();
        let phase = slices.within(100_000, Span { from_ms: 100_500, to_ms: 103_500 });
        assert_eq!(phase["read"], Quantiles { requests: 99, failed: 0, p50_ms: 1.0, p99_ms: 1.0 });
        assert_eq!(phase["config"], Quantiles::default());
        let all = phase[TOGETHER];
        assert_eq!((all.requests, all.failed), (199, 1));
        assert!((all.p99_ms - 3.0).abs() < 0.01, "{all:?}");
        let before = Quantiles { p99_ms: 1.5, ..Quantiles::default() };
        assert_eq!(phase["read"].beside(Some(&before)), "1.0 / 1.0 (× 0.7)");
    }
}
