//! Statements made at random: what they read is what SQLite's own authorizer says on a database with all tables.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use muster_sql::{AgentColumn, AgentTables, AskedSql, Effect, Guard, GuardRole, SqlKind, reads};
use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};

const TABLES: [(&str, &[&str]); 4] = [
    ("processes", &["pid", "name", "path", "uid"]),
    ("users", &["uid", "username", "directory"]),
    ("curl", &["url", "result", "uid"]),
    ("file", &["path", "directory", "size"]),
];

const VIEWS: [(&str, &[&str], &str); 2] = [
    ("web", &["url", "uid"], "SELECT url, uid FROM curl"),
    ("homes", &["directory", "size"], "SELECT u.directory, f.size FROM users u JOIN file f ON f.path = u.directory"),
];

const GUARD: &str = "
mode: enforce
rules:
  - {name: a, tables: [curl], deny: true, reason: r}
  - {name: b, tables: [users], columns: [directory], deny: true, reason: r}
";

/// Makes a statement of choices.
struct QueryMaker<'a> {
    choices: std::slice::Iter<'a, u8>,
    aliases: usize,
    /// Expressions by name, with their columns.
    expressions: Vec<(String, Vec<String>)>,
}

impl QueryMaker<'_> {
    fn choose(&mut self, of: usize) -> usize {
        usize::from(self.choices.next().copied().unwrap_or(0)) % of
    }

    fn written(&mut self, name: &str) -> String {
        match self.choose(6) {
            0 => name.to_uppercase(),
            1 => format!("\"{name}\""),
            2 => format!("[{name}]"),
            3 => format!("/*{name}*/`{name}`"),
            4 => format!("{name} -- curl\n"),
            _ => name.to_owned(),
        }
    }

    /// A source with an alias, and its columns as they are written.
    fn source(&mut self, depth: usize) -> (String, Vec<String>) {
        self.aliases += 1;
        let alias = ["a", "curl", "users", "x"][self.choose(4)].to_owned() + &self.aliases.to_string();
        let (text, columns): (String, Vec<String>) = match self.choose(if depth == 0 { 6 } else { 9 }) {
            at @ 0..=3 => {
                let (name, columns) = TABLES[at];
                let schema = ["", "main.", "MAIN . "][self.choose(3)];
                (format!("{schema}{}", self.written(name)), columns.iter().map(|&column| column.to_owned()).collect())
            }
            at @ 4..=5 => {
                let (name, columns, _) = VIEWS[at - 4];
                (self.written(name), columns.iter().map(|&column| column.to_owned()).collect())
            }
            6 | 7 => {
                let (text, columns) = self.select(depth - 1);
                (format!("({text})"), columns)
            }
            _ => match self.expressions.last().cloned() {
                Some((name, columns)) => (self.written(&name), columns),
                None => ("(SELECT 1 AS one)".to_owned(), vec!["one".to_owned()]),
            },
        };
        let columns = columns.iter().map(|column| format!("{alias}.{}", self.written(column))).collect();
        (format!("{text} AS {alias}"), columns)
    }

    fn value(&mut self, columns: &[String], depth: usize) -> String {
        let column = columns[self.choose(columns.len())].clone();
        match self.choose(if depth == 0 { 6 } else { 8 }) {
            0 | 1 => column,
            2 => format!("length({column})"),
            3 => "'curl'".to_owned(),
            4 => format!("CASE WHEN {column} THEN 1 END"),
            5 => format!("{column} || 'x'"),
            6 => format!("(SELECT count(*) FROM ({}) WHERE {column})", self.select(depth - 1).0),
            _ => format!("EXISTS (SELECT 1 FROM {})", self.source(depth - 1).0),
        }
    }

    /// A query, and the names of its columns.
    fn select(&mut self, depth: usize) -> (String, Vec<String>) {
        let known = self.expressions.len();
        let mut text = String::new();
        if depth > 0 && self.choose(3) == 0 {
            let (body, columns) = self.select(depth - 1);
            let name = ["e", "curl", "users"][self.choose(3)];
            text = format!("WITH {} AS ({body}) ", self.written(name));
            self.expressions.push((name.to_owned(), columns));
        }
        let (mut from, mut columns) = self.source(depth);
        for _ in 0..self.choose(3) {
            let (next, more) = self.source(depth);
            let join = [", ", " JOIN ", " LEFT JOIN ", " CROSS JOIN "][self.choose(4)];
            from = format!("{from}{join}{next}");
            columns.extend(more);
        }
        let names: Vec<String> = (0..=self.choose(3)).map(|at| format!("c{at}")).collect();
        let values: Vec<String> =
            names.iter().map(|name| format!("{} AS {name}", self.value(&columns, depth))).collect();
        text = format!("{text}SELECT {} FROM {from}", values.join(", "));
        if self.choose(2) == 0 {
            text = format!("{text} WHERE {} = {}", self.value(&columns, depth), self.value(&columns, depth));
        }
        if self.choose(4) == 0 {
            let order = self.value(&columns, depth);
            text = format!("{text} GROUP BY {order}");
        }
        if depth > 0 && self.choose(5) == 0 {
            let (other, more) = self.select(0);
            if more.len() == names.len() {
                text = format!("{text} UNION {other}");
            }
        }
        self.expressions.truncate(known);
        (text, names)
    }
}

