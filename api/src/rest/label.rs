use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::envelope::enveloped;
use crate::spec::{LabelMembership, LabelType};

/// A label as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Label {
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub id: i64,
    pub name: String,
    pub description: String,
    pub query: String,
    pub platform: String,
    pub label_type: LabelType,
    pub label_membership_type: LabelMembership,
    /// Absent if no host is in the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_count: Option<u64>,
    pub display_text: String,
    pub count: u64,
    /// Always null: `GET labels/{id}/hosts` lists them.
    pub host_ids: Option<Vec<i64>>,
}

/// `POST labels`, and `PATCH labels/{id}` with any of the fields. The query and platform of a label cannot be changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelInput {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

/// A label without its query and counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabelSummary {
    pub id: i64,
    pub name: String,
    pub description: String,
    pub label_type: LabelType,
}

/// `GET labels/summary`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LabelSummaries {
    pub labels: Vec<LabelSummary>,
}

enveloped!(Label, LabelList { labels }, LabelEnvelope { label });
