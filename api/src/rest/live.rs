use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::absent::null_is_default;

/// `POST live_queries`: runs a query on hosts now, as a job that does not depend on a viewer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLiveQuery {
    /// The SQL. Either this or `query_name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// A saved query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_name: Option<String>,
    /// SQL that decides on each host whether the query runs: a host where it finds no rows is `skipped`. A host where the
    /// SQL itself fails reports nothing and becomes `lost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<String>,
    pub targets: LiveTargets,
    /// The maximum number of hosts; those with the lowest salted hash are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hosts: Option<u64>,
    /// The percentage of the hosts, 1–100, chosen by a hash salted with the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// The maximum number of hosts of each platform and version of osquery, 1–100: online ones, other ones each time. Without
    /// targets, hosts of the label that the setting `live.try_label` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_version: Option<u32>,
    /// Seconds until hosts that have not answered are given up; the server's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<u64>,
    /// Maximum number of hosts a second that are given the query, over all nodes; 0 for no limit, the server's default if
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Number of hosts that are given the query first, 1–1,000; 0 gives it to all at one time. If absent, the server decides by
    /// the number of targets. Another number than that of `live.canaries` is for maintainers and administrators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canaries: Option<u32>,
    /// CPU time in milliseconds that the query may take on one host; 0 for no limit, the server's default if absent. More than
    /// that is for maintainers and administrators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_cpu_ms: Option<u64>,
    /// CPU time in milliseconds that the query may take on all hosts together, in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet_cpu_ms: Option<u64>,
}

/// `POST live_queries/{id}/rate`: changes the rate of an open live query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveRate {
    /// Hosts a second that are given the query, over all nodes; 0 for no limit.
    pub rate: u32,
}

/// The hosts to ask. A host must match one entry of every list that is given, and none of the exclusions. A name that no
/// host or label has is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveTargets {
    /// Every host; the other lists must then be empty but for exclusions.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// Identifiers, UUIDs, host names or computer names. These hosts are asked regardless of the other lists.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// Ids of hosts. These are asked regardless of the other lists, too.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub host_ids: Vec<i64>,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// `os_version.platform` words; `linux` means every distribution.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub exclude_hosts: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub exclude_labels: Vec<String>,
}

/// A live query as a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LiveQuery {
    pub id: i64,
    pub query: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_name: Option<String>,
    /// The SQL that decides on each host whether the query runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<String>,
    pub created_at: DateTime<Utc>,
    pub deadline: DateTime<Utc>,
    pub author_id: Option<i64>,
    pub author_email: String,
    pub status: LiveStatus,
    /// Why Muster stopped the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<String>,
    pub counts: LiveCounts,
    /// Hosts a second that are given the query, over all nodes; 0 is no limit.
    #[serde(default)]
    pub rate: u32,
    /// Whether no further host is given the query.
    #[serde(default)]
    pub paused: bool,
    /// Hosts that are given the query first; absent if all are given it at one time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canaries: Option<LiveCanaries>,
    /// How much CPU time the query may take; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<LiveBudget>,
    /// Targets that have been given the query so far; not those that are waited for no more.
    #[serde(default)]
    pub given: u64,
    /// Targets that are online now.
    pub online: u64,
    /// Targets that are online now and have not answered.
    pub online_waiting: u64,
    /// The cost reported by hosts; absent until a host reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<LiveCost>,
    /// What the table guard has said of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The hosts that are given a live query first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveCanaries {
    pub hosts: u64,
    /// Canaries in a final state.
    pub settled: u64,
    /// Targets that are given the query when the canaries have answered; 0 once they may be.
    pub waiting: u64,
    /// When the canaries are waited for no longer; absent once the others may be given the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

/// How much CPU time a live query may take before it is stopped, by what agents from version 5.8 on report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveBudget {
    /// In milliseconds on one host; 0 is no limit.
    pub host_cpu_ms: u64,
    /// In milliseconds on all hosts together; 0 is no limit.
    pub fleet_cpu_ms: u64,
    /// What the hosts have taken together. Of one host, no more counts than a third of the budget.
    pub spent_cpu_ms: u64,
    /// Hosts that took more than one may.
    pub hosts_over: u64,
}

