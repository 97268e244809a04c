//! What differs between databases, all of it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sea_orm::sqlx::mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlSslMode};
use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, ConnectOptions as _, Executor as _};
use sea_orm::{
    AccessMode, ConnectOptions, Database, DatabaseConnection, DbBackend, DbErr, IsolationLevel, RuntimeErr, SqlErr,
    SqliteTransactionMode, TransactionOptions,
};

use super::mysql_relay::{self, MysqlRelay};
use super::{Error, Result, sqlite_file};
use crate::config::{self, MysqlEndpoint};
use crate::lock::lock;

/// Statements that a connection keeps prepared. One about some hundred hosts takes SQLite 100 KB and more.
const STATEMENTS_KEPT: usize = 40;

/// How long a transaction waits for a connection. Callers that cannot wait so long, such as agents, give up earlier.
const WRITER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long anything waits for a connection to MySQL, a new one included.
const MYSQL_CONNECTION_TIMEOUT: Duration = Duration::from_secs(3);

/// Every connection to MySQL begins with this. The comments name what only MySQL and only MariaDB know. The server ends a
/// transaction whose node has vanished, which holds its rows until then: MariaDB after 15 s, MySQL after 20 min, longer than
/// connections of the pool are idle.
const MYSQL_SESSION: &str = "SET SESSION \
    sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO', \
    time_zone='+00:00', innodb_lock_wait_timeout=2, lock_wait_timeout=10 \
    /*!80000 , max_execution_time=30000, wait_timeout=1200 */ \
    /*M!100300 , idle_write_transaction_timeout=15 */ /*M!101100 , max_statement_time=30 */";
const MYSQL_ISOLATION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// Finds the variable that servers of a Galera cluster have, and MariaDB elsewhere as well, without effect.
const MYSQL_HAS_SYNC_WAIT: &str = "SHOW VARIABLES LIKE 'wsrep_sync_wait'";

/// Makes every statement on the connection wait until this server has what any of the cluster had committed before. Set
/// when the connection begins, because a server waits at the beginning of a transaction and never within one.
const MYSQL_SYNC_WAIT: &str = "SET SESSION wsrep_sync_wait=15";

/// Most connections for current readings. Few are in use at one time; more are there because one that falls silent in
/// use takes its place until the network gives it up.
const MAX_CURRENT: u32 = 4;

/// The same for a connection that changes tables, which may take hours.
const MYSQL_MIGRATION_SESSION: &str = "SET SESSION \
    sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO', \
    time_zone='+00:00', wait_timeout=86400, lock_wait_timeout=60";

/// The same for a question about the database itself, which gives up before the one who asks does. The time zone is that of
/// the server, in which InnoDB tells when transactions began.
const MYSQL_DIAGNOSE_SESSION: &str = "SET SESSION time_zone='SYSTEM', lock_wait_timeout=3, wait_timeout=30 \
    /*!80000 , max_execution_time=5000 */ /*M!101100 , max_statement_time=5 */";

/// What connections to SQLite are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SqliteUse {
    /// The one that writes.
    Write,
    Read,
    /// For one question of somebody who looks for a fault, beside the pools.
    Diagnose,
}

impl SqliteUse {
    fn connections(self, config: &config::Sqlite) -> u32 {
        match self {
            Self::Write | Self::Diagnose => 1,
            Self::Read => config.readers.max(1),
        }
    }

    /// A statement that changes many rows keeps the pages before it, to undo it; in memory, as SQLite would write each page
    /// to a file otherwise. Hosts check in at random, so nearly each row is on a page of its own: 8 MiB instead of 2 hold
    /// the rows of some thousand hosts.
    fn pragmas(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Write => &[("temp_store", "MEMORY"), ("cache_size", "-8192")],
            Self::Read | Self::Diagnose => &[],
        }
    }
}

/// Connects to the SQLite file. Every commit is flushed to the disk, because answers promise durability.
pub(super) async fn connect_sqlite(config: &config::Sqlite, usage: SqliteUse) -> Result<DatabaseConnection> {
    if let Some(folder) = config.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .map_err(|error| Error::Unavailable(format!("cannot make the folder {}: {error}", folder.display())))?;
    }
    sqlite_file::create_private(&config.path)?;
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rwc", config.path.display()));
    let busy_timeout = config.busy_timeout;
    options
        .max_connections(usage.connections(config))
        .min_connections(1)
        .acquire_timeout(WRITER_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |sqlite| {
            let sqlite = sqlite
                .statement_cache_capacity(STATEMENTS_KEPT)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(busy_timeout)
                .foreign_keys(false);
            usage.pragmas().iter().fold(sqlite, |sqlite, (key, value)| sqlite.pragma(*key, *value))
        });
    Ok(Database::connect(options).await?)
}

