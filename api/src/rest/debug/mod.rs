//! The bodies of the debug API, below `/debug/`. Times are RFC 3339 in UTC, durations seconds. Fields that older servers do not
//! send are read as absent.

mod activity;
mod database;
mod logs;
mod migrations;
mod node_state;
mod redis;
mod runtime;
mod threads;

pub use activity::{
    ConnectionsInUse, RequestUnderWay, RequestsUnderWay, TaskNow, ThreadPool, TraceEvent, TraceFile, WaitTotals, Waits,
};
pub use database::{DbLock, DbPool, DbProcess, DbSettings, DbStatement, DbTable};
pub use logs::{ChangeLogLevel, LatestLogs, LogLevelNow, LoggedCause, LoggedErrors, LoggedLine};
pub use migrations::MigrationState;
pub use node_state::{DebugNode, DebugNodes, Figure, NodeFigures};
pub use redis::{
    RedisKeyKind, RedisKeys, RedisLiveKeys, RedisNodeKeys, RedisNodeSlowLog, RedisSlowCommand, RedisSlowLog,
};
pub use runtime::{NodeMemory, NodeRuntime};
pub use threads::{NodeThread, NodeThreads};
