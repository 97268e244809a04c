use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::absent::null_is_default;

/// A named group of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelSpec {
    #[serde(default, deserialize_with = "null_is_default")]
    pub description: String,
    /// Members of a manual label, by host name, UUID or identifier. Replaces the members; if absent, they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// Written by the server, ignored on apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub label_membership_type: LabelMembership,
    #[serde(default, deserialize_with = "null_is_default")]
    pub label_type: LabelType,
    pub name: String,
    /// Only hosts of this platform evaluate the query; empty means all hosts.
    #[serde(default, deserialize_with = "null_is_default")]
    pub platform: String,
    /// A host is a member while this SQL returns a row. Dynamic labels only.
    #[serde(default, deserialize_with = "null_is_default")]
    pub query: String,
}

/// Whether hosts join a label by its query or by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LabelMembership {
    #[default]
    Dynamic,
    Manual,
}

/// Whether a label comes with the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LabelType {
    #[default]
    Regular,
    /// Comes with the server and cannot be changed or deleted.
    Builtin,
}
