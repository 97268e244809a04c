//! When each periodic task of this node last ran, and how that went: for people who look.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::clock::Moment;
use crate::lock::lock;

/// Longest text of a failure that is kept, in characters.
const MAX_FAILURE: usize = 300;

/// One run of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRun {
    pub ended_at: Moment,
    pub took: Duration,
    /// What went wrong, if anything did.
    pub failure: Option<String>,
}

/// The last run of each task, by the task's name.
#[derive(Debug, Default)]
pub struct TaskRuns(Mutex<BTreeMap<&'static str, TaskRun>>);

impl TaskRuns {
    /// Notes that a task has run.
    pub fn ran(&self, task: &'static str, ended_at: Moment, took: Duration, failure: Option<String>) {
        let failure = failure.map(|text| text.chars().take(MAX_FAILURE).collect());
        lock(&self.0).insert(task, TaskRun { ended_at, took, failure });
    }

    /// The last run of each task, in the order of the names.
    pub fn latest(&self) -> Vec<(&'static str, TaskRun)> {
        lock(&self.0).iter().map(|(task, run)| (*task, run.clone())).collect()
    }
}
