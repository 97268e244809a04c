use std::collections::HashMap;

use sea_orm::{ConnectionTrait, DatabaseConnection, QueryResult, Statement, TransactionTrait as _, Value};

use super::source::{Batch, SqliteSource};
use super::table::{Column, ColumnKind, Summary, Table};
use super::{PROGRESS, Result, refused};
use crate::config;
use crate::store::dialect::{self, ConnectionUse};
use crate::store::migrations;

/// Rows read at a time to compare.
const PAGE: usize = 5_000;

/// The shared database, which no other copying writes to meanwhile.
pub(super) struct Target(DatabaseConnection);

fn query(sql: impl Into<String>, values: impl IntoIterator<Item = Value>) -> Statement {
    Statement::from_sql_and_values(sea_orm::DbBackend::MySql, sql, values)
}

pub(super) async fn has_progress(db: &impl ConnectionTrait) -> Result<bool> {
    let sql = "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?";
    let row = db.query_one_raw(query(sql, [PROGRESS.into()])).await?;
    Ok(row.map(|row| row.try_get_by_index::<i64>(0)).transpose()?.unwrap_or(0) > 0)
}

impl Target {
    /// Brings the schema up to date, and sees to it that what is there is nothing, or of an interrupted run.
    pub async fn open(config: &config::Mysql, source: &SqliteSource) -> Result<Self> {
        migrations::prepare_mysql(config, |_| {}).await?;
        let db = dialect::connect_mysql(config, ConnectionUse::Migrate, &Default::default()).await?;
        migrations::lock_schema(&db).await?;
        // An id of 0 is an id.
        db.execute_unprepared("SET SESSION sql_mode = CONCAT(@@SESSION.sql_mode, ',NO_AUTO_VALUE_ON_ZERO')").await?;
        let target = Self(db);
        if has_progress(&target.0).await? {
            target.check_source(&source.name).await?;
        } else {
            target.check_empty(source).await?;
            target.begin(&source.name).await?;
        }
        Ok(target)
    }

    async fn check_empty(&self, source: &SqliteSource) -> Result<()> {
        for table in source.tables()? {
            if self.0.query_one_raw(query(format!("SELECT 1 FROM `{}` LIMIT 1", table.name), [])).await?.is_some() {
                return Err(refused(format!("the target is not empty: there are rows in {}", table.name)));
            }
        }
        Ok(())
    }

    async fn begin(&self, source: &str) -> Result<()> {
        // The table is made with its first row, so that one without it belongs to nobody.
        let create = format!(
            "CREATE TABLE {PROGRESS} (table_name varchar(64) NOT NULL PRIMARY KEY, source text NOT NULL, \
             last_rowid bigint NOT NULL) ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin \
             SELECT '' AS table_name, {} AS source, 0 AS last_rowid",
            quoted(source)
        );
        self.0.execute_unprepared(&create).await?;
        Ok(())
    }

    async fn check_source(&self, source: &str) -> Result<()> {
        let row =
            self.0.query_one_raw(query(format!("SELECT source FROM {PROGRESS} WHERE table_name = ''"), [])).await?;
        let begun: Option<String> = row.map(|row| row.try_get_by_index(0)).transpose()?;
        match begun {
            Some(begun) if begun == source => Ok(()),
            begun => Err(refused(format!(
                "the target holds part of {}: finish that, or start with an empty database",
                begun.unwrap_or_else(|| "something else".to_owned())
            ))),
        }
    }

    /// The table with the kinds of its columns here.
    pub async fn matching(&self, mut table: Table) -> Result<Table> {
        let sql = "SELECT CAST(column_name AS CHAR), CAST(data_type AS CHAR) FROM information_schema.columns \
                   WHERE table_schema = DATABASE() AND table_name = ? \
                   AND extra NOT LIKE '%VIRTUAL GENERATED%'";
        let rows = self.0.query_all_raw(query(sql, [table.name.as_str().into()])).await?;
        let mut kinds = HashMap::new();
        for row in rows {
            kinds.insert(row.try_get_by_index::<String>(0)?, row.try_get_by_index::<String>(1)?.to_ascii_lowercase());
        }
        if kinds.len() != table.columns.len() {
            return Err(refused(format!("{} has other columns in the target", table.name)));
        }
        for column in &mut table.columns {
            column.kind = match kinds.get(&column.name).map(String::as_str) {
                Some("bigint" | "int" | "smallint" | "tinyint") => ColumnKind::Number,
                Some("double") => ColumnKind::Real,
                Some("varchar" | "char" | "text" | "mediumtext" | "longtext") => ColumnKind::Text,
                Some("varbinary" | "binary" | "blob" | "mediumblob" | "longblob") => ColumnKind::Bytes,
                other => {
                    let kind = other.unwrap_or("nothing");
                    return Err(refused(format!("{}.{} is {kind} in the target", table.name, column.name)));
                }
            };
        }
        Ok(table)
    }

