use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::FieldError;

/// `POST spec/apply` and `POST spec/delete`: all documents or none, in one transaction.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// Documents as they stand in the files: `{"apiVersion","kind","spec"}`.
    pub documents: Vec<Value>,
    /// Validate and report what would change, and change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What an apply or a delete did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub dry_run: bool,
    /// One per document, in the order they were sent.
    pub changes: Vec<Change>,
    /// What is no mistake for certain but probably not what was meant; nothing is refused for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<FieldError>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub kind: String,
    /// Empty for kinds there is one of.
    pub name: String,
    pub action: Action,
    /// What differs, as field names; empty unless changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Created,
    Changed,
    Unchanged,
    Deleted,
    /// Was to be deleted and was not there.
    Absent,
    /// Of a kind that cannot be deleted.
    Ignored,
}
