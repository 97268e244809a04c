//! The cost of a live query on its hosts.

use muster_api::rest::{LiveCost, LiveStats, Percentiles};
use serde::{Deserialize, Serialize};
use sketches_ddsketch::{Config, DDSketch};

/// The cost over all hosts that reported theirs. Percentiles are within one percent.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct QueryCost {
    hosts: u64,
    wall: DDSketch,
    cpu: DDSketch,
    memory: DDSketch,
}

impl std::fmt::Debug for QueryCost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryCost").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Default for QueryCost {
    fn default() -> Self {
        let sketch = || DDSketch::new(Config::new(0.01, 2048, 1.0e-9));
        Self { hosts: 0, wall: sketch(), cpu: sketch(), memory: sketch() }
    }
}

impl QueryCost {
    #[expect(clippy::cast_precision_loss, reason = "costs are far below 2^52")]
    pub fn add(&mut self, stats: LiveStats) {
        self.hosts += 1;
        self.wall.add(stats.wall_time_ms as f64);
        self.cpu.add(stats.user_time_ms.saturating_add(stats.system_time_ms) as f64);
        self.memory.add(stats.memory_bytes as f64);
    }

    /// Whether any host has reported its cost.
    pub fn has_any(&self) -> bool {
        self.hosts > 0
    }

    pub fn show(&self) -> Option<LiveCost> {
        let percentiles = |sketch: &DDSketch| {
            let (min, max) = (sketch.min().unwrap_or(0.0), sketch.max().unwrap_or(0.0));
            // why: a sketch gives the middle of a bucket, which may lie beyond every value that was seen.
            let quantile = |q| sketch.quantile(q).ok().flatten().unwrap_or(0.0).clamp(min, max);
            Percentiles { p50: quantile(0.5), p95: quantile(0.95), max }
        };
        self.has_any().then(|| LiveCost {
            hosts: self.hosts,
            wall_time_ms: percentiles(&self.wall),
            cpu_time_ms: percentiles(&self.cpu),
            memory_bytes: percentiles(&self.memory),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stats(wall_time_ms: u32) -> LiveStats {
        let wall_time_ms = u64::from(wall_time_ms);
        LiveStats { wall_time_ms, user_time_ms: wall_time_ms / 3, system_time_ms: 0, memory_bytes: wall_time_ms * 1000 }
    }

    proptest! {
        #[test]
        fn percentiles_stay_within_what_was_seen(all in proptest::collection::vec(0_u32..10_000_000, 1..50)) {
            let mut cost = QueryCost::default();
            all.iter().for_each(|wall| cost.add(stats(*wall)));
            let shown = cost.show().unwrap();
            let (least, most) = (f64::from(*all.iter().min().unwrap()), f64::from(*all.iter().max().unwrap()));
            prop_assert_eq!(shown.wall_time_ms.max, most);
            for Percentiles { p50, p95, max } in [shown.wall_time_ms, shown.cpu_time_ms, shown.memory_bytes] {
                prop_assert!(p50 <= p95 && p95 <= max, "{} {} {}", p50, p95, max);
            }
            prop_assert!(shown.wall_time_ms.p50 >= least);
        }
    }

    #[test]
    fn hosts_that_took_the_same_time_are_shown_with_it() {
        let mut cost = QueryCost::default();
        (0..3).for_each(|_| cost.add(stats(60_200)));
        let shown = cost.show().unwrap().wall_time_ms;
        assert_eq!((shown.p50, shown.p95, shown.max), (60_200.0, 60_200.0, 60_200.0));
    }
}
