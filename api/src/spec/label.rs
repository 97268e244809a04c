use serde::{Deserialize, Serialize};

/// A named group of hosts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelSpec {
    #[serde(default)]
    pub description: String,
    /// Members of a manual label, by host name, UUID or identifier. Replaces the membership; absent leaves it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// Ignored on apply; what the server says of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    #[serde(default)]
    pub label_membership_type: LabelMembership,
    #[serde(default)]
    pub label_type: LabelType,
    pub name: String,
    /// Only hosts of this platform are asked; empty means all.
    #[serde(default)]
    pub platform: String,
    /// A host is a member while this SQL returns a row. Dynamic labels only.
    #[serde(default)]
    pub query: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelMembership {
    #[default]
    Dynamic,
    Manual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelType {
    #[default]
    Regular,
    /// Comes with the server and cannot be changed or deleted.
    Builtin,
}