/// A table with the columns that the authorizer was asked for; an empty one if it was asked for none.
type Read = BTreeMap<String, BTreeSet<String>>;

/// What SQLite says on a database with everything; `None` if it cannot prepare the statement.
fn authorized(sql: &str) -> Option<Read> {
    authorized_without(sql, "")
}

/// What SQLite says on a database without this table or view.
fn authorized_without(sql: &str, without: &str) -> Option<Read> {
    let connection = Connection::open_in_memory().unwrap();
    for (name, columns) in TABLES.into_iter().filter(|(name, _)| *name != without) {
        connection.execute_batch(&format!("CREATE TABLE {name}({})", columns.join(","))).unwrap();
    }
    for (name, _, query) in VIEWS.into_iter().filter(|(name, ..)| *name != without) {
        connection.execute_batch(&format!("CREATE VIEW {name} AS {query}")).unwrap();
    }
    let read = Arc::new(Mutex::new(Read::new()));
    let noted = Arc::clone(&read);
    connection
        .authorizer(Some(move |context: AuthContext<'_>| {
            if let AuthAction::Read { table_name, column_name } = context.action {
                let mut noted = noted.lock().unwrap();
                noted.entry(table_name.to_lowercase()).or_default().insert(column_name.to_lowercase());
            }
            Authorization::Allow
        }))
        .unwrap();
    connection.prepare(sql).ok()?;
    let read = std::mem::take(&mut *read.lock().unwrap());
    Some(read)
}

fn tables() -> AgentTables {
    let mut tables = AgentTables::default();
    for (name, columns) in TABLES {
        tables.add_table(name, columns.iter().map(|column| AgentColumn::new(column, "", false)));
    }
    VIEWS.iter().for_each(|(name, _, query)| tables.add_view(name, query));
    tables
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_statements_read_is_what_sqlite_asks_its_authorizer(choices in prop::collection::vec(any::<u8>(), 4..160)) {
        let mut maker = QueryMaker { choices: choices.iter(), aliases: 0, expressions: Vec::new() };
        let (sql, _) = maker.select(2);
        let Some(authorized) = authorized(&sql) else { return Err(TestCaseError::reject("is not SQL")) };
        let read = reads(&sql, &tables()).map_err(|unclear| TestCaseError::fail(format!("{sql}\n{unclear:?}")))?;
        prop_assert!(read.unknown_tables.is_empty() && read.unknown_columns.is_empty(), "{}\n{:?}", sql, read);
        // SQLite also asks for expressions by name if no column of theirs is read.
        let is_expression = |name: &str| ["e", "curl", "users"].contains(&name);
        for (table, columns) in &authorized {
            let columns: BTreeSet<String> = columns.iter().filter(|column| !column.is_empty()).cloned().collect();
            let found = read.tables.get(table);
            prop_assert!(found == Some(&columns) || (found.is_none() && columns.is_empty() && is_expression(table)), "{}: {}", table, sql);
        }
        // It does not ask for a view of which no column is read, nor for what nothing uses; there they have to be.
        let is_asked = |(table, columns): (&String, &BTreeSet<String>)| {
            authorized.contains_key(table) || (columns.is_empty() && authorized_without(&sql, table).is_none())
        };
        prop_assert!(read.tables.iter().all(is_asked), "{}\n{:?}", sql, read);
        let guard = Guard::parse(GUARD).unwrap();
        let asked = AskedSql { sql: &sql, role: GuardRole::Admin, kind: SqlKind::Live, labels: None };
        let is_denied = read.tables.contains_key("curl")
            || read.tables.get("users").is_some_and(|columns| columns.contains("directory"));
        prop_assert_eq!(guard.decide(&asked, &tables()).effect == Effect::Refused, is_denied, "{}", sql);
    }
}

#[test]
fn statements_made_at_random_are_mostly_sql() {
    let choices: Vec<u8> = (0..=255).map(|at: u8| at.wrapping_mul(37)).collect();
    let made = (0..200).filter(|from| {
        let mut maker = QueryMaker { choices: choices[*from..].iter(), aliases: 0, expressions: Vec::new() };
        authorized(&maker.select(2).0).is_some()
    });
    assert!(made.count() > 150);
}
