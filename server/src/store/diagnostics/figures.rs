use std::collections::BTreeMap;

use super::redact::SqlText;
use crate::clock::Moment;
use crate::store::pools::ConnectionPool;

/// A statement that waits for a row lock, and a transaction that holds it.
#[derive(Debug)]
pub struct LockWait {
    pub waiting_transaction: String,
    pub waiting_thread: u64,
    pub waiting_statement: Option<SqlText>,
    pub waiting_seconds: f64,
    pub blocking_transaction: String,
    pub blocking_thread: u64,
    /// The last one, if the transaction runs none and the database keeps it.
    pub blocking_statement: Option<SqlText>,
    pub is_blocking_idle: bool,
    /// Age of the blocking transaction.
    pub blocking_seconds: f64,
    /// Database and table.
    pub table: String,
    pub index: Option<String>,
    pub lock_mode: String,
}

/// A connection, and what it does.
#[derive(Debug)]
pub struct DatabaseProcess {
    pub id: u64,
    pub user: String,
    pub host: String,
    pub database: Option<String>,
    pub command: String,
    /// Seconds in this state.
    pub seconds: i64,
    pub state: Option<String>,
    pub statement: Option<SqlText>,
}

/// All runs of statements that differ in values alone.
#[derive(Debug)]
pub struct StatementDigest {
    pub statement: SqlText,
    pub count: u64,
    pub total_seconds: f64,
    pub max_seconds: f64,
    pub lock_seconds: f64,
    pub errors: u64,
    pub rows_sent: u64,
    pub rows_examined: u64,
    pub rows_affected: u64,
    pub first_seen: Option<Moment>,
    pub last_seen: Option<Moment>,
}

/// Version, settings and figures of the database, and this node's pools.
#[derive(Debug)]
pub struct DatabaseSettings {
    /// `SQLite`, `MySQL` or `MariaDB`.
    pub kind: &'static str,
    pub version: String,
    pub settings: BTreeMap<String, String>,
    pub figures: BTreeMap<String, String>,
    pub pools: Vec<ConnectionPool>,
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSize {
    pub name: String,
    /// An estimate.
    pub rows: u64,
    pub data_bytes: u64,
    pub index_bytes: u64,
}
