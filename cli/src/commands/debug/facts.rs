//! The answers of `/debug`, as far as they are read here.

use serde::Deserialize;

pub use muster_api::rest::debug::{
    DbLock, DbProcess, DbSettings, DbStatement, DbTable, DebugNode, DebugNodes, LatestLogs, LogLevelNow,
    MigrationState, NodeFigures, NodeRuntime, RedisSlowLog, RequestsUnderWay, TaskNow, Waits,
};

/// The outcome of a run of a task that has not failed.
pub const DONE: &str = "done";

/// Warnings or errors that are alike, in archives of Fleet as well, which tell less than [`muster_api::rest::debug::LoggedErrors`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorGroup {
    pub count: u64,
    pub last_seen: String,
    pub level: String,
    pub chain: Vec<ErrorCause>,
}

/// One cause of an error.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ErrorCause {
    pub message: String,
}
