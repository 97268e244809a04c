use std::path::PathBuf;
use std::time::Duration;

use super::section::section;

section! {
    /// Documents that come from a folder alone (docs/gitops.md).
    "documents" Documents {
        /// Folder of YAML files, such as a git checkout, that says all that hosts run: its documents are applied whenever they change, what no file names is deleted, and every other change of documents is refused. The same on every node. Empty: operators change documents.
        folder: Option<PathBuf> = None,
        /// How often the folder is looked at.
        interval: Duration = Duration::from_secs(30),
        /// Maximum objects that are deleted because no file names them any more; nothing is applied if there are more, unless the file .deletions of the folder allows just these.
        max_deletes: u64 = 10,
    }
}

/// Shortest and longest time between two looks.
const INTERVALS: std::ops::RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(24 * 3600);

impl Documents {
    pub(super) fn contradictions(&self) -> Vec<String> {
        if INTERVALS.contains(&self.interval) {
            return Vec::new();
        }
        vec!["documents.interval: must be from 2s to 24h".to_owned()]
    }
}
