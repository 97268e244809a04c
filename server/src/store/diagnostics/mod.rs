//! What the database says of itself, for those who look for a fault. Each question has a connection of its own and
//! [`DEADLINE`], so that it is answered while all connections of the pools are in use. Values in statements and in records
//! stay inside: what holds them gives out nothing else (`redact`, [`InnodbStatus`]).

mod ask_mysql;
mod ask_sqlite;
mod figures;
mod innodb_status;
mod mariadb;
mod mysql;
mod redact;

use std::sync::Arc;
use std::time::Duration;

use sea_orm::DatabaseConnection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::ask_mysql::MysqlSession;
use self::ask_sqlite::SqliteSession;
pub use self::figures::{DatabaseProcess, DatabaseSettings, LockWait, StatementDigest, TableSize};
pub use self::innodb_status::InnodbStatus;
use super::dialect::{self, ConnectionUse, SqliteUse};
use super::{Result, Store};
use crate::config::{self, Config};

/// Longest time for an answer, the connection included.
const DEADLINE: Duration = Duration::from_secs(5);

/// Most connections for questions at one time; further questions wait.
const MAX_CONNECTIONS: usize = 4;

/// Why something is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unshown {
    /// This database, as it is set up, does not show it; asking again does not help.
    #[error("{0}")]
    NotHere(String),
    /// The database does not answer.
    #[error("{0}")]
    Unavailable(String),
}

/// The database as somebody who looks for a fault sees it.
#[derive(Debug)]
pub struct DatabaseDiagnostics {
    mysql: Option<config::Mysql>,
    sqlite: config::Sqlite,
    store: Store,
    connections: Arc<Semaphore>,
}

/// A connection for one question, which counts until it is dropped.
#[derive(Debug)]
pub struct DiagnosisConnection {
    db: DatabaseConnection,
    _permit: Option<OwnedSemaphorePermit>,
}

impl std::ops::Deref for DiagnosisConnection {
    type Target = DatabaseConnection;

    fn deref(&self) -> &DatabaseConnection {
        &self.db
    }
}

impl DatabaseDiagnostics {
    pub fn new(config: &Config, store: Store) -> Self {
        let mysql = config.mysql.is_on().then(|| config.mysql.clone());
        Self { mysql, sqlite: config.sqlite.clone(), store, connections: Arc::new(Semaphore::new(MAX_CONNECTIONS)) }
    }

    /// A connection of one's own. It ends when it is dropped.
    ///
    /// # Errors
    /// When there is none within five seconds, with the reason.
    pub async fn connect(&self) -> std::result::Result<DiagnosisConnection, Unshown> {
        within_deadline(async { self.open().await.map_err(|error| Unshown::Unavailable(error.to_string())) }).await
    }

    async fn open(&self) -> Result<DiagnosisConnection> {
        // Nobody closes the semaphore.
        let permit = Arc::clone(&self.connections).acquire_owned().await.ok();
        let db = match &self.mysql {
            Some(mysql) => Box::pin(dialect::connect_mysql(mysql, ConnectionUse::Diagnose, &Arc::default())).await?,
            None => Box::pin(dialect::connect_sqlite(&self.sqlite, SqliteUse::Diagnose)).await?,
        };
        Ok(DiagnosisConnection { db, _permit: permit })
    }

    /// Statements that wait for row locks, those that have waited longest first; at most 500.
    ///
    /// # Errors
    /// With SQLite, which has one lock; without the privilege; or when the database does not answer.
    pub async fn locks(&self) -> std::result::Result<Vec<LockWait>, Unshown> {
        within_deadline(async { MysqlSession::open(self).await?.locks().await }).await
    }

    /// What InnoDB tells of itself.
    ///
    /// # Errors
    /// As for [`DatabaseDiagnostics::locks`].
    pub async fn innodb_status(&self) -> std::result::Result<InnodbStatus, Unshown> {
        within_deadline(async { MysqlSession::open(self).await?.innodb_status().await }).await
    }

    /// Connections and what they do, busy ones first; at most 1,000. Without the privilege PROCESS, those of this user.
    ///
    /// # Errors
    /// With SQLite, or when the database does not answer.
    pub async fn processes(&self) -> std::result::Result<Vec<DatabaseProcess>, Unshown> {
        within_deadline(async { MysqlSession::open(self).await?.processes().await }).await
    }

    /// The 50 kinds of statements that have taken most time.
    ///
    /// # Errors
    /// As for [`DatabaseDiagnostics::locks`], and if the database does not keep count of statements.
    pub async fn statements(&self) -> std::result::Result<Vec<StatementDigest>, Unshown> {
        within_deadline(async { MysqlSession::open(self).await?.statements().await }).await
    }

    /// Version, settings and figures of the database, and this node's pools.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn settings(&self) -> std::result::Result<DatabaseSettings, Unshown> {
        let pools = self.store.connection_pools();
        within_deadline(async {
            match &self.mysql {
                Some(_) => MysqlSession::open(self).await?.settings(pools).await,
                None => SqliteSession::open(self).await?.settings(&self.sqlite, pools).await,
            }
        })
        .await
    }

    /// Tables by size; at most 1,000. SQLite looks through the whole file for it.
    ///
    /// # Errors
    /// When the database does not answer in time.
    pub async fn tables(&self) -> std::result::Result<Vec<TableSize>, Unshown> {
        within_deadline(async {
            match &self.mysql {
                Some(_) => MysqlSession::open(self).await?.tables().await,
                None => SqliteSession::open(self).await?.tables().await,
            }
        })
        .await
    }
}

async fn within_deadline<T>(
    work: impl Future<Output = std::result::Result<T, Unshown>>,
) -> std::result::Result<T, Unshown> {
    let late = || Unshown::Unavailable(format!("the database has not answered within {} s", DEADLINE.as_secs()));
    tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| Err(late()))
}
