use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{HostView, Label};

/// `POST queries/run` with ids and `queries/run_by_names` with names: starts a live query that lasts as long as somebody
/// watches it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NewCampaign<T> {
    #[serde(default)]
    pub query: Option<String>,
    /// A saved query; then `query` does not count.
    #[serde(default)]
    pub query_id: Option<i64>,
    pub selected: Selected<T>,
}

/// Hosts, and labels whose members are meant.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, bound = "T: Deserialize<'de>")]
pub struct Selected<T> {
    #[serde(default = "Vec::new", deserialize_with = "null_is_empty")]
    pub hosts: Vec<T>,
    #[serde(default = "Vec::new", deserialize_with = "null_is_empty")]
    pub labels: Vec<T>,
    #[serde(default = "Vec::new", deserialize_with = "null_is_empty")]
    pub teams: Vec<Value>,
}

impl<T> Default for Selected<T> {
    fn default() -> Self {
        Self { hosts: Vec::new(), labels: Vec::new(), teams: Vec::new() }
    }
}

/// `POST targets` and `POST targets/count`: what could be selected, and how many hosts the selection has.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TargetSearch {
    /// Part of a name.
    #[serde(default)]
    pub query: Option<String>,
    #[serde(default)]
    pub selected: Option<Selected<i64>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FoundTargets {
    pub targets: Targets,
    #[serde(flatten)]
    pub counts: TargetCounts,
}

/// What is not selected yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Targets {
    /// Ten at most.
    pub hosts: Vec<HostView>,
    pub labels: Vec<Label>,
    pub teams: Vec<Value>,
}

/// Selected hosts by whether they are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetCounts {
    pub targets_count: u64,
    pub targets_online: u64,
    pub targets_offline: u64,
    pub targets_missing_in_action: u64,
}

/// Fleet's clients write an empty list as null.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CampaignEnvelope {
    pub campaign: Campaign,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Campaign {
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    #[serde(rename = "Metrics")]
    pub metrics: CampaignMetrics,
    /// Also the id of the live query it is.
    pub id: i64,
    /// 0 for SQL that is not saved.
    pub query_id: i64,
    /// 0: waits for somebody to watch.
    pub status: u8,
    pub user_id: i64,
}

/// Targets by whether they are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CampaignMetrics {
    pub total_hosts: u64,
    pub online_hosts: u64,
    pub offline_hosts: u64,
    pub missing_in_action_hosts: u64,
    pub new_hosts: u64,
}

/// Told to who watches a campaign, first and when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignTotals {
    pub count: u64,
    pub online: u64,
    pub offline: u64,
    pub missing_in_action: u64,
}

/// Told to who watches a campaign, first and when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CampaignStatus {
    /// Targets that are online.
    pub expected_results: u64,
    pub actual_results: u64,
    /// `pending` or `finished`; hosts that come later are told of all the same.
    pub status: String,
}

/// `GET queries/run`: asks hosts saved queries and waits for the answers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiveRun {
    pub query_ids: Vec<i64>,
    pub host_ids: Vec<i64>,
}

#[derive(Debug, Serialize)]
pub struct LiveRunDone {
    pub summary: LiveRunSummary,
    /// One per query, as they were asked for.
    pub live_query_results: Vec<LiveRunQuery>,
}

#[derive(Debug, Serialize)]
pub struct LiveRunSummary {
    pub targeted_host_count: usize,
    /// Hosts that have answered at least one query.
    pub responded_host_count: usize,
}

#[derive(Debug, Serialize)]
pub struct LiveRunQuery {
    pub query_id: i64,
    pub results: Vec<LiveRunAnswer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct LiveRunAnswer {
    pub host_id: i64,
    /// A list of objects, as the text it is.
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
        assert!(serde_json::from_str::<NewCampaign<i64>>(r#"{"query":"x","selected":{"hots":[1]}}"#).is_err());
    }
}
