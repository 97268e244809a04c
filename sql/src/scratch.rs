//! An empty database in memory with the tables of agents, in which SQLite itself says what a statement reads.
//!
//! Nothing is ever run in it but `EXPLAIN`. Its limits and its authorizer bound what preparing a statement costs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::functions::FunctionFlags;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::Null;
use rusqlite::{Connection, Error};

use crate::check::{MAX_SQL_BYTES, beyond_reading};

/// Most tables, columns and functions that SQLite may ask for in one statement.
const MAX_ASKED: usize = 500_000;

/// Most callbacks of SQLite while it prepares a statement, each after [`STEPS`] steps.
const MAX_PROGRESS: usize = 20_000;

/// Steps of SQLite between two callbacks.
const STEPS: i32 = 100;

/// What SQLite may use at most for a statement.
const LIMITS: [(Limit, i32); 5] = [
    (Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_SQL_BYTES as i32 + 64),
    (Limit::SQLITE_LIMIT_LENGTH, 4 * MAX_SQL_BYTES as i32),
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// The column that stands for those of a table nobody knows.
pub(crate) const UNKNOWN: &str = "columns nobody knows";

/// What the database holds. All names are in small letters.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    /// Names and types of columns by table.
    pub tables: BTreeMap<String, Vec<(String, &'static str)>>,
    /// Tables that are there as temporary ones, too.
    pub in_temp: BTreeSet<String>,
    pub views: BTreeMap<String, String>,
    pub functions: BTreeSet<String>,
    pub indexes: Vec<LaidIndex>,
}

/// An index on a column.
#[derive(Debug, Clone)]
pub(crate) struct LaidIndex {
    pub name: String,
    pub table: String,
    pub column: String,
    pub collation: &'static str,
}

impl Layout {
    pub fn has_column(&self, table: &str, name: &str) -> bool {
        self.tables.get(table).is_some_and(|columns| columns.iter().any(|(column, _)| column == name))
    }

    /// Adds a column of texts, if the table is there without it.
    pub fn add_column(&mut self, table: &str, name: &str) {
        if !self.has_column(table, name)
            && let Some(columns) = self.tables.get_mut(table)
        {
            columns.push((name.to_owned(), "TEXT"));
        }
    }

    pub fn add_column_to_all(&mut self, name: &str) {
        for table in self.tables.keys().cloned().collect::<Vec<_>>() {
            self.add_column(&table, name);
        }
    }

    fn script(&self) -> String {
        let mut script = String::new();
        for (name, columns) in &self.tables {
            let columns: Vec<String> = columns.iter().map(|(name, kind)| format!("{} {kind}", quoted(name))).collect();
            let (name, columns) = (quoted(name), columns.join(","));
            let _ = writeln!(script, "CREATE TABLE main.{name}({columns});");
        }
        for name in &self.in_temp {
            if let Some(columns) = self.tables.get(name) {
                let columns: Vec<String> =
                    columns.iter().map(|(name, kind)| format!("{} {kind}", quoted(name))).collect();
                let _ = writeln!(script, "CREATE TABLE temp.{}({});", quoted(name), columns.join(","));
            }
        }
        for LaidIndex { name, table, column, collation } in &self.indexes {
            let (table_name, column) = (quoted(table), quoted(column));
            let _ = writeln!(script, "CREATE INDEX main.{name} ON {table_name}({column} COLLATE {collation});");
            if self.in_temp.contains(table) {
                let _ = writeln!(script, "CREATE INDEX temp.{name} ON {table_name}({column} COLLATE {collation});");
            }
        }
        script
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What became of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Prepared,
    /// A name with the schema it was written with.
    NoTable {
        schema: Option<String>,
        name: String,
    },
    /// The name as it was written, and where. `in_using` if it stands in `USING`.
    NoColumn {
        written: String,
        at: i32,
        in_using: bool,
    },
    NoFunction(String),
    Failed(String),
}

/// A table and one of its columns; an empty name of a column if a statement reads none.
pub(crate) type ReadColumn = (String, String);

/// What SQLite has asked for.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    pub read: BTreeSet<ReadColumn>,
    pub functions: BTreeSet<String>,
    /// Whether an expression is made of itself.
    pub is_recursive: bool,
    count: usize,
    refused: Option<String>,
}

pub(crate) struct Scratch {
    connection: Connection,
    asked: Arc<Mutex<Requests>>,
}

impl Scratch {
    /// A database with this in it.
    pub fn open(layout: &Layout) -> rusqlite::Result<Self> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch("PRAGMA automatic_index = off; PRAGMA temp_store = memory;")?;
        connection.execute_batch(&layout.script())?;
        for (name, sql) in &layout.views {
            // A view that SQLite cannot parse is there for no statement.
            let _ = connection.execute_batch(&format!("CREATE VIEW main.{} AS {sql}", quoted(name)));
        }
        for name in &layout.functions {
            let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
            connection.create_scalar_function(name.as_str(), -1, flags, |_| Ok(Null))?;
        }
        for (limit, most) in LIMITS {
            connection.set_limit(limit, most)?;
        }
        let asked = Arc::new(Mutex::new(Requests::default()));
        let noted = Arc::clone(&asked);
        connection.authorizer(Some(move |context: AuthContext<'_>| {
            noted.lock().unwrap_or_else(PoisonError::into_inner).note(&context.action)
        }))?;
        let mut callbacks = 0;
        connection.progress_handler(
            STEPS,
            Some(move || {
                callbacks += 1;
                callbacks > MAX_PROGRESS
            }),
        )?;
        Ok(Self { connection, asked })
    }

    /// Has SQLite prepare a statement.
    pub fn prepare(&self, sql: &str) -> (Outcome, Requests) {
        let outcome = self.connection.prepare(sql).map(|_| ());
        let asked = std::mem::take(&mut *self.asked.lock().unwrap_or_else(PoisonError::into_inner));
        let outcome = match (outcome, &asked.refused) {
            (_, Some(refused)) => Outcome::Failed(refused.clone()),
            (Ok(()), None) => Outcome::Prepared,
            (Err(error), None) => outcome_of(&error),
        };
        (outcome, asked)
    }

    /// The rows of an `EXPLAIN` of any kind: the numbers and texts of each.
    pub fn explain(&self, sql: &str) -> rusqlite::Result<Vec<Operation>> {
        let mut statement = self.connection.prepare(sql)?;
        let is_plan = statement.column_count() == 4;
        let steps = statement.query_map([], |row| {
            if is_plan {
                return Ok(Operation { word: row.get(3)?, numbers: [0; 3] });
            }
            Ok(Operation { word: row.get(1)?, numbers: [row.get(2)?, row.get(3)?, row.get(4)?] })
        })?;
        steps.collect()
    }

    /// The root pages of tables and indexes.
    pub fn root_pages(&self) -> rusqlite::Result<Vec<RootPage>> {
        let mut root_pages = Vec::new();
        for (database, schema) in [(0, "main.sqlite_master"), (1, "temp.sqlite_temp_master")] {
            let mut statement = self.connection.prepare(&format!(
                "SELECT rootpage, tbl_name, type = 'index', name FROM {schema} WHERE type IN ('table', 'index')"
            ))?;
            let rows = statement.query_map([], |row| {
                let index: Option<String> = if row.get(2)? { Some(row.get(3)?) } else { None };
                Ok(RootPage { database, root: row.get(0)?, table: row.get(1)?, index })
            })?;
            root_pages.extend(rows.collect::<rusqlite::Result<Vec<_>>>()?);
        }
        Ok(root_pages)
    }
}

