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
    /// Absent in what a version before has written.
    #[serde(default)]
    spent: CpuSpent,
}

/// How much CPU time a live query may take; 0 is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CpuBudget {
    /// In ms on one host.
    pub host_ms: u64,
    /// In ms on all hosts together.
    pub fleet_ms: u64,
}

/// CPU time against a [`CpuBudget`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CpuSpent {
    /// In ms on all hosts. None counts for more than a third of the budget, so that what one host says does not decide.
    pub fleet_ms: u64,
    /// Hosts that took more than one may.
    pub over: u64,
    /// The first of these.
    pub first_over: Vec<HostOver>,
}

/// A host that took more CPU time than one may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HostOver {
    pub host: i64,
    pub cpu_ms: u64,
}

/// Hosts over the budget that are named.
const NAMED_OVER: usize = 5;

impl CpuSpent {
    fn add(&mut self, host: i64, cpu_ms: u64, budget: CpuBudget) {
        let most = if budget.fleet_ms == 0 { u64::MAX } else { budget.fleet_ms.div_ceil(3) };
        self.fleet_ms = self.fleet_ms.saturating_add(cpu_ms.min(most));
        if budget.host_ms > 0 && cpu_ms > budget.host_ms {
            self.over += 1;
            if self.first_over.len() < NAMED_OVER {
                self.first_over.push(HostOver { host, cpu_ms });
            }
        }
    }
}

impl std::fmt::Debug for QueryCost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryCost").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl Default for QueryCost {
    fn default() -> Self {
        let sketch = || DDSketch::new(Config::new(0.01, 2048, 1.0e-9));
        Self { hosts: 0, wall: sketch(), cpu: sketch(), memory: sketch(), spent: CpuSpent::default() }
    }
}

impl QueryCost {
    #[expect(clippy::cast_precision_loss, reason = "costs are far below 2^52")]
    pub fn add(&mut self, host: i64, stats: LiveStats, budget: CpuBudget) {
        let cpu_ms = stats.user_time_ms.saturating_add(stats.system_time_ms);
        self.hosts += 1;
        self.wall.add(stats.wall_time_ms as f64);
        self.cpu.add(cpu_ms as f64);
        self.memory.add(stats.memory_bytes as f64);
        self.spent.add(host, cpu_ms, budget);
    }

    /// Hosts that have reported their cost.
    pub fn hosts(&self) -> u64 {
        self.hosts
    }

    /// CPU time against the budget.
    pub fn spent(&self) -> &CpuSpent {
        &self.spent
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
            all.iter().for_each(|wall| cost.add(1, stats(*wall), CpuBudget::default()));
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
    fn what_one_host_says_exceeds_no_budget_of_the_fleet() {
        let budget = CpuBudget { host_ms: 1_000, fleet_ms: 9_000 };
        let mut cost = QueryCost::default();
        let stats = |user_time_ms| LiveStats { wall_time_ms: 1, user_time_ms, system_time_ms: 1, memory_bytes: 0 };
        for (host, user) in [(1, u64::MAX), (2, 999), (3, 1_000)] {
            cost.add(host, stats(user), budget);
        }
        let first_over = vec![HostOver { host: 1, cpu_ms: u64::MAX }, HostOver { host: 3, cpu_ms: 1_001 }];
        assert_eq!(cost.spent(), &CpuSpent { fleet_ms: 3_000 + 1_000 + 1_001, over: 2, first_over });
        let read: QueryCost = serde_json::from_slice(&serde_json::to_vec(&cost).unwrap()).unwrap();
        assert_eq!(read.spent(), cost.spent());
    }

    #[test]
    fn hosts_that_took_the_same_time_are_shown_with_it() {
        let mut cost = QueryCost::default();
        (0..3).for_each(|_| cost.add(1, stats(60_200), CpuBudget::default()));
        let shown = cost.show().unwrap().wall_time_ms;
        assert_eq!((shown.p50, shown.p95, shown.max), (60_200.0, 60_200.0, 60_200.0));
    }
}
