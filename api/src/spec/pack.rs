use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::absent::null_is_default;

/// A set of scheduled queries and the labels whose hosts run them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackSpec {
    #[serde(default, deserialize_with = "null_is_default")]
    pub description: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub disabled: bool,
    /// SQL queries; the pack is active on a host where each of them returns a row.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub discovery: Vec<String>,
    /// Written by the server, ignored on apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    pub name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub platform: String,
    /// Replaces all scheduled queries of the pack.
    #[serde(default, deserialize_with = "null_is_default")]
    pub queries: Vec<PackQuery>,
    /// The percentage of hosts, 0–100, chosen by the agents' own hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u8>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub targets: PackTargets,
    /// The minimum agent version; empty means any.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// The labels whose hosts run a pack: a host must fulfil each list that is not empty. With `labels_exclude_any` alone all other hosts
/// run it, and without any list nobody. Replaces all targets on apply.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackTargets {
    /// Names of labels; a host must be in any of them. Null means none.
    #[serde(default, deserialize_with = "null_is_default")]
    pub labels: Vec<String>,
    /// Names of labels; a host must be in none of them, and no host runs the pack before it is known whether it is in one.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub labels_exclude_any: Vec<String>,
    /// Names of labels; a host must be in all of them.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub labels_include_all: Vec<String>,
    /// The same as `labels`, which the server shows it as.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub labels_include_any: Vec<String>,
    /// Skipped with a warning: there are no teams.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub teams: Vec<String>,
}

impl PackTargets {
    /// Whether no label is named.
    pub fn are_none(&self) -> bool {
        self.lists().iter().all(|(_, labels)| labels.is_empty())
    }

    /// The lists of labels, by their keys.
    pub fn lists(&self) -> [(&'static str, &Vec<String>); 4] {
        [
            ("labels", &self.labels),
            ("labels_include_any", &self.labels_include_any),
            ("labels_include_all", &self.labels_include_all),
            ("labels_exclude_any", &self.labels_exclude_any),
        ]
    }
}

/// One scheduled query of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PackQuery {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denylist: Option<bool>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub description: String,
    /// Seconds, 1–604800.
    #[schemars(range(min = 1, max = 604_800))]
    pub interval: u32,
    /// The name in the schedule, unique within the pack; the query's own name if absent.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub platform: String,
    /// Name of the saved query.
    pub query: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<bool>,
    /// The percentage of hosts, 0–100, chosen by the agents' own hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<bool>,
    /// The minimum agent version; empty means any.
    #[serde(default, deserialize_with = "null_is_default")]
    pub version: String,
}

impl PackQuery {
    /// The name the query has in the schedule.
    pub fn scheduled_name(&self) -> &str {
        if self.name.is_empty() { &self.query } else { &self.name }
    }
}
