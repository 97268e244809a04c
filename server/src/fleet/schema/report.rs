//! What an agent says of its tables.

use std::collections::BTreeMap;

use muster_api::osquery::{Row, Rows};

use super::AgentVersion;
use super::table_set::{ColumnType, MAX_BYTES, TableColumn, TableSet};

/// The question. The last row is that of the agent itself and has no table. `active` of the registry says nothing here: it is
/// true of every table, and tables that flags have switched off have no columns.
pub(in crate::fleet) const SQL: &str = "SELECT r.name AS \"table\", c.name AS \"column\", c.type AS \"type\", \
     c.hidden AS \"hidden\" FROM osquery_registry AS r, pragma_table_xinfo(r.name) AS c WHERE r.registry = 'table' \
     UNION ALL SELECT '', version, '', '' FROM osquery_info";

/// Most tables of an agent. A stock one has fewer than 300.
const MAX_TABLES: usize = 1_000;

/// Most columns of a table. Those of stock agents have fewer than 60.
const MAX_COLUMNS: usize = 200;

/// Most columns of all tables together. Those of a stock agent are fewer than 3,000.
const MAX_ALL_COLUMNS: usize = 8_000;

/// Longest name of a table or column, in bytes.
const MAX_NAME: usize = 64;

/// Tables of an agent of some version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fleet) struct TableReport {
    pub(super) version: AgentVersion,
    pub(super) tables: TableSet,
}

impl TableReport {
    /// Reads an answer. Names that no table or column has are left out. `None` if it does not say of which version the agent
    /// is, names no table, or more than an agent has: nothing is taken from such a host.
    pub fn of(rows: Rows<'_>) -> Option<Self> {
        let mut version = AgentVersion::default();
        let mut tables: BTreeMap<String, Vec<TableColumn>> = BTreeMap::new();
        let (mut bytes, mut named) = (0, 0);
        for row in rows.iter() {
            let ReportRow { table, column } = ReportRow::of(row);
            if table.is_empty() {
                version = AgentVersion::of(&column.name);
                continue;
            }
            if !is_name(&table) || !is_name(&column.name) {
                continue;
            }
            named += 1;
            // The separator and the letter of the type.
            bytes += column.name.len() + 3;
            if !tables.contains_key(&table) {
                bytes += table.len() + 1;
            }
            let columns = tables.entry(table).or_default();
            // SQLite takes names that differ in case alone for the same.
            if !columns.iter().any(|known| known.name.eq_ignore_ascii_case(&column.name)) {
                columns.push(column);
            }
            let has_too_many = columns.len() > MAX_COLUMNS || tables.len() > MAX_TABLES || named > MAX_ALL_COLUMNS;
            if has_too_many || bytes > MAX_BYTES {
                return None;
            }
        }
        (version.is_known() && !tables.is_empty()).then_some(Self { version, tables: TableSet(tables) })
    }
}

struct ReportRow {
    table: String,
    column: TableColumn,
}

impl ReportRow {
    fn of(row: Row<'_>) -> Self {
        let mut table = String::new();
        let mut column = TableColumn { name: String::new(), kind: ColumnType::Unknown, is_hidden: false };
        for (name, text) in row.columns() {
            match name.as_ref() {
                // As SQL is written: names of tables have small letters.
                "table" => table = text.to_ascii_lowercase(),
                "column" => column.name = text.into_owned(),
                "type" => column.kind = ColumnType::of_word(&text),
                "hidden" => column.is_hidden = !matches!(text.trim(), "" | "0"),
                _ => {}
            }
        }
        Self { table, column }
    }
}

/// Whether a text can be the name of a table or column that SQL names without quotes.
fn is_name(text: &str) -> bool {
    let mut letters = text.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && text.len() <= MAX_NAME
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
}

#[cfg(test)]
mod tests {
    use muster_api::osquery::DistributedWrite;
    use serde_json::{Value, json};

    use super::*;

    fn row(table: &str, column: &str) -> Value {
        json!({ "table": table, "column": column, "type": "TEXT", "hidden": "0" })
    }

    fn read(mut rows: Vec<Value>) -> Option<TableReport> {
        rows.push(json!({ "table": "", "column": "5.23.1", "type": "", "hidden": "" }));
        read_as_it_is(&rows)
    }

    fn read_as_it_is(rows: &[Value]) -> Option<TableReport> {
        let body = json!({ "node_key": "k", "queries": { "q": rows }, "statuses": { "q": 0 } }).to_string();
        let write = DistributedWrite::read(body.as_bytes()).unwrap();
        let (_, result) = write.results.first().unwrap();
        TableReport::of(result.rows)
    }

    fn names(report: &TableReport) -> Vec<(&str, Vec<&str>)> {
        let tables = report.tables.0.iter();
        tables.map(|(table, columns)| (&**table, columns.iter().map(|column| &*column.name).collect())).collect()
    }

    #[test]
    fn names_that_are_none_are_left_out() {
        let long = "x".repeat(MAX_NAME + 1);
        let hostile = [
            "<script>alert(1)</script>",
            "a b",
            "a;drop table hosts",
            "a'b",
            "naïve",
            "1st",
            "a\u{202e}b",
            "a\u{200b}",
            "a\nb",
            long.as_str(),
        ];
        let mut rows = vec![row("Users", "uid"), row("users", "UID"), row("users", "name")];
        for name in hostile {
            rows.extend([row(name, "uid"), row("users", name)]);
        }
        let report = read(rows).unwrap();
        assert_eq!(names(&report), [("users", vec!["uid", "name"])]);
        assert_eq!(report.version, AgentVersion::of("5.23.1"));
    }

    #[test]
    fn more_than_an_agent_has_is_not_taken() {
        let tables = |count: usize| (0..count).map(|number| row(&format!("t{number}"), "c")).collect::<Vec<_>>();
        assert_eq!(read(tables(MAX_TABLES)).unwrap().tables.0.len(), MAX_TABLES);
        assert_eq!(read(tables(MAX_TABLES + 1)), None);
        let columns = |count: usize| (0..count).map(|number| row("t", &format!("c{number}"))).collect::<Vec<_>>();
        assert!(read(columns(MAX_COLUMNS)).is_some());
        assert_eq!(read(columns(MAX_COLUMNS + 1)), None);
        // Few enough of each, but too many bytes.
        let name = "n".repeat(MAX_NAME - 8);
        let many = (0..100).flat_map(|table| (0..100_usize).map(move |column| (table, column)));
        let many = many.map(|(table, column)| row(&format!("t{table}"), &format!("{name}{column}")));
        assert_eq!(read(many.collect()), None);
    }

    #[test]
    fn an_answer_to_something_else_is_not_taken() {
        assert_eq!(read(Vec::new()), None, "no table");
        assert_eq!(read_as_it_is(&[row("users", "uid")]), None, "no version");
        assert_eq!(read(vec![json!({ "a": "b" }), json!({})]), None);
        let kinds = read(vec![
            json!({ "table": "t", "column": "a", "type": "BIGINT", "hidden": "1" }),
            json!({ "table": "t", "column": "b", "type": "x".repeat(100_000), "hidden": "0" }),
        ]);
        let columns = kinds.unwrap().tables.0.remove("t").unwrap();
        assert_eq!(
            columns.iter().map(|column| (column.kind, column.is_hidden)).collect::<Vec<_>>(),
            [(ColumnType::BigInt, true), (ColumnType::Unknown, false)]
        );
    }
}
