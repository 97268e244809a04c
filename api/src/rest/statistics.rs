use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How much a scheduled query burdens its hosts, by the CPU time of a run: minimal below 2 s, considerable below 4 s, then
/// excessive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Impact {
    /// No run is known.
    Undetermined,
    Minimal,
    Considerable,
    Excessive,
    /// The agent does not run it, because it has stopped the worker.
    Denylisted,
}

impl Impact {
    /// The impact of a query whose runs take so many milliseconds of CPU time.
    pub fn of(cpu_time_ms: Option<f64>) -> Self {
        match cpu_time_ms {
            None => Self::Undetermined,
            Some(ms) if ms < 2000.0 => Self::Minimal,
            Some(ms) if ms < 4000.0 => Self::Considerable,
            Some(_) => Self::Excessive,
        }
    }
}

/// The cost of a run of a query, today and yesterday (UTC), in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueryStats {
    pub system_time_p50: Option<f64>,
    pub system_time_p95: Option<f64>,
    pub user_time_p50: Option<f64>,
    pub user_time_p95: Option<f64>,
    pub total_executions: u64,
    /// System and user time together.
    pub cpu_time_p50: Option<f64>,
    pub cpu_time_p95: Option<f64>,
    pub wall_time_p50: Option<f64>,
    pub wall_time_p95: Option<f64>,
    /// Hosts on which it ran, in the hour with most of them.
    pub hosts: u64,
    /// Hosts whose agents do not run it now, because it has stopped the worker.
    pub denylisted_hosts: u64,
    pub impact: Impact,
}

// No number is NaN.
impl Eq for QueryStats {}

/// The scheduled queries of a pack on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PackStats {
    pub pack_id: i64,
    pub pack_name: String,
    /// `global` for the global schedule, otherwise `pack`.
    #[serde(rename = "type")]
    pub kind: String,
    pub query_stats: Vec<ScheduledQueryStats>,
}

/// Counters of an agent for a scheduled query since they began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduledQueryStats {
    pub scheduled_query_name: String,
    pub scheduled_query_id: i64,
    pub query_name: String,
    pub description: String,
    pub pack_name: String,
    pub pack_id: i64,
    /// Bytes.
    pub average_memory: u64,
    pub denylisted: bool,
    pub executions: u64,
    /// Seconds.
    pub interval: u32,
    /// In the year 2000 if it never ran.
    pub last_executed: DateTime<Utc>,
    /// Bytes.
    pub output_size: u64,
    /// Milliseconds.
    pub system_time: u64,
    /// Milliseconds.
    pub user_time: u64,
    /// Seconds.
    pub wall_time: u64,
    pub impact: Impact,
}

/// The distribution of a measure among runs, within two percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CostPercentiles {
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
}

/// The cost of runs of a query. A measure is null if nothing is known of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RunCost {
    /// Hosts on which it ran, in the hour with most of them.
    pub hosts: u64,
    pub executions: u64,
    /// CPU time of all runs together, in seconds.
    pub cpu_seconds: f64,
    /// User time of a run, in milliseconds.
    pub user_time: Option<CostPercentiles>,
    /// System time of a run, in milliseconds.
    pub system_time: Option<CostPercentiles>,
    /// User and system time of a run, in milliseconds.
    pub cpu_time: Option<CostPercentiles>,
    /// Time from the begin of a run to its end, in milliseconds.
    pub wall_time: Option<CostPercentiles>,
    /// Growth of the worker in a run, in bytes.
    pub memory: Option<CostPercentiles>,
    /// Bytes of the rows of a run.
    pub output_size: Option<CostPercentiles>,
}

/// The cost on hosts of one platform and version of the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupCost {
    /// Empty for hosts that are counted together because there are too many groups.
    pub platform: String,
    pub osquery_version: String,
    #[serde(flatten)]
    pub cost: RunCost,
}

/// The cost in one hour or day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BucketCost {
    pub start: DateTime<Utc>,
    #[serde(flatten)]
    pub cost: RunCost,
}

/// A host on which a run of the query costs much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorstHost {
    pub host_id: i64,
    /// Empty if the host is gone.
    pub hostname: String,
    /// CPU time of a run there, in milliseconds.
    pub cpu_time: f64,
    /// Runs of which this is the mean.
    pub executions: u64,
}

/// `GET statistics/query`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct QueryCostReport {
    /// Empty for the top-level schedule of the agent options.
    pub pack: String,
    pub name: String,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub impact: Impact,
    pub denylisted_hosts: u64,
    /// CPU time of the runs of a day on all hosts together, in seconds; of a query that is new, as the time since tells it.
    #[serde(default)]
    pub cpu_seconds_per_day: f64,
    pub total: RunCost,
    pub groups: Vec<GroupCost>,
    /// By hour or day, oldest first. Those without a run are left out.
    pub buckets: Vec<BucketCost>,
    pub worst_hosts: Vec<WorstHost>,
    /// Present if a label was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<LabelCost>,
}