/// Opens a SQLite file that is there, for looking at it. With `is_at_rest`, when nobody has it open, no lock is taken and no file is
/// made beside it.
pub(super) async fn examine_sqlite(config: &config::Sqlite, is_at_rest: bool) -> Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(format!("sqlite://{}?mode=ro", config.path.display()));
    let busy_timeout = config.busy_timeout;
    options
        .max_connections(1)
        .acquire_timeout(WRITER_TIMEOUT)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |sqlite| sqlite.immutable(is_at_rest).busy_timeout(busy_timeout));
    Ok(Database::connect(options).await?)
}

/// What a connection to MySQL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ConnectionUse {
    Serve,
    /// As above, from a database that need not be there at the start.
    ReadLagging,
    /// For readings that show what any server of a cluster has committed.
    ReadCurrent,
    /// One connection that stays, without time limits: locks taken on it are kept.
    Migrate,
    /// One connection for looking at the server, beside the pools.
    Diagnose,
    /// One connection that stays, to a database of another product.
    ReadForeign,
}

impl ConnectionUse {
    /// Whether there is one connection, which stays.
    fn is_one(self) -> bool {
        matches!(self, Self::Migrate | Self::ReadForeign)
    }

    /// Where the settings are, as errors name them.
    fn section(self) -> &'static str {
        match self {
            Self::ReadLagging => config::MysqlReadReplica::NAME,
            Self::ReadForeign => "source",
            Self::Serve | Self::ReadCurrent | Self::Migrate | Self::Diagnose => "mysql",
        }
    }
}

/// Connects to MySQL or MariaDB. Connections that `trust` does not trust any more are replaced.
pub(super) async fn connect_mysql(
    config: &config::Mysql,
    usage: ConnectionUse,
    trust: &Arc<ConnectionTrust>,
) -> Result<DatabaseConnection> {
    let password = config.password().map_err(Error::Unavailable)?;
    let endpoint = config.endpoint().map_err(Error::Unavailable)?;
    let mut options = ConnectOptions::new("mysql://localhost");
    let is_lean = config.max_idle_conns < config.max_open_conns;
    let lifetime = Some(config.conn_max_lifetime.0).filter(|lifetime| !lifetime.is_zero());
    let is_lazy = matches!(usage, ConnectionUse::ReadLagging | ConnectionUse::ReadCurrent);
    let connections = match usage {
        ConnectionUse::Migrate | ConnectionUse::Diagnose | ConnectionUse::ReadForeign => 1,
        ConnectionUse::ReadCurrent => config.max_open_conns.clamp(1, MAX_CURRENT),
        ConnectionUse::Serve | ConnectionUse::ReadLagging => config.max_open_conns.max(1),
    };
    options
        .max_connections(connections)
        .min_connections(u32::from(!is_lazy))
        .acquire_timeout(MYSQL_CONNECTION_TIMEOUT)
        .idle_timeout((!usage.is_one()).then(|| Duration::from_secs(if is_lean { 60 } else { 600 })))
        .max_lifetime(lifetime.filter(|_| !usage.is_one()))
        .sqlx_logging(false);
    options.connect_lazy(is_lazy);
    let relay = MysqlRelay::start(config, endpoint.clone(), usage.section(), connections)?;
    let server = mysql_server(config, endpoint, password.reveal(), relay.as_ref());
    let alone = server.clone();
    options.map_sqlx_mysql_opts(move |_| server.clone().disable_statement_logging());
    options.map_sqlx_mysql_pool_opts(move |pool| {
        pool.after_connect(move |connection, _| {
            Box::pin(async move {
                let session = match usage {
                    ConnectionUse::Migrate | ConnectionUse::ReadForeign => MYSQL_MIGRATION_SESSION,
                    ConnectionUse::Diagnose => MYSQL_DIAGNOSE_SESSION,
                    ConnectionUse::Serve | ConnectionUse::ReadLagging | ConnectionUse::ReadCurrent => MYSQL_SESSION,
                };
                connection.execute(session).await?;
                connection.execute(MYSQL_ISOLATION).await?;
                if usage == ConnectionUse::ReadCurrent
                    && connection.fetch_optional(MYSQL_HAS_SYNC_WAIT).await?.is_some()
                {
                    connection.execute(MYSQL_SYNC_WAIT).await?;
                }
                Ok(())
            })
        })
    });
    let trust = Arc::clone(trust);
    options.map_sqlx_mysql_before_acquire(move |_, met| {
        let is_trusted = trust.covers(met.age);
        Box::pin(async move { Ok(is_trusted) })
    });
    let db = match Database::connect(options).await {
        Ok(connected) => connected,
        Err(error) => return Err(refusal_of(alone).await.unwrap_or(error).into()),
    };
    if let Some(relay) = relay {
        relay.end_with(db.get_mysql_connection_pool());
    }
    Ok(db)
}

