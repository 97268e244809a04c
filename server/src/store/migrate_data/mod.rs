//! Copies the embedded database to MySQL or MariaDB: every row once, under its id, however often the copying was
//! interrupted, and compared at the end.

mod source;
mod table;
mod target;

use sea_orm::ConnectionTrait;

use self::source::SqliteSource;
use self::target::Target;
use super::{Error, Result};
use crate::config;

/// Where the target keeps how far the copying is. It is there until everything is copied and compared.
const PROGRESS: &str = "data_migration";

/// Values a statement carries at most.
const BATCH_VALUES: usize = 20_000;

/// Bytes a statement carries at most, far below the least `max_allowed_packet`.
const BATCH_BYTES: usize = 2 << 20;

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Copied {
    pub tables: usize,
    pub rows: u64,
}

/// Copies everything, telling each table. The source must not be in use, and the target must be empty or hold what an
/// interrupted run has copied from this very source.
///
/// # Errors
/// What stands in the way, and rows that differ in the end. Running it again continues.
pub async fn migrate_data(from: &config::Sqlite, to: &config::Mysql, mut report: impl FnMut(&str)) -> Result<Copied> {
    let source = SqliteSource::open(&from.path)?;
    let target = Target::open(to, &source).await?;
    let mut copied = Copied::default();
    for table in source.tables()? {
        let table = target.matching(table).await?;
        let mut done = target.position(&table.name).await?;
        while let Some(batch) = source.batch(&table, done)? {
            target.write(&table, &batch).await?;
            done = batch.last_rowid;
        }
        target.continue_ids(&table.name, source.last_id(&table.name)?).await?;
        let (there, here) = (source.summary(&table)?, target.summary(&table).await?);
        if there != here {
            return Err(Error::Corrupt {
                table: "migrate-data",
                key: table.name.clone(),
                reason: format!(
                    "{} rows were copied of {}, and what they hold differs: the source or the target was changed in \
                     between; start again with an empty target",
                    here.rows, there.rows
                ),
            });
        }
        report(&format!("{}: {} rows, checksum {:032x}", table.name, here.rows, here.checksum));
        copied.tables += 1;
        copied.rows += here.rows;
    }
    target.finish().await?;
    Ok(copied)
}

/// Whether a copying into this database has begun and not ended.
pub(super) async fn is_unfinished(db: &impl ConnectionTrait) -> Result<bool> {
    target::has_progress(db).await
}

fn refused(reason: impl Into<String>) -> Error {
    Error::Unavailable(reason.into())
}
