//! What SQLite is asked.

use std::collections::BTreeMap;
use std::time::Instant;

use sea_orm::sqlx::pool::PoolConnection;
use sea_orm::sqlx::sqlite::{Sqlite, SqliteRow};
use sea_orm::sqlx::{self, Executor as _, Row as _};

use super::figures::{DatabaseSettings, TableSize};
use super::{DEADLINE, DatabaseDiagnostics, DiagnosisConnection, Unshown};
use crate::config;
use crate::store::pools::ConnectionPool;
use crate::store::sqlite_file;

const VERSION: &str = "SELECT sqlite_version() AS value";

/// Settings of the file and of each connection.
const SETTINGS: [&str; 7] = [
    "PRAGMA journal_mode",
    "PRAGMA page_size",
    "PRAGMA auto_vacuum",
    "PRAGMA encoding",
    "PRAGMA cache_size",
    "PRAGMA wal_autocheckpoint",
    "PRAGMA synchronous",
];

const FIGURES: [&str; 4] =
    ["PRAGMA page_count", "PRAGMA freelist_count", "PRAGMA schema_version", "PRAGMA data_version"];

/// Reads every page of the file.
const TABLES: &str = "SELECT m.tbl_name AS name, \
    SUM(CASE WHEN m.type = 'table' AND s.pagetype = 'leaf' THEN s.ncell ELSE 0 END) AS row_count, \
    SUM(CASE WHEN m.type = 'table' THEN s.pgsize ELSE 0 END) AS data_bytes, \
    SUM(CASE WHEN m.type = 'index' THEN s.pgsize ELSE 0 END) AS index_bytes \
    FROM dbstat s JOIN sqlite_schema m ON m.name = s.name GROUP BY m.tbl_name \
    ORDER BY SUM(s.pgsize) DESC, m.tbl_name LIMIT 1000";

/// Steps of SQLite between two looks at the clock.
const STEPS: i32 = 10_000;

/// A connection for one question.
pub(super) struct SqliteSession {
    connection: PoolConnection<Sqlite>,
    /// Ends the connection when it is dropped.
    _db: DiagnosisConnection,
}

impl SqliteSession {
    /// Connects. Statements end by themselves at the deadline.
    pub async fn open(database: &DatabaseDiagnostics) -> Result<Self, Unshown> {
        let until = Instant::now() + DEADLINE;
        let db = database.open().await.map_err(|error| Unshown::Unavailable(error.to_string()))?;
        let mut connection = db.get_sqlite_connection_pool().acquire().await.map_err(unavailable)?;
        let mut handle = connection.lock_handle().await.map_err(unavailable)?;
        handle.set_progress_handler(STEPS, move || Instant::now() < until);
        drop(handle);
        Ok(Self { connection, _db: db })
    }

    async fn ask(&mut self, sql: &'static str) -> Result<Vec<SqliteRow>, Unshown> {
        self.connection.fetch_all(sql).await.map_err(unavailable)
    }

    pub async fn settings(
        mut self,
        config: &config::Sqlite,
        pools: Vec<ConnectionPool>,
    ) -> Result<DatabaseSettings, Unshown> {
        let version = self.ask(VERSION).await?.first().map(first_column).unwrap_or_default();
        let (mut settings, mut figures) = (BTreeMap::new(), BTreeMap::new());
        for (pragmas, found) in [(&SETTINGS[..], &mut settings), (&FIGURES[..], &mut figures)] {
            for pragma in pragmas {
                let name = pragma.trim_start_matches("PRAGMA ").to_owned();
                found.insert(name, self.ask(pragma).await?.first().map(first_column).unwrap_or_default());
            }
        }
        settings.insert("busy_timeout_ms".to_owned(), config.busy_timeout.as_millis().to_string());
        for (name, bytes) in sqlite_file::sizes(&config.path) {
            figures.insert(name.to_owned(), bytes.to_string());
        }
        Ok(DatabaseSettings { kind: "SQLite", version, settings, figures, pools })
    }

    pub async fn tables(mut self) -> Result<Vec<TableSize>, Unshown> {
        let number = |row: &SqliteRow, column: &str| {
            let number: i64 = row.try_get_unchecked(column).unwrap_or_default();
            u64::try_from(number).unwrap_or_default()
        };
        let of = |row: &SqliteRow| TableSize {
            name: row.try_get_unchecked("name").unwrap_or_default(),
            rows: number(row, "row_count"),
            data_bytes: number(row, "data_bytes"),
            index_bytes: number(row, "index_bytes"),
        };
        Ok(self.ask(TABLES).await?.iter().map(of).collect())
    }
}

/// A number or a text as text.
fn first_column(row: &SqliteRow) -> String {
    row.try_get_unchecked(0).unwrap_or_default()
}

fn unavailable(error: sqlx::Error) -> Unshown {
    Unshown::Unavailable(format!("SQLite does not answer: {error}"))
}
