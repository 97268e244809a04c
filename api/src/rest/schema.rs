use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The tables and columns that agents have, as hosts have reported them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FleetSchema {
    /// All platforms with their versions of osquery that the filter leaves, those with most hosts first.
    pub groups: Vec<SchemaGroup>,
    /// By name.
    pub tables: Vec<SchemaTable>,
    /// Tables there are, on all pages.
    pub count: u64,
}

/// Hosts with the same platform and version of osquery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SchemaGroup {
    pub platform: String,
    pub osquery_version: String,
    /// Hosts that the filter leaves.
    pub hosts: u64,
    /// Hosts that have reported their tables. Nothing is known of a group in which none has.
    pub reports: u64,
    pub last_report_at: Option<DateTime<Utc>>,
}

/// A table of agents. Groups are given by their positions in `groups`, those of which nothing is known left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SchemaTable {
    pub name: String,
    /// Whether enough hosts have reported it.
    pub agreed: bool,
    /// Whether other hosts of the same platform and version have reported that they lack it, as with ATC tables and
    /// extensions.
    pub on_some_hosts: bool,
    /// Hosts that have reported it, of those that have reported in groups that have it.
    pub reports: u64,
    pub reports_of: u64,
    /// Groups that have it.
    pub groups: Vec<usize>,
    /// Groups that lack it.
    pub lacking_groups: Vec<usize>,
    /// In the order of the agent. Absent if only names are wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<SchemaColumn>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SchemaColumn {
    pub name: String,
    /// Empty if it is none that osquery knows.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether `SELECT *` leaves it out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Whether hosts of the same platform and version have reported the table without it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_some_hosts: bool,
    /// Groups that have the table and lack the column.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacking_groups: Vec<usize>,
}
