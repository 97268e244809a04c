use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `POST live_queries`: asks hosts now, as a job that goes on whether or not somebody watches.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewLiveQuery {
    /// The SQL. Either this or `query_name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// A saved query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_name: Option<String>,
    /// SQL that decides on each host whether it is asked: a host where it finds no rows is `skipped`. A host where it
    /// cannot run reports nothing at all and is `lost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<String>,
    pub targets: LiveTargets,
    /// At most so many of the hosts, those with the lowest salted hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_hosts: Option<u64>,
    /// So many hosts in a hundred, 1–100, by a hash salted with the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// Hosts that have not answered by then are given up. Seconds; the server's default if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_seconds: Option<u64>,
}

/// Which hosts. Within a list any will do, and a host must be in every list that is given; then exclusions are taken
/// away. What nobody is called is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveTargets {
    /// Every host; the other lists must then be empty but for exclusions.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// Identifiers, UUIDs, host names or computer names. These are asked whatever the other lists say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// `os_version.platform` words; `linux` means every distribution.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub platforms: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_hosts: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude_labels: Vec<String>,
}

/// A live query as a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveQuery {
    pub id: i64,
    pub query: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_name: Option<String>,
    /// Decides on each host whether it is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<String>,
    pub created_at: DateTime<Utc>,
    pub deadline: DateTime<Utc>,
    pub author_id: Option<i64>,
    pub author_email: String,
    pub status: LiveStatus,
    /// Why it was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_reason: Option<String>,
    pub counts: LiveCounts,
    /// Targets that are online now.
    pub online: u64,
    /// Targets that are online now and have not answered: what somebody who does not wait for the others waits for.
    pub online_waiting: u64,
    /// What it cost the hosts that said so; absent until one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<LiveCost>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LiveStatus {
    Open,
    /// Every target is accounted for.
    Complete,
    /// An operator ended it.
    Cancelled,
    /// Muster ended it, because it seems to stop agents.
    Stopped,
    /// Its deadline has passed.
    Expired,
}

/// Targets by state. The states always add up to `targets`; `truncated` counts some of the answered again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Hosts that are counted by what they said, while their answers could not be kept or were lost.
    #[serde(default)]
    pub results_lost: u64,
}

/// What became of one target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// Not fetched yet.
    Pending,
    /// Fetched; an answer is owed.
    Sent,
    Answered,
    /// The agent said why.
    Failed,
    /// The agent refuses it, because it has stopped its worker before.
    Denylisted,
    /// Its discovery query found nothing there.
    Skipped,
    /// The agent's worker probably died of it.
    Suspect,
    /// Fetched twice and never answered, without a sign of a restart.
    Lost,
    Expired,
    Cancelled,
    /// The host was deleted.
    Gone,
}

/// Cost per answering host, as their agents say (from 5.8 on).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LiveCost {
    /// Hosts that said.
    pub hosts: u64,
    pub wall_time_ms: Percentiles,
    /// User and system time together.
    pub cpu_time_ms: Percentiles,
    pub memory_bytes: Percentiles,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p95: f64,
    pub max: f64,
}

/// One line of `GET live_queries/{id}/results`: what became of one host. Each host has at most one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveAnswer {
    /// Where to go on reading after this line: `?cursor=`.
    pub cursor: u64,
    pub host_id: i64,
    pub hostname: String,
    pub state: TargetState,
    /// Columns in the order the agent sent them.
    pub rows: Vec<Value>,
    /// Rows the agent sent, when not all of them are here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows_sent: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// The agent's message, or what is known of a host that gave no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stats: Option<LiveStats>,
    pub at: DateTime<Utc>,
}

/// What an agent says a query cost it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveStats {
    pub wall_time_ms: u64,
    pub user_time_ms: u64,
    pub system_time_ms: u64,
    pub memory_bytes: u64,
}

/// `GET live_queries`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveQueries {
    pub live_queries: Vec<LiveQuery>,
}

/// `GET live_queries/{id}`, `POST live_queries` and `POST live_queries/{id}/cancel`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveQueryEnvelope {
    pub live_query: LiveQuery,
}

/// `GET live_queries/{id}/hosts?state=STATE`: the targets in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveHosts {
    pub hosts: Vec<LiveHost>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveHost {
    pub id: i64,
    pub hostname: String,
    pub state: TargetState,
}
