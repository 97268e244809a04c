use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PackStats;
use crate::spec::{LabelMembership, LabelType};

/// Whether a host has checked in recently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostStatus {
    Online,
    Offline,
}

/// A host as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostView {
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub id: i64,
    pub detail_updated_at: DateTime<Utc>,
    pub label_updated_at: DateTime<Utc>,
    pub policy_updated_at: DateTime<Utc>,
    pub last_enrolled_at: DateTime<Utc>,
    pub seen_time: DateTime<Utc>,
    pub refetch_requested: bool,
    pub hostname: String,
    pub uuid: String,
    pub platform: String,
    pub osquery_version: String,
    pub os_version: String,
    pub build: String,
    pub platform_like: String,
    pub code_name: String,
    /// Nanoseconds.
    pub uptime: i64,
    /// Bytes.
    pub memory: i64,
    pub cpu_type: String,
    pub cpu_subtype: String,
    pub cpu_brand: String,
    pub cpu_physical_cores: i64,
    pub cpu_logical_cores: i64,
    pub hardware_vendor: String,
    pub hardware_model: String,
    pub hardware_version: String,
    pub hardware_serial: String,
    pub computer_name: String,
    pub primary_ip: String,
    pub primary_mac: String,
    /// Seconds.
    pub distributed_interval: i64,
    /// Seconds.
    pub config_tls_refresh: i64,
    /// Seconds.
    pub logger_tls_period: i64,
    /// The name of the secret that the host enrolled with last; empty if that is gone.
    #[serde(default)]
    pub enroll_secret_name: String,
    pub team_id: Option<i64>,
    pub team_name: Option<String>,
    pub gigs_disk_space_available: f64,
    pub percent_disk_space_available: f64,
    pub status: HostStatus,
    pub display_text: String,
    pub display_name: String,
}

/// A host with its labels and packs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostDetail {
    #[serde(flatten)]
    pub host: HostView,
    pub labels: Vec<HostLabel>,
    pub packs: Vec<HostPack>,
    /// Counters of its agent for the scheduled queries of its packs.
    #[serde(default)]
    pub pack_stats: Vec<PackStats>,
    /// Queries that are no longer sent to the host, because they seem to stop its agent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parked_queries: Vec<ParkedQuery>,
    /// Present if two machines share this identity: what the operator should do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clone_warning: Option<String>,
}

/// A query that is not sent for now. It is sent again when the label's query changes, or after a refetch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ParkedQuery {
    /// Such as `label web servers` or `detail os_version`.
    pub name: String,
    pub reason: String,
    pub parked_at: DateTime<Utc>,
}

/// A label of a host: a label as lists show it, without counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostLabel {
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub id: i64,
    pub name: String,
    pub description: String,
    pub query: String,
    pub platform: String,
    pub label_type: LabelType,
    pub label_membership_type: LabelMembership,
    pub display_text: String,
}

/// A pack of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostPack {
    pub id: i64,
    pub name: String,
}

/// `GET hosts`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostList {
    pub hosts: Vec<HostView>,
}

/// `GET hosts/{id}` and `GET hosts/identifier/{word}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HostEnvelope {
    pub host: HostDetail,
}

/// `GET hosts/count`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostCount {
    pub count: u64,
}

/// `POST hosts/delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HostIds {
    pub ids: Vec<i64>,
}