/// Where the rows of a table or index are, which is how a program names them.
#[derive(Debug, Clone)]
pub(crate) struct RootPage {
    pub database: i64,
    pub root: i64,
    pub table: String,
    pub index: Option<String>,
}

/// A row of an `EXPLAIN`: the word of the operation with its first three numbers, or the text of the plan.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub word: String,
    pub numbers: [i64; 3],
}

impl Requests {
    fn note(&mut self, action: &AuthAction<'_>) -> Authorization {
        self.count += 1;
        if self.count > MAX_ASKED {
            self.refused = Some("reads too many columns".to_owned());
            return Authorization::Deny;
        }
        match action {
            AuthAction::Read { table_name, column_name } => {
                self.read.insert((table_name.to_ascii_lowercase(), column_name.to_ascii_lowercase()));
            }
            AuthAction::Function { function_name } => {
                self.functions.insert(function_name.to_ascii_lowercase());
            }
            AuthAction::Recursive => self.is_recursive = true,
            other => {
                if let Some(what) = beyond_reading(other) {
                    self.refused = Some(format!("is not allowed: {what}; agents only read"));
                    return Authorization::Deny;
                }
            }
        }
        Authorization::Allow
    }
}

fn outcome_of(error: &Error) -> Outcome {
    let (message, at) = match error {
        Error::SqlInputError { msg, offset, .. } => (msg.clone(), *offset),
        Error::SqliteFailure(_, Some(message)) => (message.clone(), -1),
        other => (other.to_string(), -1),
    };
    let after = |words: &str| message.strip_prefix(words).map(str::to_owned);
    if let Some(written) = after("no such table: ") {
        let (schema, name) = match written.split_once('.') {
            Some((schema @ ("main" | "temp"), name)) => (Some(schema.to_owned()), name.to_owned()),
            _ => (None, written.clone()),
        };
        return Outcome::NoTable { schema, name: name.to_ascii_lowercase() };
    }
    if let Some(written) = after("no such column: ") {
        return Outcome::NoColumn { written: written.to_ascii_lowercase(), at, in_using: false };
    }
    let using = after("cannot join using column ")
        .and_then(|rest| rest.split_once(" - column not present").map(|(name, _)| name.to_owned()));
    if let Some(written) = using {
        return Outcome::NoColumn { written: written.to_ascii_lowercase(), at, in_using: true };
    }
    let function = after("no such function: ")
        .or_else(|| after("wrong number of arguments to function ").map(|rest| rest.trim_end_matches("()").to_owned()));
    match function {
        Some(name) => Outcome::NoFunction(name.to_ascii_lowercase()),
        None => Outcome::Failed(format!("is not SQL that SQLite understands: {message}")),
    }
}
