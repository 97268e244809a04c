//! What the queries of the fleet cost its hosts.
//!
//! Agents count what each scheduled query has cost (`osquery_schedule`), from some moment on that only they know. Muster asks
//! each host for these counters once an hour, with a question that is alone in its read, because it waits for a scheduled
//! query that runs (`fleet/checkin`). The last sample of each host is kept, and the differences between two samples
//! (`fold`) are added up: the distribution of the cost of a run, over hosts and time, is kept in sketches (`sketch`), by
//! version of the query, platform and version of the agent.
//!
//! Samples wait in memory for up to a minute (`waiting`), one of each host, and are then folded for many hosts in one
//! transaction (`write`, `batch`): it locks their last samples, folds the new ones over these, adds what has run since to what this node has counted in this hour
//! (`cost_parts`), and replaces the last samples. So whichever node a sample comes to, and however late or often, each run is
//! counted once; a sample that is older than the last one adds nothing, and a transaction of which only the answer was lost is
//! not counted again. Nodes have rows of their own, so that they do not wait for each other.
//!
//! The leader closes hours that are over (`close`): it merges what all nodes have counted into one row for each query, and
//! adds that to the query's row of the day, all in the transaction that removes the parts.
//!
//! What agents say is bounded: only queries that are in the config of the host are counted (`served_names`), with the SQL
//! that is served or has been before (`versions`), no more often than their interval allows, and from samples that are at
//! least a quarter of an interval apart.

mod agent_version;
mod batch;
mod batch_changes;
mod bytes;
mod close;
mod cost;
mod cost_rows;
mod difference;
mod failed;
mod fold;
mod known;
mod query_costs;
mod questions;
mod read;
mod read_host;
mod read_label;
mod read_query;
mod recent_costs;
mod restarts;
mod runs_of_sql;
mod sample;
mod served_configs;
mod served_names;
mod show;
mod sketch;
mod stopped;
mod stored_costs;
mod trends;
mod versions;
mod waiting;
mod write;

use std::sync::Arc;
use std::time::Duration;

pub(in crate::fleet) use agent_version::AgentVersion;
pub use failed::{FailedTimes, failed_queries};
pub(in crate::fleet) use read::wanted;
pub use read_query::QuerySpan;
pub(in crate::fleet) use runs_of_sql::{KnownRuns, RunOfSql};
pub(in crate::fleet) use sample::{SQL, Sample};
pub use stopped::stopped_queries;
pub use trends::QueryTrends;

pub use crate::store::statistics::events::DenylistFilter;

use self::failed::FailedQueries;
use self::questions::QuestionRate;
use self::recent_costs::RecentCosts;
use self::served_configs::ServedConfigs;
use self::stopped::StoppedQueries;
use self::trends::RecentTrends;
use self::versions::Versions;
use self::waiting::{WaitingSample, WaitingSamples};
use super::hosts::Host;
use super::schedule::Schedule;
use super::{Node, Result};
use crate::clock::Clock;
use crate::config;
use crate::store::Store;
use crate::telemetry::Metrics;

/// Collects what queries cost, and tells it.
#[derive(Debug)]
pub struct Statistics {
    store: Store,
    clock: Clock,
    schedule: Arc<Schedule>,
    node: Arc<Node>,
    config: config::Statistics,
    waiting: WaitingSamples,
    stopped: StoppedQueries,
    failed: FailedQueries,
    questions: QuestionRate,
    configs: Arc<ServedConfigs>,
    versions: Versions,
    recent_costs: RecentCosts,
    recent_trends: RecentTrends,
    /// One writes at a time.
    serial: tokio::sync::Mutex<()>,
    metrics: Arc<Metrics>,
}

impl Statistics {
    /// Hosts whose samples wait to be written and their bytes, each with the most they may be.
    pub(super) fn waiting_samples(&self) -> [(usize, usize); 2] {
        self.waiting.sizes()
    }

    pub fn new(
        store: Store,
        clock: Clock,
        schedule: Arc<Schedule>,
        node: Arc<Node>,
        config: config::Statistics,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            clock,
            schedule,
            node,
            config,
            waiting: WaitingSamples::default(),
            stopped: StoppedQueries::default(),
            failed: FailedQueries::default(),
            questions: QuestionRate::default(),
            configs: Arc::default(),
            versions: Versions::default(),
            recent_costs: RecentCosts::default(),
            recent_trends: RecentTrends::default(),
            serial: tokio::sync::Mutex::default(),
            metrics,
        }
    }

    /// Takes a sample of a host. It is written later; if too many wait, it is dropped, and the next one says the same. None
    /// is taken if none is asked for.
    pub(in crate::fleet) fn add(&self, host: &Arc<Host>, sample: Sample) {
        if self.config.interval.is_zero() {
            return;
        }
        let (host, sample) = (Arc::clone(host), Arc::new(sample));
        if !self.waiting.add(WaitingSample { host, sample, received: self.clock.now() }) {
            self.metrics.limit_hit("waiting_samples");
        }
    }

    /// Whether one more host may be asked; then it counts as asked. None may be if many samples wait, or will.
    pub(in crate::fleet) fn may_ask(&self) -> bool {
        !self.waiting.are_many() && self.questions.may_ask(self.clock.now())
    }

    /// Shortest time between two samples of a host. Questions are farther apart, but for a refetch; what an agent says more often
    /// is not taken.
    fn shortest_gap(&self) -> Duration {
        self.config.interval / 4
    }

    /// Writes the samples that wait when that is due, or in any case, and what agents have said of stopped queries.
    ///
    /// # Errors
    /// When the database does not answer; then the next call writes them.
    pub async fn write(&self, everything: bool) -> Result<()> {
        // One that fails does not stop the other.
        let (stopped, failed) = (self.write_stopped().await, self.write_failed().await);
        let now = self.clock.now();
        if everything || self.waiting.is_due(now.minus(self.config.write_interval)) {
            self.write_waiting().await?;
        }
        stopped.and(failed)
    }
}

/// Tells of bytes that cannot be read: they are damaged, or a newer version has written them. They count as nothing.
fn is_broken(table: &'static str, key: i64) {
    tracing::warn!(table, key, "statistics that this version cannot read are left out");
}

#[cfg(test)]
pub(in crate::fleet) mod tests;
