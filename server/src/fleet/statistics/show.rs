//! What Prometheus is told of queries: by the leader alone, so that each is there once.

use muster_api::rest::FleetQueryCost;

use super::Statistics;
use crate::fleet::Result;
use crate::telemetry::QueryCpu;

/// Most queries that have series of their own, those that cost most first: each has three.
const SHOWN: usize = 50;

impl Statistics {
    /// Puts what queries cost into the metrics of the leader, and takes it out of those of other nodes.
    ///
    /// # Errors
    /// When the database does not answer; then the metrics stay as they were.
    pub async fn show(&self) -> Result<()> {
        if !self.node.is_leader() {
            self.metrics.forget_queries();
            return Ok(());
        }
        let all = self.costs_of_all().await?;
        let denylisted = all.iter().filter(|query| query.denylisted_hosts > 0).take(SHOWN);
        let denylisted: Vec<_> =
            denylisted.map(|query| (query.pack.as_str(), query.name.as_str(), query.denylisted_hosts)).collect();
        let cpu: Vec<_> = all.iter().filter_map(cpu_seconds).take(SHOWN).collect();
        self.metrics.show_queries(&denylisted, &cpu);
        Ok(())
    }
}

/// The median and the 95th percentile of the CPU time of a run, in seconds.
fn cpu_seconds(query: &FleetQueryCost) -> Option<QueryCpu<'_>> {
    let cpu = query.cost.cpu_time?;
    let (pack, query) = (query.pack.as_str(), query.name.as_str());
    Some(QueryCpu { pack, query, p50: cpu.p50 / 1000.0, p95: cpu.p95 / 1000.0 })
}
