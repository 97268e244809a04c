use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET documents/status`: whether documents come from a folder of the server, and how that goes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct DocumentsStatus {
    /// The folder on this node; absent if operators change documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// What was applied last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<AppliedContents>,
    /// Why the folder is not applied, for somebody to mend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<DocumentsProblem>,
    /// What applying the folder waits for, and goes on by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// What the folder of this node holds; absent if it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub here: Option<FolderOfNode>,
}

/// Contents of the folder that were applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedContents {
    /// Hash of the files.
    pub digest: String,
    /// The commit of git that was checked out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    pub applied_at: DateTime<Utc>,
}

/// Why documents are not applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DocumentsProblem {
    /// Each with its file and line where it has one; not all if there are many.
    pub reasons: Vec<String>,
    /// Since when these are the reasons.
    pub since: DateTime<Utc>,
}

/// What the folder holds on the node that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FolderOfNode {
    pub digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Whether that is what was applied last.
    pub is_applied: bool,
}
