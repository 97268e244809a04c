use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{LabelSummary, PackStats};
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

/// `GET host_summary`: how many hosts there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostSummary {
    pub totals_hosts_count: u64,
    pub online_count: u64,
    /// With those that are missing: online and offline hosts are all.
    pub offline_count: u64,
    /// Not seen for 30 days.
    pub mia_count: u64,
    /// The same, as newer clients of Fleet call it.
    pub missing_30_days_count: u64,
    /// Enrolled within a day.
    pub new_count: u64,
    pub all_linux_count: u64,
    /// Hosts with less disk space than `low_disk_space` says, if that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub low_disk_space_count: Option<u64>,
    pub platforms: Vec<PlatformHosts>,
    pub builtin_labels: Vec<LabelSummary>,
}

/// How many hosts there are of a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlatformHosts {
    pub platform: String,
    pub hosts_count: u64,
}

/// `POST hosts/search`: the first hosts that a text finds, but for some.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HostSearch {
    /// A part of a name, identifier or address, in any case.
    pub query: Option<String>,
    /// The saved query that the hosts are to run; every user may see all hosts, so it narrows nothing.
    pub query_id: Option<i64>,
    pub excluded_host_ids: Option<Vec<i64>>,
}

/// `POST hosts/delete`: hosts by their ids, or all that filters find.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HostsToDelete {
    pub ids: Option<Vec<i64>>,
    pub filters: Option<HostFilters>,
    /// Must be true if the filters narrow nothing: then all hosts are meant.
    pub all: bool,
    /// Deletes nothing, and gives the number of hosts that would be deleted as a [`HostCount`].
    pub dry_run: bool,
}

/// Filters of hosts, as lists of hosts take them as parameters. Without any, they find all hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HostFilters {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub osquery_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Gigabytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low_disk_space: Option<u32>,
    /// There are no teams here: any but 0 is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team_id: Option<i64>,
}
