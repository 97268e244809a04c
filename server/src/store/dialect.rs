//! What differs between databases, all of it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::{ConnectOptions, Database, DatabaseConnection, SqliteTransactionMode, TransactionOptions};

use super::{Error, Result};
use crate::config;

/// How long a change waits for its turn behind others. Who cannot wait so long, as agents cannot, gives up by itself.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to the SQLite file. Every commit is flushed to the disk, because answers promise durability.
pub(super) async fn connect_sqlite(config: &config::Sqlite, connections: u32) -> Result<DatabaseConnection> {
    if let Some(folder) = config.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .map_err(|error| Error::Unavailable(format!("cannot make the folder {}: {error}", folder.display())))?;
    }
    make_private(&config.path)?;
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rwc", config.path.display()));
    let busy_timeout = config.busy_timeout;
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(TURN_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |sqlite| {
            sqlite
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(busy_timeout)
                .foreign_keys(false)
        });
    Ok(Database::connect(options).await?)
}

/// Makes the file for its owner alone: it holds enroll secrets. What SQLite puts beside it follows its mode.
fn make_private(path: &Path) -> Result<()> {
    let made = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    made.map(drop).map_err(|error| Error::Unavailable(format!("cannot open {}: {error}", path.display())))
}

/// A transaction that is going to write says so at its start: a reader that turns writer fails at once on SQLite.
pub(super) fn write_options() -> TransactionOptions {
    TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..Default::default() }
}

/// SQLite's code for a file that another connection holds.
pub(super) const SQLITE_BUSY: i32 = 5;