/// Whether a live query is open, and why it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LiveStatus {
    Open,
    /// Every target is accounted for.
    Complete,
    /// An operator ended the query.
    Cancelled,
    /// Muster ended the query, because it seems to harm hosts: `stop_reason` says how.
    Stopped,
    /// The deadline has passed.
    Expired,
}

/// Numbers of targets by state. The states always add up to `targets`; `truncated` counts some of `answered` again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveCounts {
    pub targets: u64,
    pub pending: u64,
    pub sent: u64,
    pub answered: u64,
    pub failed: u64,
    pub denylisted: u64,
    #[serde(default)]
    pub skipped: u64,
    pub suspect: u64,
    pub lost: u64,
    pub expired: u64,
    pub cancelled: u64,
    pub gone: u64,
    pub truncated: u64,
    /// Hosts that are counted in their state although their answers could not be stored or were lost.
    #[serde(default)]
    pub results_lost: u64,
}

/// The state of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// Not fetched yet.
    Pending,
    /// Fetched, not answered yet.
    Sent,
    Answered,
    /// The agent reported an error.
    Failed,
    /// The agent refuses the query, because the query stopped its worker before.
    Denylisted,
    /// The discovery query found no rows on the host.
    Skipped,
    /// The query probably stopped the agent's worker.
    Suspect,
    /// Fetched twice and never answered, without a sign of a restart.
    Lost,
    Expired,
    Cancelled,
    /// The host was deleted.
    Gone,
}

/// Cost per answering host, as reported by agents from version 5.8 on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LiveCost {
    /// Hosts that reported their cost.
    pub hosts: u64,
    pub wall_time_ms: Percentiles,
    /// User and system time together.
    pub cpu_time_ms: Percentiles,
    pub memory_bytes: Percentiles,
}

/// Percentiles over hosts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    pub p50: f64,
    pub p95: f64,
    pub max: f64,
}

/// One line of `GET live_queries/{id}/results`: the outcome on one host. Each host has at most one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LiveAnswer {
    /// The value of `?cursor=` to continue after this line.
    pub cursor: u64,
    pub host_id: i64,
    pub hostname: String,
    pub state: TargetState,
    /// Columns in the order the agent sent them.
    pub rows: Vec<Value>,
    /// The number of rows that the agent sent, if not all of them are in `rows`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_sent: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// The agent's message, or the reason why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<LiveStats>,
    /// Carves that the host is to send now, by their `carve_id`. Their rows say `SCHEDULED`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carves: Vec<String>,
    pub at: DateTime<Utc>,
}

/// The last line of `GET live_queries/{id}/results` when the session of its reader has ended, or its user may not see the live
/// query any more. The lines before are not all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveStreamEnd {
    pub error: String,
}

/// The cost of a query as reported by one agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveStats {
    pub wall_time_ms: u64,
    pub user_time_ms: u64,
    pub system_time_ms: u64,
    pub memory_bytes: u64,
}

/// `GET live_queries`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LiveQueries {
    pub live_queries: Vec<LiveQuery>,
}

/// `GET live_queries/{id}`, `POST live_queries` and `POST live_queries/{id}/cancel`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LiveQueryEnvelope {
    pub live_query: LiveQuery,
    /// Of a start with `per_version`: the hosts that are asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<LiveGroup>,
    /// Of a start: what is valid but probably does not do what was intended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Hosts that a live query asks, with the same platform and version of osquery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveGroup {
    pub platform: String,
    pub osquery_version: String,
    /// How many hosts of the targets have both.
    pub size: u64,
    /// The ids of those that are asked.
    pub host_ids: Vec<i64>,
}

/// `GET live_queries/{id}/hosts?state=STATE`: the targets in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveHosts {
    pub hosts: Vec<LiveHost>,
}

/// A target of a live query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveHost {
    pub id: i64,
    pub hostname: String,
    pub state: TargetState,
}
