//! The database: one file per aggregate, functions that run inside and outside transactions alike.

pub mod activities;
mod bulk;
pub mod carve_requests;
pub mod carves;
pub mod case;
mod case_twins;
pub mod diagnostics;
mod dialect;
pub mod directory;
pub mod enrollments;
pub mod entity;
mod error;
mod examination;
pub mod feed;
pub mod generations;
pub mod guard_approvals;
pub mod host_lists;
pub mod hosts;
pub mod import_fleet;
pub mod labels;
pub mod live_queries;
pub mod log_batches;
mod migrate_data;
mod migrations;
mod mysql_relay;
pub mod named;
pub mod node_keys;
pub mod nodes;
pub mod object_changes;
mod observed;
pub mod packs;
pub mod parked_queries;
pub mod plans;
mod pools;
pub mod pulse;
pub mod queries;
mod read_replica;
pub mod reports;
pub mod rollouts;
pub mod scheduled;
pub mod schema;
pub mod secrets;
pub mod seen_pages;
pub mod settings;
mod sqlite_file;
pub mod statistics;
mod tx;
pub mod users;
mod word;

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, Statement};

pub use case_twins::case_twins;
pub use error::{Error, Result, WriteError};
pub use examination::{DatabaseFacts, EmbeddedDatabase, examine_mysql, examine_sqlite};
pub use migrate_data::{Copied, migrate_data};
pub use migrations::{Migrations, migrations, prepare_mysql};
pub use observed::{Connection, Observed};
pub use tx::{StoreCounters, Tx};
pub use word::UnknownWord;

use self::dialect::{ConnectionTrust, ConnectionUse, SqliteUse};
use self::read_replica::ReadReplica;
use crate::config;

/// How often a transaction is tried when the database says that it lost a race.
const WRITE_ATTEMPTS: u32 = 5;

/// Bind parameters a statement may have: SQLite allows 32,766.
pub(crate) const MAX_PARAMETERS: usize = 30_000;

/// The open database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    readers: Connection,
    writer: Connection,
    current: Connection,
    read_replica: Option<Arc<ReadReplica>>,
    trust: Arc<ConnectionTrust>,
    counters: StoreCounters,
}

impl Store {
    /// Opens the embedded database, making the file when it is not there.
    ///
    /// # Errors
    /// [`Error`] when the file cannot be opened.
    pub async fn open_sqlite(config: &config::Sqlite, counters: StoreCounters) -> Result<Self> {
        let writer = dialect::connect_sqlite(config, SqliteUse::Write).await?;
        let readers = dialect::connect_sqlite(config, SqliteUse::Read).await?;
        Ok(Self::on([readers.clone(), writer, readers], Arc::default(), counters))
    }

    /// Connects to MySQL or MariaDB.
    ///
    /// # Errors
    /// [`Error`] when it cannot be reached or does not let this user in.
    pub async fn open_mysql(config: &config::Mysql, counters: StoreCounters) -> Result<Self> {
        let trust = Arc::default();
        let pool = dialect::connect_mysql(config, ConnectionUse::Serve, &trust).await?;
        let current = dialect::connect_mysql(config, ConnectionUse::ReadCurrent, &trust).await?;
        Ok(Self::on([pool.clone(), pool, current], trust, counters))
    }

    /// Reads what may be some seconds old from this read replica. It need not be there yet.
    ///
    /// # Errors
    /// [`Error`] when its settings cannot be used.
    pub async fn with_read_replica(mut self, config: &config::Mysql) -> Result<Self> {
        self.read_replica = Some(Arc::new(ReadReplica::open(config, &self.counters).await?));
        Ok(self)
    }

    /// On connections for reading, for writing, and for current readings.
    fn on(mut connections: [DatabaseConnection; 3], trust: Arc<ConnectionTrust>, counters: StoreCounters) -> Self {
        for (connection, usage) in connections.iter_mut().zip(["read", "write", "current"]) {
            counters.count_on(connection, usage);
        }
        let [readers, writer, current] = connections.map(Observed::new);
        Self { readers, writer, current, read_replica: None, trust, counters }
    }

    /// For reading. What was written before is seen.
    pub fn reader(&self) -> &Connection {
        &self.readers
    }

    /// Whether [`Store::reader`] shows every commit of every node at once. A MySQL address may be that of a proxy which
    /// reads from replicas, or of one server of a cluster.
    pub fn shows_every_commit(&self) -> bool {
        self.readers.get_database_backend() == DbBackend::Sqlite
    }

    /// For a locking reading of one statement, which shows what any node had committed when it began.
    pub fn current(&self) -> &Connection {
        &self.current
    }

    /// For a reading that may show how things were some seconds ago: from the read replica, if there is one that answers. What
    /// decides anything must not be read so.
    ///
    /// # Errors
    /// What the reading itself says of the database.
    pub async fn read_lagging<T>(&self, read: impl AsyncFn(&Connection) -> Result<T>) -> Result<T> {
        if let Some(replica) = &self.read_replica
            && let Some(found) = replica.read(&read).await
        {
            return Ok(found);
        }
        read(&self.readers).await
    }