/// Cost of a scheduled query on the hosts of a label, since the counters of their agents began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LabelCost {
    pub label_id: i64,
    /// Hosts of the label.
    pub label_hosts: u64,
    /// Hosts whose last samples were read: all, or about 1,000 that are spread over the label.
    pub sampled_hosts: u64,
    #[serde(flatten)]
    pub cost: RunCost,
}

/// Cost of a scheduled query to the fleet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FleetQueryCost {
    /// Empty for the top-level schedule of the agent options.
    pub pack: String,
    pub name: String,
    pub impact: Impact,
    pub denylisted_hosts: u64,
    /// Part of the CPU time of all scheduled queries, from 0 to 1.
    pub share: f64,
    /// CPU time of the runs of a day on all hosts together, in seconds; of a query that is new, as the time since tells it.
    pub cpu_seconds_per_day: f64,
    /// CPU seconds of a day if the query, and its pack, ran on all of their hosts: with `shard` 100. Null if it runs on none.
    pub cpu_seconds_per_day_at_shard_100: Option<f64>,
    #[serde(flatten)]
    pub cost: RunCost,
}

/// `GET statistics/queries`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FleetCosts {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// Those that cost most first.
    pub queries: Vec<FleetQueryCost>,
}

/// A scheduled query that the agent of a host does not run, because it has stopped the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Denylisted {
    pub host_id: i64,
    /// Empty if the host is gone.
    pub hostname: String,
    /// Empty for the top-level schedule of the agent options.
    pub pack: String,
    pub name: String,
    /// When it was first seen.
    pub since: DateTime<Utc>,
    /// When it was first not seen any more.
    pub until: Option<DateTime<Utc>>,
}

/// `GET statistics/denylist`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Denylist {
    pub denylist: Vec<Denylisted>,
}

/// A worker that was replaced. Without a restart of its host, unless the agent has said that a query was running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerRestart {
    pub host_id: i64,
    /// Empty if the host is gone.
    pub hostname: String,
    pub seen_at: DateTime<Utc>,
    /// When the new worker was started, by the clock of the host.
    pub started_at: Option<DateTime<Utc>>,
    /// The new worker is of another version.
    pub is_upgrade: bool,
    /// The agent has said in its log that a query was running.
    pub is_reported: bool,
    /// Queries that were running: the agent has said so, or has denylisted them with it.
    pub suspects: Vec<Suspect>,
}

/// A scheduled query that was running when a worker ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Suspect {
    pub pack: String,
    pub name: String,
}

/// `GET statistics/restarts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerRestarts {
    pub restarts: Vec<WorkerRestart>,
}

/// A host that checks in and runs no scheduled query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StalledHost {
    pub host_id: i64,
    pub hostname: String,
    /// When a query was last seen to have run.
    pub since: DateTime<Utc>,
}

/// `GET statistics/stalled`: those that have stood still for longest first, 1,000 at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StalledHosts {
    pub hosts: Vec<StalledHost>,
}

/// A scheduled query on one host, since its counters began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostQueryCost {
    /// Empty for the top-level schedule of the agent options.
    pub pack: String,
    pub name: String,
    pub impact: Impact,
    pub executions: u64,
    pub last_executed: Option<DateTime<Utc>>,
    /// CPU time of a run, in milliseconds.
    pub cpu_time: Option<f64>,
    /// Time of a run, in milliseconds.
    pub wall_time: Option<f64>,
    /// CPU time of all runs together, in seconds.
    pub cpu_seconds: f64,
}

/// `GET hosts/{id}/statistics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostStatistics {
    pub host_id: i64,
    /// When the schedule was last sampled.
    pub sampled_at: Option<DateTime<Utc>>,
    /// Present if the host runs no scheduled query: since when.
    pub stalled_since: Option<DateTime<Utc>>,
    /// Those that cost most first.
    pub queries: Vec<HostQueryCost>,
    /// Those that were lifted, too; the latest first, 100 at most.
    pub denylist: Vec<Denylisted>,
    /// The latest first, 100 at most.
    pub restarts: Vec<WorkerRestart>,
}

/// How many hosts there were in an hour or on a day, when they were last counted in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetCount {
    pub start: DateTime<Utc>,
    pub online: u64,
    /// With those that are missing.
    pub offline: u64,
    /// Not seen for 30 days.
    pub missing: u64,
    /// The 50 platforms with most hosts; all others under an empty name.
    pub platforms: BTreeMap<String, u64>,
    /// The 50 versions with most hosts; all others under an empty name.
    pub osquery_versions: BTreeMap<String, u64>,
}

/// `GET statistics/hosts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetCounts {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    /// By hour or day, oldest first. Those in which nobody counted are left out.
    pub counts: Vec<FleetCount>,
}