    /// Behind which row of the source the copying goes on.
    pub async fn position(&self, table: &str) -> Result<i64> {
        let sql = format!("SELECT last_rowid FROM {PROGRESS} WHERE table_name = ?");
        let row = self.0.query_one_raw(query(sql, [table.into()])).await?;
        // Before the first row: ids may be negative.
        Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or(i64::MIN))
    }

    /// Writes rows and how far that is, both or neither.
    pub async fn write(&self, table: &Table, batch: &Batch) -> Result<()> {
        let row = format!("({})", vec!["?"; table.columns.len()].join(", "));
        let rows = vec![row; batch.rows.len()].join(", ");
        let sql = format!("INSERT INTO `{}` ({}) VALUES {rows}", table.name, table.column_list());
        let tx = self.0.begin().await?;
        tx.execute_raw(query(sql, batch.rows.iter().flatten().cloned())).await?;
        let position = [table.name.as_str().into(), batch.last_rowid.into()];
        let sql = format!("REPLACE INTO {PROGRESS} (table_name, source, last_rowid) VALUES (?, '', ?)");
        tx.execute_raw(query(sql, position)).await?;
        Ok(tx.commit().await?)
    }

    /// Lets ids go on behind the last one ever given out, so that none comes back.
    pub async fn continue_ids(&self, table: &str, last: Option<i64>) -> Result<()> {
        if let Some(next) = last.and_then(|last| last.checked_add(1)) {
            self.0.execute_unprepared(&format!("ALTER TABLE `{table}` AUTO_INCREMENT = {next}")).await?;
        }
        Ok(())
    }

    pub async fn summary(&self, table: &Table) -> Result<Summary> {
        let mut summary = Summary::default();
        let mut last: Option<Vec<Value>> = None;
        loop {
            let rows = self.page(table, last.take()).await?;
            for row in &rows {
                summary.add(row);
            }
            match rows.into_iter().last() {
                Some(row) => last = Some(row),
                None => return Ok(summary),
            }
        }
    }

    /// The rows that follow one in the order of the primary key.
    async fn page(&self, table: &Table, after: Option<Vec<Value>>) -> Result<Vec<Vec<Value>>> {
        let name = |at: &usize| format!("`{}`", table.columns[*at].name);
        let order: Vec<String> = table.key.iter().map(name).collect();
        let (mut alternatives, mut values) = (Vec::new(), Vec::new());
        if let Some(after) = after {
            for (depth, column) in table.key.iter().enumerate() {
                let same = table.key[..depth].iter().map(|at| format!("{} = ?", name(at)));
                let terms: Vec<String> = same.chain([format!("{} > ?", name(column))]).collect();
                alternatives.push(format!("({})", terms.join(" AND ")));
                values.extend(table.key[..=depth].iter().map(|at| after[*at].clone()));
            }
        }
        let filter =
            if alternatives.is_empty() { String::new() } else { format!("WHERE {} ", alternatives.join(" OR ")) };
        let sql = format!(
            "SELECT {} FROM `{}` {filter}ORDER BY {} LIMIT {PAGE}",
            table.column_list(),
            table.name,
            order.join(", ")
        );
        let rows = self.0.query_all_raw(query(sql, values)).await?;
        rows.iter()
            .map(|row| table.columns.iter().enumerate().map(|(at, column)| read(row, at, column)).collect())
            .collect()
    }

    /// Everything is there: servers may start.
    pub async fn finish(self) -> Result<()> {
        self.0.execute_unprepared(&format!("DROP TABLE {PROGRESS}")).await?;
        Ok(self.0.close().await?)
    }
}

fn read(row: &QueryResult, at: usize, column: &Column) -> Result<Value> {
    Ok(match column.kind {
        ColumnKind::Number => Value::BigInt(row.try_get_by_index(at)?),
        ColumnKind::Real => Value::Double(row.try_get_by_index(at)?),
        ColumnKind::Text => row.try_get_by_index::<Option<String>>(at)?.into(),
        ColumnKind::Bytes => row.try_get_by_index::<Option<Vec<u8>>>(at)?.into(),
    })
}

/// A text in a statement that takes no parameters.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