/// Why a connection fails. A pool tries until its time is over and then names only that.
async fn refusal_of(server: MySqlConnectOptions) -> Option<DbErr> {
    let outcome = tokio::time::timeout(MYSQL_CONNECTION_TIMEOUT, server.connect()).await.ok()?;
    outcome.err().map(|error| DbErr::Conn(RuntimeErr::SqlxError(error.into())))
}

/// Where and how the driver logs in: through the relay if there is one, which knows the way to the server.
fn mysql_server(
    config: &config::Mysql,
    endpoint: MysqlEndpoint,
    password: &str,
    relay: Option<&MysqlRelay>,
) -> MySqlConnectOptions {
    let server = MySqlConnectOptions::new()
        .username(&config.username)
        .database(&config.database)
        // Servers keep 16,382 prepared statements for everybody.
        .statement_cache_capacity(STATEMENTS_KEPT)
        .charset("utf8mb4")
        .collation("utf8mb4_bin")
        .timezone(None)
        .pipes_as_concat(false)
        .no_engine_substitution(false);
    let server = match (relay, endpoint) {
        (Some(relay), _) => {
            let mode = if relay.is_encrypted() { MySqlSslMode::Required } else { MySqlSslMode::Disabled };
            server.socket(relay.socket()).ssl_mode(mode)
        }
        (None, MysqlEndpoint::Socket(path)) => server.socket(path).ssl_mode(MySqlSslMode::Disabled),
        (None, MysqlEndpoint::Tcp { host, port }) => server.host(&host).port(port).ssl_mode(MySqlSslMode::Disabled),
    };
    // The driver would prove that it knows an empty one, which users without any are refused for.
    if password.is_empty() { server } else { server.password(password) }
}

/// Which connections may be used: none that is older than the last sign that its server takes no writes any more, as
/// after a failover, so that the next ones find the server that does.
#[derive(Debug, Default)]
pub(super) struct ConnectionTrust(Mutex<Option<Instant>>);

impl ConnectionTrust {
    pub fn withdraw(&self) {
        *lock(&self.0) = Some(Instant::now());
    }

    fn covers(&self, age: Duration) -> bool {
        lock(&self.0).is_none_or(|withdrawn| withdrawn.elapsed() > age)
    }
}

/// What the kind of the database is called, and the SQL that gives its version.
pub(super) fn version(database: DbBackend) -> (&'static str, &'static str) {
    match database {
        DbBackend::MySql => ("MySQL or MariaDB", "SELECT CAST(VERSION() AS CHAR) AS version"),
        _ => ("SQLite", "SELECT sqlite_version() AS version"),
    }
}

/// A transaction that is going to write says so at its start: a reader that turns writer fails at once on SQLite.
pub(super) fn write_options() -> TransactionOptions {
    TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..Default::default() }
}

/// As [`write_options`], for a transaction whose plain readings also show what others have not committed yet. With SQLite,
/// nobody else writes meanwhile.
pub(super) fn write_beside_options(database: DbBackend) -> TransactionOptions {
    let isolation_level = (database == DbBackend::MySql).then_some(IsolationLevel::ReadUncommitted);
    TransactionOptions { isolation_level, ..write_options() }
}

/// A transaction whose readings fit together. Those of SQLite always do, and it knows no levels of isolation.
pub(super) fn snapshot_options(database: DbBackend) -> TransactionOptions {
    let isolation_level = (database == DbBackend::MySql).then_some(IsolationLevel::RepeatableRead);
    TransactionOptions { isolation_level, ..Default::default() }
}

