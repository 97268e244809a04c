//! Reads rows of tables whose columns differ between versions.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait, DbBackend, QueryResult, Statement};

use crate::clock::Moment;
use crate::store::{Error, Result};

/// A row of a table of Fleet, as far as it is of use.
pub(super) trait SourceRow: Sized {
    const TABLE: &str;
    const COLUMNS: &[SourceColumn];

    fn of(row: &QueryResult) -> Result<Self>;
}

/// A column, by the names it has had, the newest first.
pub(super) struct SourceColumn {
    pub names: &'static [&'static str],
    pub is_needed: bool,
    pub read_as: ReadAs,
}

/// The type as which a column is read, whatever it is declared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadAs {
    Text,
    Number,
    Real,
    /// In microseconds since 1970.
    Time,
}

impl ReadAs {
    fn expression(self, column: &str) -> String {
        match self {
            Self::Text => format!("CAST({column} AS CHAR)"),
            Self::Number => format!("CAST({column} AS SIGNED)"),
            Self::Real => format!("({column} + 0e0)"),
            Self::Time => format!("CAST(UNIX_TIMESTAMP({column}) * 1000000 AS SIGNED)"),
        }
    }
}

/// A value of a column.
pub(super) trait SourceValue: Sized {
    const READ_AS: ReadAs;

    /// Reads it; null, as which a column that is not there reads, is the least value.
    fn of(row: &QueryResult, at: usize) -> Result<Self>;
}

macro_rules! source_values {
    ($($type:ty as $read_as:ident: $raw:ty => $of:expr;)*) => {$(
        impl SourceValue for $type {
            const READ_AS: ReadAs = ReadAs::$read_as;

            fn of(row: &QueryResult, at: usize) -> Result<Self> {
                let of: fn(Option<$raw>) -> Self = $of;
                Ok(of(row.try_get_by_index::<Option<$raw>>(at)?))
            }
        }
    )*};
}
source_values! {
    String as Text: String => Option::unwrap_or_default;
    Option<String> as Text: String => |text| text;
    i64 as Number: i64 => Option::unwrap_or_default;
    Option<i64> as Number: i64 => |number| number;
    bool as Number: i64 => |number| number.is_some_and(|number| number != 0);
    Option<bool> as Number: i64 => |number| number.map(|number| number != 0);
    f64 as Real: f64 => Option::unwrap_or_default;
    Moment as Time: i64 => |micros| micros.map_or(Moment::NEVER, Moment);
}

/// Declares the row of a table: each field with its type, whether the import needs it (`need`) or does without (`may`), and
/// the names the column has had.
macro_rules! source_row {
    (@is_needed need) => { true };
    (@is_needed may) => { false };
    ($(#[$doc:meta])* $name:ident from $table:literal {
        $($(#[$field_doc:meta])* $field:ident: $type:ty = $need:ident $($column:literal)+;)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $crate::store::import_fleet::columns::SourceRow for $name {
            const TABLE: &str = $table;
            const COLUMNS: &[$crate::store::import_fleet::columns::SourceColumn] = &[$(
                $crate::store::import_fleet::columns::SourceColumn {
                    names: &[$($column),+],
                    is_needed: source_row!(@is_needed $need),
                    read_as: <$type as $crate::store::import_fleet::columns::SourceValue>::READ_AS,
                },
            )*];

            fn of(row: &sea_orm::QueryResult) -> $crate::store::Result<Self> {
                let mut at = 0..;
                $(let $field = <$type as $crate::store::import_fleet::columns::SourceValue>::of(
                    row,
                    at.next().unwrap_or_default(),
                )?;)*
                Ok(Self { $($field),* })
            }
        }
    };
}
pub(super) use source_row;

/// The columns of each table.
pub(super) async fn of_database(db: &impl ConnectionTrait) -> Result<HashMap<String, HashSet<String>>> {
    let sql = "SELECT CAST(table_name AS CHAR), CAST(column_name AS CHAR) FROM information_schema.columns \
               WHERE table_schema = DATABASE()";
    let mut tables: HashMap<String, HashSet<String>> = HashMap::new();
    for row in db.query_all_raw(Statement::from_string(DbBackend::MySql, sql)).await? {
        tables.entry(row.try_get_by_index(0)?).or_default().insert(row.try_get_by_index(1)?);
    }
    Ok(tables)
}

/// The beginning of a statement that reads rows.
///
/// # Errors
/// If a column is missing that is needed.
pub(super) fn select<T: SourceRow>(columns: Option<&HashSet<String>>, database: &str) -> Result<String> {
    let there = |name: &&&str| columns.is_some_and(|columns| columns.contains(**name));
    let mut expressions = Vec::with_capacity(T::COLUMNS.len());
    for column in T::COLUMNS {
        expressions.push(match column.names.iter().find(there) {
            Some(name) => column.read_as.expression(&format!("`{name}`")),
            None if column.is_needed => {
                return Err(Error::Unavailable(format!(
                    "{database} is of a version of Fleet that is not known here: the table {} has no column {}",
                    T::TABLE,
                    column.names.join(" or ")
                )));
            }
            None => ReadAs::expression(column.read_as, "NULL"),
        });
    }
    Ok(format!("SELECT {} FROM `{}`", expressions.join(", "), T::TABLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    source_row! {
        /// A row for the test.
        SampleRow from "samples" {
            id: i64 = need "id";
            name: String = need "name" "old_name";
            seen: Moment = may "seen";
        }
    }

    #[test]
    fn the_columns_that_there_are_decide() {
        let columns = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<HashSet<_>>();
        assert_eq!(
            select::<SampleRow>(Some(&columns(&["id", "old_name", "newer"])), "x").unwrap(),
            "SELECT CAST(`id` AS SIGNED), CAST(`old_name` AS CHAR), CAST(UNIX_TIMESTAMP(NULL) * 1000000 AS SIGNED) \
             FROM `samples`"
        );
        let error = select::<SampleRow>(Some(&columns(&["id"])), "fleet at db:3306").unwrap_err().to_string();
        assert!(error.contains("the table samples has no column name or old_name"), "{error}");
    }
}
