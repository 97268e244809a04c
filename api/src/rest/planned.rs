use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the scheduled queries that a plan changes are predicted to cost, from what hosts have reported of the same SQL, or of SQL
/// that reads the same tables. Counted as if all hosts were on all day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedCosts {
    /// The beginning of the time from which costs are known.
    pub since: DateTime<Utc>,
    /// Scheduled queries that hosts run otherwise, begin to run or cease to run; those first whose cost changes most, 200 at most.
    pub queries: Vec<PlannedQuery>,
    /// How many more there are. Their costs are in the totals.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
    /// How many of all of them would run without anybody knowing what they cost: they are in no total.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unknown: u64,
    /// Cost of these queries to the fleet before the change.
    pub before: PlannedTotal,
    /// The same after it.
    pub after: PlannedTotal,
    /// What is more than hosts or the server should bear.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The cost of queries to the fleet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedTotal {
    /// CPU time on all hosts together, in milliseconds.
    pub cpu_ms_per_day: u64,
    /// Rows of all hosts together, in bytes.
    pub bytes_per_day: u64,
}

/// A scheduled query that a plan changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedQuery {
    /// Empty for the top-level schedule of the agent options.
    pub pack: String,
    pub name: String,
    /// Absent if no host runs it yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<PlannedRuns>,
    /// Absent if no host runs it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<PlannedRuns>,
}

/// How hosts run a query, and what that is predicted to cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedRuns {
    /// Hosts that run it, by their labels, platform and shard.
    pub hosts: u64,
    /// Whether fewer may, because discovery queries or a version of the agent decide, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_at_most: bool,
    /// Seconds.
    pub interval: u64,
    /// Whether all rows are logged each time; otherwise only what differs is, and the bytes are the most that can be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub snapshot: bool,
    pub rests_on: CostBasis,
    /// Absent if nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<PredictedCost>,
}

/// What a prediction rests on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CostBasis {
    pub kind: BasisKind,
    /// Scheduled queries whose cost was taken, 3 at most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queries: Vec<BasisQuery>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u64,
    /// Hosts on which they ran, in the hour with most of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub hosts: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub executions: u64,
    /// The tables that similar SQL reads, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
}

/// A scheduled query.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct BasisQuery {
    /// Empty for the top-level schedule of the agent options.
    pub pack: String,
    pub name: String,
}

/// How near to a query that is which its prediction rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BasisKind {
    /// The same SQL, but for white space, comments and case.
    SameSql,
    /// SQL that reads the same tables, with whatever conditions: a guess.
    SimilarSql,
    #[default]
    Unknown,
}

/// A predicted cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PredictedCost {
    /// CPU time of a run, in microseconds: the mean.
    pub cpu_us: u64,
    pub cpu_us_p50: u64,
    pub cpu_us_p95: u64,
    /// Growth of the worker in a run, in bytes.
    pub memory_p50: u64,
    pub memory_p95: u64,
    /// Bytes of the rows of a run, the mean. Absent if no agent has told it: those from 3.4 to 5.2 do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_bytes: Option<u64>,
    /// CPU time on a host in an hour, in microseconds.
    pub cpu_us_per_host_hour: u64,
    /// Rows of a host in an hour, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_host_hour: Option<u64>,
    /// CPU time on all hosts in a day, in milliseconds.
    pub cpu_ms_per_day: u64,
    /// Rows of all hosts in a day, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_per_day: Option<u64>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}
