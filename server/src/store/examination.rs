//! What a database says of itself, for those who look for the cause of a trouble. Nothing is changed and no file is made.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use super::dialect::{self, ConnectionUse};
use super::migrations::{self, Migrations};
use super::sqlite_file::{self, SqliteState};
use super::{Error, Result, secrets};
use crate::clock::{Clock, Moment};
use crate::config;

/// Statements of which the median latency is taken.
const ROUND_TRIPS: usize = 20;

/// Time for looking whether SQLite's file is whole; large files take longer, and are then not looked at to the end.
const WHOLE_WITHIN: Duration = Duration::from_secs(5);

/// Fewest characters of an enroll secret that nobody guesses.
const LONG_SECRET: usize = 16;

const MYSQL_SETTINGS: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('max_connections', 'max_user_connections', \
     'innodb_buffer_pool_size', 'innodb_flush_log_at_trx_commit', 'sync_binlog', 'log_bin', 'wait_timeout', 'max_allowed_packet', \
     'read_only', 'super_read_only')";

/// MySQL 8 and MariaDB from 11.1 on have the second name.
const MYSQL_ISOLATION: &str = "SHOW SESSION VARIABLES WHERE Variable_name IN ('tx_isolation', 'transaction_isolation')";

const MYSQL_CHARACTERS: &str = "SELECT CAST(default_character_set_name AS CHAR), CAST(default_collation_name AS CHAR) \
     FROM information_schema.schemata WHERE schema_name = DATABASE()";

/// A database at one moment.
#[derive(Debug, Clone)]
pub struct DatabaseFacts {
    pub version: String,
    /// Median time of a statement that reads nothing.
    pub latency: Duration,
    /// By how many microseconds its clock is ahead of this machine's, if it has one of its own.
    pub ahead_micros: Option<i64>,
    pub migrations: Migrations,
    /// Whether `muster migrate-data` has begun to fill it and not ended.
    pub is_half_filled: bool,
    /// Settings by their names in the database.
    pub settings: BTreeMap<String, String>,
    /// Names of enroll secrets that are short enough to guess.
    pub short_secrets: Vec<String>,
}

/// The SQLite file, as far as it can be looked at.
#[derive(Debug, Clone)]
pub enum EmbeddedDatabase {
    /// The first start makes it.
    Missing,
    /// A log lies beside it that a start has to take in first.
    Unrecovered,
    AtRest(DatabaseFacts),
    InUse(DatabaseFacts),
}

/// Looks at MySQL or MariaDB over one connection.
///
/// # Errors
/// When it cannot be reached or does not let this user in, with the reason.
pub async fn examine_mysql(config: &config::Mysql, clock: &Clock) -> Result<DatabaseFacts> {
    let db = dialect::connect_mysql(config, ConnectionUse::Diagnose, &Default::default()).await?;
    let mut settings = BTreeMap::new();
    for sql in [MYSQL_SETTINGS, MYSQL_ISOLATION] {
        for row in db.query_all_raw(Statement::from_string(DbBackend::MySql, sql)).await? {
            let name = row.try_get_by_index::<String>(0)?.to_lowercase();
            let name = if name == "tx_isolation" { "transaction_isolation".to_owned() } else { name };
            settings.insert(name, row.try_get_by_index(1)?);
        }
    }
    if let Some(row) = db.query_one_raw(Statement::from_string(DbBackend::MySql, MYSQL_CHARACTERS)).await? {
        settings.insert("character_set".to_owned(), row.try_get_by_index(0)?);
        settings.insert("collation".to_owned(), row.try_get_by_index(1)?);
    }
    let (asked, start) = (clock.now(), Instant::now());
    let sql = "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)";
    let row = db.query_one_raw(Statement::from_string(DbBackend::MySql, sql)).await?;
    let theirs: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose()?;
    let ours = asked.plus(start.elapsed() / 2);
    let facts = facts(&db, settings, theirs.map(|theirs| ahead(Moment(theirs), ours))).await?;
    db.close().await?;
    Ok(facts)
}

fn ahead(theirs: Moment, ours: Moment) -> i64 {
    theirs.0.saturating_sub(ours.0)
}

/// Looks at the SQLite file; also while a server uses it.
///
/// # Errors
/// When it cannot be read, or a server has started meanwhile.
pub async fn examine_sqlite(config: &config::Sqlite) -> Result<EmbeddedDatabase> {
    let state = sqlite_file::state(&config.path);
    let is_at_rest = match state {
        SqliteState::Missing => return Ok(EmbeddedDatabase::Missing),
        SqliteState::Unrecovered => return Ok(EmbeddedDatabase::Unrecovered),
        SqliteState::AtRest => true,
        SqliteState::InUse => false,
    };
    let outcome = read_sqlite(config, is_at_rest).await;
    // Without locks, what was read while a server wrote means nothing.
    if is_at_rest && sqlite_file::state(&config.path) != state {
        return Err(Error::Unavailable("a server has started meanwhile; look again".to_owned()));
    }
    let facts = outcome?;
    Ok(if is_at_rest { EmbeddedDatabase::AtRest(facts) } else { EmbeddedDatabase::InUse(facts) })
}

async fn read_sqlite(config: &config::Sqlite, is_at_rest: bool) -> Result<DatabaseFacts> {
    let db = dialect::examine_sqlite(config, is_at_rest).await?;
    let mut settings = BTreeMap::new();
    // A file that nobody has open does not say so.
    if !is_at_rest {
        settings.insert("journal_mode".to_owned(), text(&db, "PRAGMA journal_mode").await?);
    }
    let facts = facts(&db, settings, None).await?;
    let whole = tokio::time::timeout(WHOLE_WITHIN, text(&db, "PRAGMA quick_check(1)")).await;
    let (said, has_ended) = match whole {
        Ok(said) => (said?, true),
        Err(_) => ("not looked at to the end".to_owned(), false),
    };
    // A check that goes on holds the connection until the process ends.
    if has_ended {
        db.close().await?;
    }
    let mut facts = facts;
    facts.settings.insert("quick_check".to_owned(), said);
    Ok(facts)
}

async fn text(db: &DatabaseConnection, sql: &str) -> Result<String> {
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
    Ok(row.map(|row| row.try_get_by_index::<String>(0)).transpose()?.unwrap_or_default())
}

async fn facts(
    db: &DatabaseConnection,
    settings: BTreeMap<String, String>,
    ahead_micros: Option<i64>,
) -> Result<DatabaseFacts> {
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let start = Instant::now();
        db.query_one_raw(Statement::from_string(db.get_database_backend(), "SELECT 1")).await?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let migrations = migrations::migrations(db).await?;
    let is_mysql = db.get_database_backend() == DbBackend::MySql;
    let is_current = migrations.missing.is_empty();
    let is_short = |secret: &str| secret.chars().count() < LONG_SECRET;
    let secrets = if is_current { secrets::all(db).await? } else { Vec::new() };
    Ok(DatabaseFacts {
        version: super::version(db).await?,
        latency: times[ROUND_TRIPS / 2],
        ahead_micros,
        is_half_filled: is_mysql && super::migrate_data::is_unfinished(db).await?,
        migrations,
        settings,
        short_secrets: secrets.into_iter().filter(|row| is_short(&row.secret)).map(|row| row.name).collect(),
    })
}
