//! The steps that build the schema: which the database has had, and taking those that are missing.

use muster_migrations::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};

use super::dialect::{self, ConnectionUse};
use super::{Error, Result, Store};
use crate::config;

/// How the steps this program knows compare to those the database has had.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Migrations {
    /// To be taken, in order.
    pub missing: Vec<String>,
    /// Taken by a newer version of this program.
    pub unknown: Vec<String>,
    /// None has been taken.
    pub is_empty: bool,
}

impl Store {
    /// Looks, and changes nothing.
    ///
    /// # Errors
    /// [`Error`] when the database does not answer.
    pub async fn migrations(&self) -> Result<Migrations> {
        migrations(self.reader().inner()).await
    }

    /// Whether `muster migrate-data` has begun to fill this database and not ended.
    ///
    /// # Errors
    /// [`Error`] when the database does not answer.
    pub async fn is_half_filled(&self) -> Result<bool> {
        super::migrate_data::is_unfinished(self.reader()).await
    }

    /// Brings the schema of the embedded database up to date. On a current schema it changes nothing.
    ///
    /// # Errors
    /// [`Error`] when a step fails; running it again continues there.
    pub async fn migrate(&self) -> Result<()> {
        Ok(Migrator::up(self.writer.inner(), None).await?)
    }
}

/// Which steps a database has had. Looks, and changes nothing.
///
/// # Errors
/// [`Error`] when the database does not answer.
pub async fn migrations(db: &DatabaseConnection) -> Result<Migrations> {
    Ok(compare(muster_migrations::applied(db).await?))
}

fn compare(applied: Vec<String>) -> Migrations {
    let is_empty = applied.is_empty();
    let known: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
    Migrations {
        missing: known.iter().filter(|name| !applied.contains(name)).cloned().collect(),
        unknown: applied.into_iter().filter(|name| !known.contains(name)).collect(),
        is_empty,
    }
}

/// Brings a MySQL or MariaDB database up to date. Reports each step as it is taken, and names that differ in capitals
/// alone. Of several that do so at one time
/// one works while the others wait. Gives how many steps were taken.
///
/// # Errors
/// [`Error`] when a step fails; running it again continues there.
pub async fn prepare_mysql(config: &config::Mysql, mut report: impl FnMut(&str)) -> Result<usize> {
    let db = dialect::connect_mysql(config, ConnectionUse::Migrate, &Default::default()).await?;
    lock_schema(&db).await?;
    let missing = compare(muster_migrations::applied(&db).await?).missing;
    muster_migrations::prepare(&db).await?;
    for name in &missing {
        report(&format!("Migrating: {name}"));
        Migrator::up(&db, Some(1)).await?;
    }
    for twins in super::case_twins(&db).await? {
        report(&format!("Warning: {twins}"));
    }
    // Closing the connection releases the lock.
    db.close().await?;
    Ok(missing.len())
}

/// Waits until nobody else changes the schema of this database.
pub(super) async fn lock_schema(db: &DatabaseConnection) -> Result<()> {
    let statement = Statement::from_string(
        db.get_database_backend(),
        "SELECT CAST(COALESCE(GET_LOCK(CONCAT('muster ', SHA1(DATABASE())), 600), 0) AS SIGNED) AS is_locked",
    );
    let row = db.query_one_raw(statement).await?;
    match row.map(|row| row.try_get::<i64>("", "is_locked")).transpose()? {
        Some(1) => Ok(()),
        _ => Err(Error::Unavailable("another `muster prepare db` has been at work for ten minutes".to_owned())),
    }
}
