use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::spec::{LabelMembership, LabelType};

/// A label as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Absent when no host is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_count: Option<u64>,
    pub display_text: String,
    pub count: u64,
    /// Always null: `GET labels/{id}/hosts` lists them.
    pub host_ids: Option<Vec<i64>>,
}

/// `POST labels`, and `PATCH labels/{id}` with any part of it. A label's query and platform never change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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

/// `GET labels`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelList {
    pub labels: Vec<Label>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelEnvelope {
    pub label: Label,
}

/// A label without its contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelSummary {
    pub id: i64,
    pub name: String,
    pub description: String,
    pub label_type: LabelType,
}

/// `GET labels/summary`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelSummaries {
    pub labels: Vec<LabelSummary>,
}
