//! The answers of `/debug`, as far as they are read here.

use std::collections::BTreeMap;

pub use muster_api::rest::debug::{DebugNode, DebugNodes, MigrationState, NodeFigures, NodeRuntime};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RequestsUnderWay {
    pub requests: Vec<RequestUnderWay>,
    pub tasks: Vec<TaskNow>,
    pub left_out: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RequestUnderWay {
    pub kind: String,
    pub name: String,
    pub seconds: f64,
    pub waits_for: Option<String>,
    pub waits_seconds: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TaskNow {
    pub name: String,
    pub state: String,
    pub seconds: f64,
    pub last_outcome: Option<String>,
    pub waits_for: Option<String>,
    pub waits_seconds: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Waits {
    pub waits: Vec<WaitTotals>,
    pub pools: Vec<ThreadPool>,
    pub connections: Vec<ConnectionsInUse>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct WaitTotals {
    #[serde(rename = "for")]
    pub waits_for: String,
    pub waiting_now: u64,
    pub longest_now_seconds: Option<f64>,
    pub count: u64,
    pub total_seconds: f64,
    pub max_seconds: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ThreadPool {
    pub name: String,
    pub threads: i64,
    pub busy: i64,
    pub waiting: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConnectionsInUse {
    pub pool: String,
    pub max: i64,
    pub in_use: i64,
    pub idle: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LatestLogs {
    pub lines: Vec<LoggedLine>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LoggedLine {
    pub line: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LoggedErrors {
    pub count: u64,
    pub last_seen: String,
    pub level: String,
    pub chain: Vec<LoggedCause>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct LoggedCause {
    pub message: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DbLock {
    pub waiting_query: Option<String>,
    pub waiting_seconds: f64,
    pub blocking_thread: u64,
    pub blocking_query: Option<String>,
    pub blocking_is_idle: bool,
    pub blocking_seconds: f64,
    pub table: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DbProcess {
    pub user: String,
    pub command: String,
    pub time: i64,
    pub state: Option<String>,
    pub info: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DbStatement {
    pub statement: String,
    pub count: u64,
    pub average_seconds: f64,
    pub max_seconds: f64,
    pub rows_examined: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DbSettings {
    pub settings: BTreeMap<String, String>,
    pub figures: BTreeMap<String, String>,
    pub pools: Vec<DbPool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DbPool {
    pub name: String,
    pub in_use: u32,
    pub max: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DbTable {
    pub name: String,
    pub data_bytes: u64,
    pub index_bytes: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RedisSlowLog {
    pub nodes: Vec<RedisNodeSlowLog>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RedisNodeSlowLog {
    pub node: String,
    pub commands: Vec<RedisSlowCommand>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RedisSlowCommand {
    pub microseconds: u64,
    pub command: String,
    pub keys: usize,
}