    /// For several readings that must fit together: they all see the database as it is at the first of them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn snapshot(&self) -> Result<Observed<DatabaseTransaction>> {
        let options = dialect::snapshot_options(self.readers.get_database_backend());
        Ok(Observed::new(self.readers.begin(options).await?))
    }

    /// Runs `change` in a transaction: all of it or nothing. Lost races are retried a bounded number of times, so
    /// `change` may run more than once and must not do anything but talk to the database.
    ///
    /// # Errors
    /// What `change` says, or that the database is busy or gone.
    pub async fn write<T, F>(&self, change: F) -> Result<T>
    where
        F: AsyncFn(&Tx) -> Result<T>,
    {
        self.write_in(HeldRows::Await, change).await
    }

    /// As [`Store::write`], for a change that does not wait for rows which others hold: its plain readings also show rows that
    /// are not committed yet, so that it finds them locked instead of adding them a second time. If it has to wait all the
    /// same, and in vain, it is not tried again: what others hold for so long they may hold for longer.
    ///
    /// # Errors
    /// As there.
    pub async fn write_beside<T, F>(&self, change: F) -> Result<T>
    where
        F: AsyncFn(&Tx) -> Result<T>,
    {
        self.write_in(HeldRows::LeaveOut, change).await
    }

    /// As [`Store::write`], for a change that can also fail for reasons of its own.
    ///
    /// # Errors
    /// What `change` says, or that the database is busy or gone.
    pub async fn write_with<T, E, F>(&self, change: F) -> std::result::Result<T, E>
    where
        F: AsyncFn(&Tx) -> std::result::Result<T, E>,
        E: WriteError,
    {
        self.write_in(HeldRows::Await, change).await
    }

    /// As [`Store::write_beside`], for a change that can also fail for reasons of its own.
    ///
    /// # Errors
    /// As for [`Store::write_with`].
    pub async fn write_with_beside<T, E, F>(&self, change: F) -> std::result::Result<T, E>
    where
        F: AsyncFn(&Tx) -> std::result::Result<T, E>,
        E: WriteError,
    {
        self.write_in(HeldRows::LeaveOut, change).await
    }

    async fn write_in<T, E, F>(&self, held: HeldRows, change: F) -> std::result::Result<T, E>
    where
        F: AsyncFn(&Tx) -> std::result::Result<T, E>,
        E: WriteError,
    {
        let mut attempt = 1;
        loop {
            match self.write_once(held, &change).await {
                Err(Tried::Lost(_)) if attempt < WRITE_ATTEMPTS => {
                    self.counters.retries.inc();
                    // Jitter parts those that have met; it grows, because they may be many.
                    let longest_ms = 10 << attempt;
                    observed::pause(Duration::from_millis(rand::random_range(1..=longest_ms))).await;
                    attempt += 1;
                }
                Err(Tried::Lost(error) | Tried::Failed(error)) => return Err(error),
                Ok(value) => return Ok(value),
            }
        }
    }

    async fn write_once<T, E, F>(&self, held: HeldRows, change: &F) -> std::result::Result<T, Tried<E>>
    where
        F: AsyncFn(&Tx) -> std::result::Result<T, E>,
        E: WriteError,
    {
        let options = match held {
            HeldRows::Await => dialect::write_options(),
            HeldRows::LeaveOut => dialect::write_beside_options(self.writer.get_database_backend()),
        };
        let begun = self.writer.begin(options).await;
        let tx = Tx::new(begun.map_err(|error| Tried::of(Error::from(error).into(), false))?, Arc::clone(&self.trust));
        match change(&tx).await {
            Ok(value) => {
                let rows = tx.commit().await.map_err(|error| Tried::of(Error::from(error).into(), false))?;
                self.counters.rows_written.inc_by(rows);
                Ok(value)
            }
            Err(error) => {
                let has_lost_race = tx.has_lost_race() || (tx.has_waited() && held == HeldRows::Await);
                // A failed rollback is told by the next statement on the connection; the first error matters more.
                let _ = tx.rollback().await;
                Err(Tried::of(error, has_lost_race))
            }
        }
    }

    /// Whether the database answers with what is stored.
    ///
    /// # Errors
    /// [`Error`] when it does not.
    pub async fn ping(&self) -> Result<()> {
        generations::current(&self.readers, generations::SCHEDULE).await.map(drop)
    }

    /// Stops using the connections to MySQL that were opened until now. One that a thread of the server has opened is dead
    /// once that thread has ended.
    pub fn renew_connections(&self) {
        self.trust.withdraw();
    }

    /// Closes all connections.
    pub async fn close(&self) {
        let read_replica = self.read_replica.iter().map(|replica| replica.connection());
        for connection in [&self.readers, &self.writer, &self.current].into_iter().chain(read_replica) {
            if let Err(error) = connection.inner().close_by_ref().await {
                tracing::warn!(error = %error, "the database did not close cleanly");
            }
        }
    }
}

/// Kind and version of the database.
pub async fn version(db: &impl ConnectionTrait) -> Result<String> {
    let (kind, sql) = dialect::version(db.get_database_backend());
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    let version: Option<String> = row.map(|row| row.try_get("", "version")).transpose()?;
    Ok(format!("{kind} {}", version.unwrap_or_default()))
}

/// What a transaction does about rows that others hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeldRows {
    Await,
    LeaveOut,
}

/// Why a transaction was not committed.
enum Tried<E> {
    /// Trying again may help.
    Lost(E),
    Failed(E),
}

impl<E: WriteError> Tried<E> {
    fn of(error: E, has_lost_race: bool) -> Self {
        if has_lost_race || error.is_lost_race() { Self::Lost(error) } else { Self::Failed(error) }
    }
}