/// A transaction on MySQL that cannot write, and whose readings fit together.
pub(super) fn read_only_options() -> TransactionOptions {
    TransactionOptions { access_mode: Some(AccessMode::ReadOnly), ..snapshot_options(DbBackend::MySql) }
}

/// What a failed statement means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// A value that must be unique is there already; who has looked before has lost a race.
    Duplicate,
    /// Another transaction was first, and trying again may help.
    LostRace,
    /// Another transaction holds a row; it has been waited for in vain.
    LockWait,
    /// A SQLite file is held by another process. It has been waited for already, by the busy time-out.
    Busy,
    /// The server takes no writes.
    ReadOnly,
    Unavailable,
}

/// SQLite's code for a file that another connection holds.
const SQLITE_BUSY: i32 = 5;

/// Tells what a failure means, if it means anything that callers act on.
pub(super) fn failure(error: &DbErr) -> Option<Failure> {
    if let Some(SqlErr::UniqueConstraintViolation(_)) = error.sql_err() {
        return Some(Failure::Duplicate);
    }
    match error {
        DbErr::ConnectionAcquire(_) => Some(Failure::Unavailable),
        // The row was there a moment ago, in this very transaction.
        DbErr::RecordNotUpdated => Some(Failure::LostRace),
        DbErr::Exec(RuntimeErr::SqlxError(cause))
        | DbErr::Query(RuntimeErr::SqlxError(cause))
        | DbErr::Conn(RuntimeErr::SqlxError(cause)) => match cause.as_ref() {
            sqlx::Error::Database(database) => match database.try_downcast_ref::<MySqlDatabaseError>() {
                Some(mysql) => mysql_failure(mysql.number()),
                None => database
                    .code()
                    .and_then(|code| code.parse::<i32>().ok())
                    .is_some_and(|code| code & 0xff == SQLITE_BUSY)
                    .then_some(Failure::Busy),
            }
            .or(matches!(error, DbErr::Conn(_)).then_some(Failure::Unavailable)),
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::Protocol(_)
            | sqlx::Error::WorkerCrashed => Some(Failure::Unavailable),
            _ => matches!(error, DbErr::Conn(_)).then_some(Failure::Unavailable),
        },
        DbErr::Conn(_) => Some(Failure::Unavailable),
        _ => None,
    }
}

fn mysql_failure(number: u16) -> Option<Failure> {
    match number {
        // Deadlock; changed since it was read.
        1213 | 1020 => Some(Failure::LostRace),
        1205 => Some(Failure::LockWait),
        // read_only and its kin; InnoDB in read-only mode.
        1290 | 1836 => Some(Failure::ReadOnly),
        // The relay cannot connect to the server, or does not trust it.
        mysql_relay::CANNOT_CONNECT | mysql_relay::TLS_FAILED => Some(Failure::Unavailable),
        // Too many connections, of all, of this user, in an hour; shutting down; killed; interrupted; out of time, on
        // MariaDB and on MySQL; out of memory, disk and table space.
        1040 | 1203 | 1226 | 1053 | 1927 | 1317 | 1969 | 3024 | 1037 | 1041 | 1021 | 1114 => Some(Failure::Unavailable),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_relay_tells_why_there_is_no_connection_and_ends_with_the_pool() {
        let config = config::Mysql {
            // Nothing listens there.
            address: "127.0.0.1:1".to_owned(),
            tls_config: "skip-verify".to_owned(),
            ..config::Mysql::default()
        };
        for is_closed in [true, false] {
            let db = connect_mysql(&config, ConnectionUse::ReadLagging, &Arc::default()).await.unwrap();
            let socket = db.get_mysql_connection_pool().connect_options().get_socket().cloned().unwrap();
            assert!(socket.exists());
            let error = Error::from(db.ping().await.unwrap_err());
            assert!(matches!(&error, Error::Unavailable(why) if why.contains("2003")), "{error:?}");
            let reason = error.to_string();
            assert!(reason.contains("127.0.0.1:1 (mysql_read_replica.address): Connection refused"), "{reason}");
            if is_closed {
                db.close_by_ref().await.unwrap();
            }
            let pool = is_closed.then(|| db.clone());
            drop(db);
            let gone = async {
                while socket.parent().unwrap().exists() {
                    tokio::task::yield_now().await;
                }
            };
            timeout(Duration::from_secs(10), gone).await.expect("the folder of the socket is removed");
            drop(pool);
        }
    }
}
