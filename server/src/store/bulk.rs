//! Statements about many rows at one time. Their texts depend on few numbers of rows, powers of two, so that databases and
//! drivers find most of them prepared.

use sea_orm::{
    ActiveModelTrait, ConnectionTrait, DbBackend, EntityTrait, IdenStatic as _, IntoActiveModel, Iterable as _,
    Statement, Value,
};

use super::{MAX_PARAMETERS, Result};

/// Most rows that one statement updates.
const MAX_UPDATED: usize = 256;

/// Words for an `IN`: the last one again and again, up to a power of two.
pub(super) fn padded<T: Clone>(mut words: Vec<T>) -> Vec<T> {
    if let Some(last) = words.last().cloned() {
        words.resize(words.len().next_power_of_two(), last);
    }
    words
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
        // The largest power of two that is not more than there are.
        let count = 1 << rows.len().min(most).ilog2();
        let rest = rows.split_off(count);
        <A::Entity as EntityTrait>::insert_many(rows).exec_without_returning(db).await?;
        rows = rest;
    }
    Ok(())
}

/// A row to be written: the value of its key, and those of the columns.
pub(super) type RowUpdate = (Value, Vec<Value>);

/// Writes columns of rows that may be there, each row's own values. Rows that are gone are left alone.
pub(super) async fn update<E: EntityTrait>(
    db: &impl ConnectionTrait,
    key: E::Column,
    columns: &[E::Column],
    mut rows: Vec<RowUpdate>,
) -> Result<()> {
    let backend = db.get_database_backend();
    // A power of two, as the padding does not go beyond it then.
    let most = (1 << (MAX_PARAMETERS / (columns.len() + 1)).max(1).ilog2()).min(MAX_UPDATED);
    while !rows.is_empty() {
        let rest = rows.split_off(rows.len().min(most));
        let rows_now = padded(std::mem::replace(&mut rows, rest));
        let sql = update_sql::<E>(backend, key, columns, &rows_now);
        let values = rows_now.into_iter().flat_map(|(key, values)| std::iter::once(key).chain(values));
        db.execute_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
    }
    Ok(())
}

fn update_sql<E: EntityTrait>(backend: DbBackend, key: E::Column, columns: &[E::Column], rows: &[RowUpdate]) -> String {
    let table = E::default().table_name();
    let name = |column: E::Column| column.as_str();
    match backend {
        DbBackend::MySql => {
            // In this order, so that no row but those meant is locked.
            let values: Vec<String> = rows.iter().enumerate().map(|(at, row)| mysql_row(row, at == 0)).collect();
            let set: Vec<String> =
                columns.iter().enumerate().map(|(at, column)| format!("t.`{}` = v.c{at}", name(*column))).collect();
            format!(
                "UPDATE ({}) AS v STRAIGHT_JOIN `{table}` AS t ON t.`{}` = v.k SET {}",
                values.join(" UNION ALL "),
                name(key),
                set.join(", ")
            )
        }
        _ => {
            let row = format!("({})", vec!["?"; columns.len() + 1].join(","));
            let set: Vec<String> = (columns.iter().enumerate())
                .map(|(at, column)| format!("\"{}\" = v.column{}", name(*column), at + 2))
                .collect();
            format!(
                "UPDATE \"{table}\" SET {} FROM (VALUES {}) AS v WHERE \"{table}\".\"{}\" = v.column1",
                set.join(", "),
                vec![row; rows.len()].join(","),
                name(key)
            )
        }
    }
}

/// The first row names the columns. Numbers say that they are: MySQL takes what it does not know for text.
fn mysql_row((key, values): &RowUpdate, is_first: bool) -> String {
    let placed = |value: &Value| match value {
        Value::String(_) | Value::Bytes(_) => "?",
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
