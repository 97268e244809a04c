//! The cost of a live query on its hosts.

use muster_api::rest::{LiveCost, LiveStats, Percentiles};
use sketches_ddsketch::{Config, DDSketch};

/// The cost over all hosts that reported theirs. Percentiles are within one percent.
#[derive(Clone)]
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

    pub fn show(&self) -> Option<LiveCost> {
        let percentiles = |sketch: &DDSketch| {
            let quantile = |q| sketch.quantile(q).ok().flatten().unwrap_or(0.0);
            Percentiles { p50: quantile(0.5), p95: quantile(0.95), max: sketch.max().unwrap_or(0.0) }
        };
        (self.hosts > 0).then(|| LiveCost {
            hosts: self.hosts,
            wall_time_ms: percentiles(&self.wall),
            cpu_time_ms: percentiles(&self.cpu),
            memory_bytes: percentiles(&self.memory),
        })
    }
}
