//! Reads the database of Fleet 4.x or of kolide's Fleet 3.x, in one transaction that is read-only: everything is as of one
//! moment, and nothing changes there. Versions differ, so the tables and columns that there are decide what is read.

mod columns;
mod config;
mod hosts;
mod left;
mod schedule;
mod secrets;
mod users;

use std::collections::{HashMap, HashSet};

use sea_orm::{
    ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, DbBackend, Statement, TransactionTrait as _, Value,
};

use self::columns::SourceRow;
pub use self::config::FleetConfig;
pub use self::hosts::{FleetHost, FleetHostPage};
#[cfg(test)]
pub use self::schedule::QueryLabel;
pub use self::schedule::{
    FleetLabel, FleetPack, FleetQuery, FleetSchedule, FleetScheduledQuery, FleetTarget, TargetWord,
};
pub use self::secrets::{FleetSecret, FleetTeam};
pub use self::users::FleetUser;
use super::dialect::{self, ConnectionUse};
use super::{Error, Result};
use crate::config as settings;

/// Tables that every database of Fleet has.
const TABLES: [&str; 9] = [
    "migration_status_tables",
    "hosts",
    "labels",
    "label_membership",
    "packs",
    "pack_targets",
    "queries",
    "scheduled_queries",
    "users",
];

/// A database of Fleet as of one moment.
#[derive(Debug)]
pub struct FleetSource {
    tx: DatabaseTransaction,
    /// Its end would end the way to the server.
    _db: DatabaseConnection,
    tables: HashMap<String, HashSet<String>>,
    address: String,
    migration: i64,
}

impl FleetSource {
    /// Opens it, and sees to it that it is one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] with what stands in the way: no connection, no database of Fleet, or one of a version that
    /// lacks what is needed.
    pub async fn open(config: &settings::Mysql) -> Result<Self> {
        let address = format!("{} at {}", config.database, config.address);
        let db = dialect::connect_mysql(config, ConnectionUse::ReadForeign, &Default::default()).await?;
        // The transaction keeps its connection: if that breaks, so does the reading, instead of going on at another moment.
        let tx = db.begin_with_options(dialect::read_only_options()).await?;
        let tables = columns::of_database(&tx).await?;
        if let Some(missing) = TABLES.iter().find(|table| !tables.contains_key(**table)) {
            return Err(Error::Unavailable(format!(
                "{address} is no database of Fleet, or the user may not read it: there is no table {missing}"
            )));
        }
        let mut source = Self { tx, _db: db, tables, address, migration: 0 };
        source.check_columns()?;
        // The first reading of a table, as of which all others are.
        source.migration = source.number("SELECT COALESCE(MAX(version_id), 0) FROM migration_status_tables").await?;
        Ok(source)
    }

    fn check_columns(&self) -> Result<()> {
        self.select::<FleetHost>()?;
        self.select::<FleetLabel>()?;
        self.select::<FleetPack>()?;
        self.select::<FleetTarget>()?;
        self.select::<FleetScheduledQuery>()?;
        self.select::<FleetQuery>()?;
        self.select::<FleetUser>()?;
        Ok(())
    }

    /// Database and server.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The newest step of Fleet's own migrations: the time at which its authors began it, as `20210601000003`.
    pub fn migration(&self) -> i64 {
        self.migration
    }

    /// What kind of Fleet it is, as far as the tables tell.
    pub fn kind(&self) -> &'static str {
        if self.has("app_config_json", "json_value") || self.has("users", "global_role") {
            "Fleet 4.x"
        } else {
            "Fleet 3.x"
        }
    }

    fn has(&self, table: &str, column: &str) -> bool {
        self.tables.get(table).is_some_and(|columns| columns.contains(column))
    }

    fn select<T: SourceRow>(&self) -> Result<String> {
        columns::select::<T>(self.tables.get(T::TABLE), &self.address)
    }

    /// The rows of a table that meet a condition; none if there is no such table.
    async fn rows<T: SourceRow>(
        &self,
        condition: &str,
        values: impl IntoIterator<Item = Value>,
        order: &str,
    ) -> Result<Vec<T>> {
        if !self.tables.contains_key(T::TABLE) {
            return Ok(Vec::new());
        }
        // Before Fleet 3.4 rows were only marked.
        let there = if self.has(T::TABLE, "deleted") { "NOT deleted AND " } else { "" };
        let sql = format!("{} WHERE {there}{condition} ORDER BY {order}", self.select::<T>()?);
        let rows = self.tx.query_all_raw(Statement::from_sql_and_values(DbBackend::MySql, sql, values)).await?;
        rows.iter().map(T::of).collect()
    }

    async fn number(&self, sql: &str) -> Result<i64> {
        let sql = format!("SELECT CAST(({sql}) AS SIGNED)");
        let row = self.tx.query_one_raw(Statement::from_string(DbBackend::MySql, sql)).await?;
        Ok(row.map(|row| row.try_get_by_index::<Option<i64>>(0)).transpose()?.flatten().unwrap_or_default())
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// If the connection is broken, which does no harm any more.
    pub async fn close(self) -> Result<()> {
        Ok(self.tx.rollback().await?)
    }
}
