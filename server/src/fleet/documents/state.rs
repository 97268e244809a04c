//! What the nodes know together of the folder: kept as one setting, written by the leader.

use muster_api::rest::{AppliedContents, DocumentsProblem, DocumentsStatus, FolderOfNode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::clock::Moment;
use crate::documents::SeenContents;

/// What was applied last, and why no more was.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct FolderState {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<InForce>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<StoredProblem>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InForce {
    pub digest: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Microseconds since 1970, as is the next.
    pub applied_at: i64,
    /// When these contents, or any that were applied before, came to a folder.
    pub changed_at: i64,
    /// Counts the contents that were applied.
    pub sequence: u64,
    /// Whether a file names the enroll secrets.
    #[serde(default)]
    pub names_secrets: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredProblem {
    pub reasons: Vec<String>,
    pub since: i64,
}

impl FolderState {
    /// What is stored; nothing if it cannot be read, so that the folder is applied anew.
    pub fn read(stored: Option<&Value>) -> Self {
        let read = stored.map(|stored| serde_json::from_value(stored.clone()));
        read.transpose()
            .unwrap_or_else(|error| {
                tracing::warn!(%error, "what was applied of the documents folder cannot be read; it is applied anew");
                None
            })
            .unwrap_or_default()
    }

    /// As operators see it.
    pub fn status(&self, here: Option<&SeenContents>) -> DocumentsStatus {
        DocumentsStatus {
            folder: None,
            applied: self.applied.as_ref().map(|applied| AppliedContents {
                digest: applied.digest.clone(),
                commit: applied.commit.clone(),
                applied_at: Moment(applied.applied_at).to_utc(),
            }),
            problem: self.problem.as_ref().map(|problem| DocumentsProblem {
                reasons: problem.reasons.clone(),
                since: Moment(problem.since).to_utc(),
            }),
            waits_for: self.waits_for.clone(),
            here: here.map(|seen| FolderOfNode {
                digest: seen.digest.clone(),
                commit: seen.commit.clone(),
                is_applied: self.is_applied(seen),
            }),
        }
    }

    pub fn is_applied(&self, seen: &SeenContents) -> bool {
        self.applied.as_ref().is_some_and(|applied| applied.digest == seen.digest)
    }
}
