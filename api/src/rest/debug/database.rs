use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A statement that waits for a row lock, and a transaction that holds it. Values in statements are shown as `?`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DbLock {
    pub waiting_trx_id: String,
    pub waiting_thread: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_query: Option<String>,
    #[serde(default)]
    pub waiting_seconds: f64,
    pub blocking_trx_id: String,
    pub blocking_thread: u64,
    /// Statement that the transaction runs now, or its last one, as far as the database keeps that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocking_query: Option<String>,
    /// Whether the transaction runs nothing, so that the lock is held until its client goes on.
    #[serde(default)]
    pub blocking_is_idle: bool,
    /// Age of the transaction.
    #[serde(default)]
    pub blocking_seconds: f64,
    /// Database and table.
    #[serde(default)]
    pub table: String,
    #[serde(default)]
    pub index: Option<String>,
    #[serde(default)]
    pub lock_mode: String,
}

/// A connection to the database, and what it does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DbProcess {
    pub id: u64,
    pub user: String,
    pub host: String,
    pub db: Option<String>,
    pub command: String,
    /// Seconds in this state.
    pub time: i64,
    pub state: Option<String>,
    /// The statement, its values as `?`.
    pub info: Option<String>,
}

/// All runs of statements that differ in values alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DbStatement {
    pub statement: String,
    pub count: u64,
    pub total_seconds: f64,
    pub average_seconds: f64,
    pub max_seconds: f64,
    /// Part of the total in which it waited for table locks.
    pub lock_seconds: f64,
    pub errors: u64,
    pub rows_sent: u64,
    pub rows_examined: u64,
    pub rows_affected: u64,
    pub first_seen: Option<DateTime<Utc>>,
    pub last_seen: Option<DateTime<Utc>>,
}

/// Version, settings and figures of the database, and this node's connections to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbSettings {
    /// `SQLite`, `MySQL` or `MariaDB`.
    pub kind: String,
    pub version: String,
    /// By name, as the database writes them.
    pub settings: BTreeMap<String, String>,
    /// Counters and sizes by name.
    pub figures: BTreeMap<String, String>,
    pub pools: Vec<DbPool>,
}

/// A pool of connections of this node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbPool {
    pub name: String,
    pub in_use: u32,
    pub idle: u32,
    pub max: u32,
}

/// A table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DbTable {
    pub name: String,
    /// An estimate.
    pub rows: u64,
    pub data_bytes: u64,
    pub index_bytes: u64,
}
