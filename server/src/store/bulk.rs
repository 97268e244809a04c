//! Statements about many rows at one time. Their texts depend on few numbers of rows, powers of four, so that databases and
//! drivers find most of them prepared: a connection keeps 40.

use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DbBackend, EntityTrait, IdenStatic as _, IntoActiveModel, Iterable as _,
    Statement, Value,
};

use super::{MAX_PARAMETERS, Result};

/// Most rows that one statement updates.
const MAX_UPDATED: usize = 256;

/// The largest power of four that is not more than this.
fn power_within(most: usize) -> usize {
    1 << (most.max(1).ilog2() & !1)
}

/// Words for an `IN`: the last one again and again, up to a power of four.
pub(super) fn padded<T: Clone>(mut words: Vec<T>) -> Vec<T> {
    if let Some(last) = words.last().cloned() {
        let whole = power_within(words.len());
        let size = if whole == words.len() { whole } else { whole * 4 };
        words.resize(size, last);
    }
    words
}

/// Rows, and so many that are no row up to a power of four: without a key they meet none, and they have no size.
fn with_empty_rows(mut rows: Vec<RowUpdate>) -> Vec<RowUpdate> {
    if let Some((key, values)) = rows.last() {
        let empty = (key.as_null(), values.iter().map(Value::as_null).collect());
        let size = padded(vec![(); rows.len()]).len();
        rows.resize(size, empty);
    }
    rows
}

/// Adds rows that all set the same columns.
pub(super) async fn insert<A>(db: &impl ConnectionTrait, mut rows: Vec<A>) -> Result<()>
where
    A: ActiveModelTrait + Send,
    <A::Entity as EntityTrait>::Model: IntoActiveModel<A>,
{
    let columns = <A::Entity as EntityTrait>::Column::iter().count();
    let most = MAX_PARAMETERS / columns.max(1);
    while !rows.is_empty() {
        let rest = rows.split_off(power_within(rows.len().min(most)));
        <A::Entity as EntityTrait>::insert_many(rows).exec_without_returning(db).await?;
        rows = rest;
    }
    Ok(())
}

/// A row to be written: the value of its key, and those of the columns.
pub(super) type RowUpdate = (Value, Vec<Value>);

/// What becomes of a column that has a value already. One without takes any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    New,
    /// The old value where the new one is none.
    NewIfAny,
    Larger,
    Smaller,
}

impl Keep {
    fn of(self, backend: DbBackend, old: &str, new: &str) -> String {
        let function = match (self, backend) {
            (Self::New, _) => return new.to_owned(),
            (Self::NewIfAny, _) => return format!("COALESCE({new}, {old})"),
            (Self::Larger, DbBackend::MySql) => "GREATEST",
            (Self::Smaller, DbBackend::MySql) => "LEAST",
            (Self::Larger, _) => "MAX",
            (Self::Smaller, _) => "MIN",
        };
        format!("{function}(COALESCE({old}, {new}), {new})")
    }
}

/// Writes columns of rows that may be there, each row's own values. Rows that are gone are left alone.
pub(super) async fn update<E: EntityTrait>(
    db: &impl ConnectionTrait,
    key: E::Column,
    columns: &[E::Column],
    rows: Vec<RowUpdate>,
) -> Result<()> {
    let columns: Vec<(E::Column, Keep)> = columns.iter().map(|column| (*column, Keep::New)).collect();
    merge::<E>(db, key, &columns, rows).await
}

/// As [`update`], for columns of which some rows keep the value that they have.
pub(super) async fn merge<E: EntityTrait>(
    db: &impl ConnectionTrait,
    key: E::Column,
    columns: &[(E::Column, Keep)],
    mut rows: Vec<RowUpdate>,
) -> Result<()> {
    let backend = db.get_database_backend();
    // A power of four, as the padding does not go beyond it then.
    let most = power_within(MAX_PARAMETERS / (columns.len() + 1)).min(MAX_UPDATED);
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(most));
        let rows_now = with_empty_rows(std::mem::replace(&mut rows, rest));
        let sql = update_sql::<E>(backend, key, columns, &rows_now);
        let values = rows_now.into_iter().flat_map(|(key, values)| std::iter::once(key).chain(values));
        db.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    }
    Ok(())
}

fn update_sql<E: EntityTrait>(
    backend: DbBackend,
    key: E::Column,
    columns: &[(E::Column, Keep)],
    rows: &[RowUpdate],
) -> String {
    let table = E::default().table_name();
    match backend {
        DbBackend::MySql => {
            // In this order, so that no row but those meant is locked.
            let values: Vec<String> = rows.iter().enumerate().map(|(at, row)| mysql_row(row, at == 0)).collect();
            let set = columns.iter().enumerate().map(|(at, (column, keep))| {
                let column = format!("t.`{}`", column.as_str());
                format!("{column} = {}", keep.of(backend, &column, &format!("v.c{at}")))
            });
            format!(
                "UPDATE ({}) AS v STRAIGHT_JOIN `{table}` AS t ON t.`{}` = v.k SET {}",
                values.join(" UNION ALL "),
                key.as_str(),
                set.collect::<Vec<_>>().join(", ")
            )
        }
        _ => {
            let row = format!("({})", vec!["?"; columns.len() + 1].join(","));
            let set = columns.iter().enumerate().map(|(at, (column, keep))| {
                let column = column.as_str();
                let old = format!("\"{table}\".\"{column}\"");
                format!("\"{column}\" = {}", keep.of(backend, &old, &format!("v.column{}", at + 2)))
            });
            format!(
                "UPDATE \"{table}\" SET {} FROM (VALUES {}) AS v WHERE \"{table}\".\"{}\" = v.column1",
                set.collect::<Vec<_>>().join(", "),
                vec![row; rows.len()].join(","),
                key.as_str()
            )
        }
    }
}

/// The first row names the columns. Numbers say that they are: MySQL takes what it does not know for text.
fn mysql_row((key, values): &RowUpdate, is_first: bool) -> String {
    let placed = |value: &Value| match value {
        Value::String(_) => "?",
        Value::Bytes(_) => "CAST(? AS BINARY)",
        Value::Double(_) => "CAST(? AS DOUBLE)",
        _ => "CAST(? AS SIGNED)",
    };
    let names = |at: usize| match (is_first, at) {
        (false, _) => String::new(),
        (true, 0) => " AS k".to_owned(),
        (true, at) => format!(" AS c{}", at - 1),
    };
    let all: Vec<String> = std::iter::once(key)
        .chain(values)
        .enumerate()
        .map(|(at, value)| format!("{}{}", placed(value), names(at)))
        .collect();
    format!("SELECT {}", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_a_statement_up_has_no_size() {
        let row = |key: i64| (Value::from(key), vec![Value::from(vec![7_u8; 100])]);
        let rows = with_empty_rows((1..=5).map(row).collect());
        assert_eq!(rows.len(), 16);
        assert_eq!(rows[4], row(5));
        assert!(rows[5..].iter().all(|row| *row == (Value::BigInt(None), vec![Value::Bytes(None)])));
    }

    #[test]
    fn few_sizes_hold_all_numbers_of_words() {
        let size = |count: usize| padded(vec![(); count]).len();
        assert_eq!([0, 1, 2, 4, 5, 16, 17, 256, 257].map(size), [0, 1, 4, 4, 16, 16, 64, 256, 1024]);
        assert_eq!([0, 1, 3, 4, 15, 16, 255, 256, 1000].map(power_within), [1, 1, 1, 4, 4, 16, 64, 256, 256]);
        assert_eq!(power_within(MAX_UPDATED), MAX_UPDATED);
    }
}
