use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::envelope::enveloped;

/// A pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pack {
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub id: i64,
    pub name: String,
    pub description: String,
    pub platform: String,
    pub disabled: bool,
    /// Always null: the global schedule is not among the packs.
    #[serde(rename = "type")]
    pub pack_type: Option<String>,
    pub query_count: u64,
    /// Hosts that its labels choose. Those of which it is not known yet whether a label leaves them out are among them.
    pub total_hosts_count: u64,
    /// Always empty: packs are targeted at labels.
    pub host_ids: Vec<i64>,
    /// Labels of which a host must be in any, if there are some.
    pub label_ids: Vec<i64>,
    /// Labels of which a host must be in none.
    pub label_ids_exclude_any: Vec<i64>,
    /// Labels of which a host must be in all.
    pub label_ids_include_all: Vec<i64>,
    /// Always empty: there are no teams.
    pub team_ids: Vec<i64>,
}

/// `POST packs`, and `PATCH packs/{id}` with any of the fields. A list replaces the previous one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackInput {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Accepted when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_ids: Option<Vec<i64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_ids: Option<Vec<i64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_ids_exclude_any: Option<Vec<i64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_ids_include_all: Option<Vec<i64>>,
    /// Accepted when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_ids: Option<Vec<i64>>,
}

enveloped!(Pack, PackList { packs }, PackEnvelope { pack });
