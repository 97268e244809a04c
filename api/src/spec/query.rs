use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::absent::null_is_default;

/// A saved query: SQL under a name that packs and people refer to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuerySpec {
    #[serde(default, deserialize_with = "null_is_default")]
    pub description: String,
    pub name: String,
    /// Observers may run it as a live query.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub observer_can_run: bool,
    pub query: String,
}

/// A query as documents have it: from 4.35 on, Fleet keeps in the document of a query when hosts run it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryDocument {
    /// False: Fleet sends no results to its log. Here they always go there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automations_enabled: Option<bool>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub description: String,
    /// True: Fleet keeps no report of the results.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discard_data: Option<bool>,
    /// Seconds, 1–604800: the query is put into the schedule that all hosts run, or those with the labels. 0 takes it out of
    /// there. If absent, nothing is scheduled, and what is stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 604_800))]
    pub interval: Option<u32>,
    /// Names of labels: hosts in any of them do not run the query by its schedule.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub labels_exclude_any: Vec<String>,
    /// Names of labels: only hosts in all of them run the query by its schedule.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub labels_include_all: Vec<String>,
    /// Names of labels: only hosts in any of them run the query by its schedule.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub labels_include_any: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logging: Option<QueryLogging>,
    /// The minimum agent version of the schedule; empty means any.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub min_osquery_version: String,
    pub name: String,
    /// Observers may run it as a live query.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub observer_can_run: bool,
    /// The platforms of the schedule; empty means all.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub platform: String,
    pub query: String,
}

impl QueryDocument {
    /// The saved query, without its schedule.
    pub fn saved(&self) -> QuerySpec {
        QuerySpec {
            description: self.description.clone(),
            name: self.name.clone(),
            observer_can_run: self.observer_can_run,
            query: self.query.clone(),
        }
    }
}

/// What a scheduled query of Fleet logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueryLogging {
    /// All rows each time.
    Snapshot,
    /// Rows that have come and gone.
    Differential,
    /// Rows that have come.
    DifferentialIgnoreRemovals,
}
