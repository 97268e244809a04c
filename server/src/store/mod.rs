//! The database: one file per aggregate, functions that run inside and outside transactions alike.

pub mod activities;
mod dialect;
pub mod entity;
mod error;
pub mod feed;
pub mod generations;
pub mod hosts;
pub mod labels;
pub mod live_queries;
pub mod node_keys;
pub mod packs;
pub mod parked_queries;
pub mod queries;
pub mod replicas;
pub mod reports;
pub mod scheduled;
pub mod secrets;
pub mod settings;
pub mod users;

use std::time::Duration;

use muster_migrations::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, TransactionTrait};

pub use error::{Error, Result, WriteError};

use crate::config;

/// How often a transaction is tried when the database says that it lost a race.
const WRITE_ATTEMPTS: u32 = 5;

/// Bind parameters a statement may have: SQLite allows 32,766.
pub(crate) const MAX_PARAMETERS: usize = 30_000;

/// The open database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    readers: DatabaseConnection,
    writer: DatabaseConnection,
}

impl Store {
    /// Opens the embedded database, making the file when it is not there.
    ///
    /// # Errors
    /// [`Error`] when the file cannot be opened.
    pub async fn open_sqlite(config: &config::Sqlite) -> Result<Self> {
        let writer = dialect::connect_sqlite(config, 1).await?;
        let readers = dialect::connect_sqlite(config, config.readers.max(1)).await?;
        Ok(Self { readers, writer })
    }

    /// Brings the schema up to date. On a current schema it changes nothing.
    ///
    /// # Errors
    /// [`Error`] when a step fails; running it again continues there.
    pub async fn migrate(&self) -> Result<()> {
        Migrator::up(&self.writer, None).await.map_err(Error::from)
    }

    /// For reading. What was written before is seen.
    pub fn reader(&self) -> &DatabaseConnection {
        &self.readers
    }

    /// For several readings that must fit together: they all see the database as it is at the first of them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn snapshot(&self) -> Result<DatabaseTransaction> {
        Ok(self.readers.begin().await?)
    }

    /// Runs `change` in a transaction: all of it or nothing. Lost races are retried a bounded number of times, so
    /// `change` may run more than once and must not do anything but talk to the database.
    ///
    /// # Errors
    /// What `change` says, or that the database is busy or gone.
    pub async fn write<T, F>(&self, change: F) -> Result<T>
    where
        F: AsyncFn(&DatabaseTransaction) -> Result<T>,
    {
        self.write_with(change).await
    }

    /// As [`Store::write`], for a change that can also fail for reasons of its own.
    ///
    /// # Errors
    /// What `change` says, or that the database is busy or gone.
    pub async fn write_with<T, E, F>(&self, change: F) -> std::result::Result<T, E>
    where
        F: AsyncFn(&DatabaseTransaction) -> std::result::Result<T, E>,
        E: WriteError,
    {
        let mut attempt = 1;
        loop {
            match self.write_once(&change).await {
                Err(error) if error.is_lost_race() && attempt < WRITE_ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(5 << attempt)).await;
                    attempt += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn write_once<T, E, F>(&self, change: &F) -> std::result::Result<T, E>
    where
        F: AsyncFn(&DatabaseTransaction) -> std::result::Result<T, E>,
        E: WriteError,
    {
        let tx = self.writer.begin_with_options(dialect::write_options()).await.map_err(Error::from)?;
        match change(&tx).await {
            Ok(value) => {
                tx.commit().await.map_err(Error::from)?;
                Ok(value)
            }
            Err(error) => {
                // A failed rollback is told by the next statement on the connection; the first error matters more.
                let _ = tx.rollback().await;
                Err(error)
            }
        }
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`Error`] when it does not.
    pub async fn ping(&self) -> Result<()> {
        self.readers.execute_unprepared("SELECT 1").await?;
        Ok(())
    }

    /// Closes all connections.
    pub async fn close(&self) {
        for connection in [&self.readers, &self.writer] {
            if let Err(error) = connection.close_by_ref().await {
                tracing::warn!(error = %error, "the database did not close cleanly");
            }
        }
    }
}
