use std::collections::BTreeMap;

use crate::absent::null_is_default;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{HostView, Label};

/// `POST queries/run` with ids and `queries/run_by_names` with names: starts a live query that ends when its last viewer
/// leaves.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[schemars(rename = "NewCampaign_{T}")]
pub struct NewCampaign<T> {
    #[serde(default)]
    pub query: Option<String>,
    /// The id of a saved query; `query` is then ignored.
    #[serde(default)]
    pub query_id: Option<i64>,
    pub selected: Selected<T>,
}

/// Hosts, and labels that stand for their members. Clients in Go may write the keys with a capital.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[schemars(rename = "Selected_{T}", bound = "T: JsonSchema")]
#[serde(deny_unknown_fields, bound = "T: Deserialize<'de>")]
pub struct Selected<T> {
    #[serde(default, alias = "Hosts", deserialize_with = "null_is_default")]
    pub hosts: Vec<T>,
    #[serde(default, alias = "Labels", deserialize_with = "null_is_default")]
    pub labels: Vec<T>,
    #[serde(default, alias = "Teams", deserialize_with = "null_is_default")]
    pub teams: Vec<Value>,
}

impl<T> Default for Selected<T> {
    fn default() -> Self {
        Self { hosts: Vec::new(), labels: Vec::new(), teams: Vec::new() }
    }
}

/// `POST targets` and `POST targets/count`: searches for hosts and labels to select, and counts the selected hosts.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct TargetSearch {
    /// Part of a name.
    #[serde(default)]
    pub query: Option<String>,
    #[serde(default)]
    pub selected: Option<Selected<i64>>,
}

/// Hosts and labels found, and the number of selected hosts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FoundTargets {
    pub targets: Targets,
    #[serde(flatten)]
    pub counts: TargetCounts,
}

/// Hosts and labels that match and are not selected yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Targets {
    /// At most ten.
    pub hosts: Vec<HostView>,
    pub labels: Vec<Label>,
    pub teams: Vec<Value>,
}

/// Numbers of selected hosts by presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetCounts {
    pub targets_count: u64,
    pub targets_online: u64,
    pub targets_offline: u64,
    pub targets_missing_in_action: u64,
}

/// A campaign.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CampaignEnvelope {
    pub campaign: Campaign,
    /// What the table guard says of the query.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A live query as Fleet's clients know it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Campaign {
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    #[serde(rename = "Metrics")]
    pub metrics: CampaignMetrics,
    /// The id of the live query.
    pub id: i64,
    /// 0 for SQL that is not saved.
    pub query_id: i64,
    /// Always 0: waiting for a viewer.
    pub status: u8,
    pub user_id: i64,
}

/// Numbers of targets by presence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct CampaignMetrics {
    pub total_hosts: u64,
    pub online_hosts: u64,
    pub offline_hosts: u64,
    pub missing_in_action_hosts: u64,
    pub new_hosts: u64,
}

/// The numbers of targets, sent to viewers of a campaign at first and at each change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CampaignTotals {
    pub count: u64,
    pub online: u64,
    pub offline: u64,
    pub missing_in_action: u64,
}

/// The progress, sent to viewers of a campaign at first and at each change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CampaignStatus {
    /// Targets that are online.
    pub expected_results: u64,
    pub actual_results: u64,
    /// `pending` or `finished`; results of hosts that come later are still sent.
    pub status: String,
    /// Whether no further host is given the query.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

/// `GET queries/run`: runs saved queries on hosts and waits for the answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LiveRun {
    pub query_ids: Vec<i64>,
    pub host_ids: Vec<i64>,
}

/// The answers to `GET queries/run`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LiveRunDone {
    pub summary: LiveRunSummary,
    /// One per query, in the order of the request.
    pub live_query_results: Vec<LiveRunQuery>,
}

/// Numbers of hosts.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LiveRunSummary {
    pub targeted_host_count: usize,
    /// Hosts that answered at least one query.
    pub responded_host_count: usize,
}

/// The answers to one query.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LiveRunQuery {
    pub query_id: i64,
    pub results: Vec<LiveRunAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the table guard says of the query.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// The answer of one host.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LiveRunAnswer {
    pub host_id: i64,
    /// A list of objects, as the agent sent them.
    #[schemars(with = "Vec<BTreeMap<String, Value>>")]
    pub rows: Box<RawValue>,
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selections_are_read_as_fleets_clients_write_them() {
        let body = r#"{"query":"select 1","query_id":null,"selected":{"hosts":null,"labels":["A"]}}"#;
        let campaign: NewCampaign<String> = serde_json::from_str(body).unwrap();
        assert_eq!(campaign.selected, Selected { hosts: vec![], labels: vec!["A".to_owned()], teams: vec![] });
        let capitals: Selected<i64> = serde_json::from_str(r#"{"Hosts":[7],"Labels":[8],"Teams":null}"#).unwrap();
        assert_eq!(capitals, Selected { hosts: vec![7], labels: vec![8], teams: vec![] });
        assert!(serde_json::from_str::<NewCampaign<i64>>(r#"{"query":"x","selected":{"hots":[1]}}"#).is_err());
    }
}
