use std::path::Path;

use muster_migrations::{Migrator, MigratorTrait as _};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags, Row};
use sea_orm::Value;

use super::table::{Column, ColumnKind, Summary, Table, size};
use super::{BATCH_BYTES, BATCH_VALUES, Result, refused};
use crate::store::Error;

/// The embedded database, which nobody else can open meanwhile.
pub(super) struct SqliteSource {
    db: Connection,
    /// Tells this source from others.
    pub name: String,
}

/// Rows that follow each other.
pub(super) struct Batch {
    pub rows: Vec<Vec<Value>>,
    pub last_rowid: i64,
}

impl SqliteSource {
    pub fn open(path: &Path) -> Result<Self> {
        let name = std::fs::canonicalize(path)
            .map_err(|error| refused(format!("cannot read {}: {error}", path.display())))?
            .display()
            .to_string();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags).map_err(|error| failed(&error))?;
        // With a write-ahead log, as Muster uses it, this fails while anybody else has the file open.
        let held =
            db.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; SELECT count(*) FROM sqlite_master");
        held.map_err(|error| refused(format!("{name} is in use, stop the server first ({error})")))?;
        let source = Self { db, name };
        source.check()?;
        Ok(source)
    }

    fn check(&self) -> Result<()> {
        let known: Vec<String> = Migrator::migrations().iter().map(|step| step.name().to_owned()).collect();
        let taken = self.strings("SELECT version FROM seaql_migrations ORDER BY version")?;
        if taken == known {
            return Ok(());
        }
        Err(refused(format!(
            "{} is of another version than this program: start the server on it once, stop it, and try again",
            self.name
        )))
    }

    fn strings(&self, sql: &str) -> Result<Vec<String>> {
        let mut statement = self.db.prepare(sql).map_err(|error| failed(&error))?;
        let rows = statement.query_map([], |row| row.get(0)).map_err(|error| failed(&error))?;
        rows.collect::<rusqlite::Result<_>>().map_err(|error| failed(&error))
    }

    /// All tables with their columns, whose kinds only the target knows.
    pub fn tables(&self) -> Result<Vec<Table>> {
        let names = self.strings(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!' \
             AND name <> 'seaql_migrations' ORDER BY name",
        )?;
        names.into_iter().map(|name| self.table(name)).collect()
    }

    fn table(&self, name: String) -> Result<Table> {
        let mut statement = self
            .db
            .prepare("SELECT name, pk FROM pragma_table_info(?1) ORDER BY cid")
            .map_err(|error| failed(&error))?;
        let rows =
            statement.query_map([&name], |row| Ok((row.get(0)?, row.get(1)?))).map_err(|error| failed(&error))?;
        let found: Vec<(String, i64)> = rows.collect::<rusqlite::Result<_>>().map_err(|error| failed(&error))?;
        let mut key: Vec<(i64, usize)> =
            found.iter().enumerate().filter(|(_, (_, pk))| *pk > 0).map(|(at, (_, pk))| (*pk, at)).collect();
        key.sort_unstable();
        let columns = found.into_iter().map(|(name, _)| Column { name, kind: ColumnKind::Text }).collect();
        Ok(Table { name, columns, key: key.into_iter().map(|(_, at)| at).collect() })
    }

    /// The rows behind `after`, as many as fit a statement; `None` when there are no more.
    pub fn batch(&self, table: &Table, after: i64) -> Result<Option<Batch>> {
        let limit = (BATCH_VALUES / table.columns.len().max(1)).max(1);
        let sql = format!(
            "SELECT {}, rowid FROM `{}` WHERE rowid > {after} ORDER BY rowid LIMIT {limit}",
            table.column_list(),
            table.name
        );
        let (mut batch, mut bytes) = (Batch { rows: Vec::new(), last_rowid: after }, 0);
        self.each(&sql, table, |values, row| {
            bytes += values.iter().map(size).sum::<usize>();
            if bytes > BATCH_BYTES && !batch.rows.is_empty() {
                return Ok(false);
            }
            batch.last_rowid = row.get(table.columns.len()).map_err(|error| failed(&error))?;
            batch.rows.push(values);
            Ok(true)
        })?;
        Ok((!batch.rows.is_empty()).then_some(batch))
    }

    pub fn summary(&self, table: &Table) -> Result<Summary> {
        let mut summary = Summary::default();
        self.each(&format!("SELECT {} FROM `{}`", table.column_list(), table.name), table, |values, _| {
            summary.add(&values);
            Ok(true)
        })?;
        Ok(summary)
    }

    /// Goes through rows until `take` has enough.
    fn each(&self, sql: &str, table: &Table, mut take: impl FnMut(Vec<Value>, &Row<'_>) -> Result<bool>) -> Result<()> {
        let mut statement = self.db.prepare(sql).map_err(|error| failed(&error))?;
        let mut rows = statement.query([]).map_err(|error| failed(&error))?;
        while let Some(row) = rows.next().map_err(|error| failed(&error))? {
            let values = table.columns.iter().enumerate().map(|(at, column)| value(table, column, row, at));
            if !take(values.collect::<Result<_>>()?, row)? {
                break;
            }
        }
        Ok(())
    }

    /// The highest id ever given out in a table.
    pub fn last_id(&self, table: &str) -> Result<Option<i64>> {
        use rusqlite::OptionalExtension as _;
        let mut statement = match self.db.prepare("SELECT seq FROM sqlite_sequence WHERE name = ?1") {
            Ok(statement) => statement,
            // There is none when no table counts.
            Err(_) => return Ok(None),
        };
        statement.query_row([table], |row| row.get(0)).optional().map_err(|error| failed(&error))
    }
}

/// A value as the target's column holds it.
fn value(table: &Table, column: &Column, row: &Row<'_>, at: usize) -> Result<Value> {
    let found = row.get_ref(at).map_err(|error| failed(&error))?;
    Ok(match (column.kind, found) {
        (ColumnKind::Number, ValueRef::Null) => Value::BigInt(None),
        (ColumnKind::Real, ValueRef::Null) => Value::Double(None),
        (ColumnKind::Text, ValueRef::Null) => Value::String(None),
        (ColumnKind::Bytes, ValueRef::Null) => Value::Bytes(None),
        (ColumnKind::Number, ValueRef::Integer(number)) => number.into(),
        (ColumnKind::Real, ValueRef::Real(number)) => number.into(),
        (ColumnKind::Real, ValueRef::Integer(number)) => (number as f64).into(),
        (ColumnKind::Text, ValueRef::Text(text)) if std::str::from_utf8(text).is_ok() => {
            String::from_utf8_lossy(text).into_owned().into()
        }
        (ColumnKind::Bytes, ValueRef::Blob(bytes) | ValueRef::Text(bytes)) => bytes.to_vec().into(),
        (kind, found) => {
            return Err(Error::Corrupt {
                table: "migrate-data",
                key: format!("{}.{}", table.name, column.name),
                reason: format!("holds {:?} where {kind:?} belongs", found.data_type()),
            });
        }
    })
}

fn failed(error: &rusqlite::Error) -> Error {
    refused(format!("the source cannot be read: {error}"))
}
