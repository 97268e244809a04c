//! What a statement reads.

use std::collections::{BTreeMap, BTreeSet};

use crate::agent_tables::{AgentColumn, AgentTables};
use crate::check;
use crate::program::Compiled;
use crate::scratch::{Layout, Outcome, ReadColumn, Requests, Scratch, UNKNOWN};
use crate::size::{self, TOO_LARGE};
use crate::tokens::{Token, tokens};

/// Most tokens that SQLite is given for one text, in all attempts together.
const MAX_WORK: usize = 2_000_000;

/// Most attempts for one text: each names one unknown table, column or function more.
const MAX_ATTEMPTS: usize = 128;

/// Names of rows that every table has.
const ROW_NAMES: [&str; 3] = ["rowid", "oid", "_rowid_"];

/// Tables that SQLite has itself, wherever it runs.
const OWN_TABLES: [&str; 3] = ["pragma_", "json_", "sqlite_"];

/// What a statement reads. All names are in small letters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    /// Tables and views that are known, each with the columns that are read of it.
    pub tables: BTreeMap<String, BTreeSet<String>>,
    /// Tables that SQLite has itself, such as `json_each`, `sqlite_schema` or `pragma_table_info`.
    pub own_tables: BTreeSet<String>,
    pub unknown_tables: BTreeSet<String>,
    pub unknown_columns: BTreeSet<UnknownColumn>,
    pub functions: BTreeSet<String>,
}

/// A column that none of the known tables has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnknownColumn {
    pub name: String,
    /// The tables that it can have been meant of; never empty.
    pub tables: BTreeSet<String>,
}

/// Why nobody can say what a statement reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unclear {
    /// As an error text for operators.
    pub reason: String,
    /// All names in the statement and in views that it may read: whatever it reads is among them.
    pub names: BTreeSet<String>,
}

/// What `sql` reads when agents have these tables.
///
/// # Errors
/// [`Unclear`] for what is no single statement that only reads, for what SQLite cannot parse, for tables that are used as
/// functions with arguments, and for what is too large.
pub fn reads(sql: &str, tables: &AgentTables) -> Result<Reads, Unclear> {
    Analysis::of(sql, tables, &BTreeMap::new()).map(|analysis| analysis.reads)
}

/// A statement, what it reads, and the database in which SQLite says so.
#[derive(Debug)]
pub(crate) struct Analysis<'a> {
    pub statement: &'a str,
    pub reads: Reads,
    /// All tables and columns, whether known or not.
    pub all: BTreeSet<ReadColumn>,
    /// Whether an expression in it is made of itself.
    pub is_recursive: bool,
    pub layout: Layout,
    /// How often SQLite may still be asked.
    pub attempts: usize,
}

impl<'a> Analysis<'a> {
    /// `named` are tables that are there whatever `tables` says, and columns that they have if `tables` knows them.
    pub fn of(sql: &'a str, tables: &AgentTables, named: &BTreeMap<String, BTreeSet<String>>) -> Result<Self, Unclear> {
        let own_names = names_of(&tokens(sql));
        let views = views_of(&own_names, tables.views());
        let names = with_names_of(own_names, &views);
        let unclear = |reason: &str| Unclear { reason: reason.to_owned(), names: names.clone() };
        let statement = check::statement(sql).and_then(|statement| check::check(sql).map(|()| statement));
        let statement = statement.map_err(|reason| unclear(&reason))?;
        let weight = size::weight(&tokens(statement), &views).ok_or_else(|| unclear(TOO_LARGE))?;
        let (mut layout, unknown_tables) = layout(&names, tables, named);
        layout.views = views.keys().map(|name| (name.clone(), tables.views()[name].clone())).collect();
        let attempts = MAX_ATTEMPTS.min(MAX_WORK / weight.max(1));
        let unknown_columns = BTreeSet::new();
        let mut search = Search { statement, names: &names, layout, unknown_tables, unknown_columns, attempts };
        let Requests { read: all, functions, is_recursive, .. } = search.run().map_err(|reason| unclear(&reason))?;
        let reads = search.reads(&all, functions);
        let (layout, attempts) = (search.layout, search.attempts);
        Ok(Self { statement, reads, all, is_recursive, layout, attempts })
    }
}

/// Tries a statement, adding what it lacks, until SQLite can prepare it.
struct Search<'a> {
    statement: &'a str,
    /// All names in it and its views.
    names: &'a BTreeSet<String>,
    layout: Layout,
    /// Tables of which nobody has reported anything.
    unknown_tables: BTreeSet<String>,
    unknown_columns: BTreeSet<UnknownColumn>,
    attempts: usize,
}

impl Search<'_> {
    /// What SQLite asks for, and what it reads unasked.
    fn run(&mut self) -> Result<Requests, String> {
        loop {
            let (outcome, mut asked) = self.attempt(&self.layout.clone())?;
            match &outcome {
                Outcome::Prepared => {
                    asked.read.extend(self.columns_in_program()?);
                    self.settle_nameless(&mut asked.read)?;
                    return Ok(asked);
                }
                Outcome::NoTable { schema, name } => self.add_table(schema.as_deref(), name)?,
                Outcome::NoFunction(name) if self.layout.functions.insert(name.clone()) => {}
                Outcome::NoFunction(name) => return Err(failed(&format!("no such function: {name}"))),
                Outcome::NoColumn { written, .. } => self.add_column(written, &outcome)?,
                Outcome::Failed(reason) => return Err(reason.clone()),
            }
        }
    }

    fn attempt(&mut self, layout: &Layout) -> Result<(Outcome, Requests), String> {
        const TOO_MANY: &str = "names too many tables, columns or functions that nobody knows";
        self.attempts = self.attempts.checked_sub(1).ok_or(TOO_MANY)?;
        let scratch = Scratch::open(layout).map_err(|error| format!("cannot be looked at: {error}"))?;
        Ok(scratch.prepare(self.statement))
    }

    fn add_table(&mut self, schema: Option<&str>, name: &str) -> Result<(), String> {
        let is_there = self.layout.tables.contains_key(name);
        let is_new_in_temp = schema == Some("temp") && self.layout.in_temp.insert(name.to_owned());
        if !is_there {
            self.layout.tables.insert(name.to_owned(), vec![(UNKNOWN.to_owned(), "")]);
            self.unknown_tables.insert(name.to_owned());
        } else if !is_new_in_temp {
            return Err(failed(&format!("no such table: {name}")));
        }
        Ok(())
    }

    /// Adds a column to the tables that it can have been meant of: tables that nobody knows can have it.
    fn add_column(&mut self, written: &str, lacking: &Outcome) -> Result<(), String> {
        let name = match written.rsplit_once('.') {
            Some((_, name)) if !self.names.contains(written) => name,
            _ => written,
        };
        let has_it = |columns: &[(String, &str)]| columns.iter().any(|(column, _)| column == name);
        let without = self.layout.tables.iter().filter(|(_, columns)| !has_it(columns));
        let (unknown, known): (Vec<String>, Vec<String>) =
            without.map(|(table, _)| table.clone()).partition(|table| self.unknown_tables.contains(table));
        for table in unknown {
            if self.is_column_of(name, &table, lacking)? {
                self.layout.add_column(&table, name);
                return Ok(());
            }
        }
        let mut tables = BTreeSet::new();
        for table in &known {
            if self.is_column_of(name, table, lacking)? {
                tables.insert(table.clone());
            }
        }
        let is_in_using = matches!(lacking, Outcome::NoColumn { in_using: true, .. });
        if let Some(first) = tables.first() {
            self.layout.add_column(first, name);
        } else if is_in_using && self.layout.tables.keys().any(|table| !self.layout.has_column(table, name)) {
            // Neither side of the join has it.
            self.layout.add_column_to_all(name);
            tables.extend(known);
        } else {
            return Err(failed(&format!("no such column: {written}")));
        }
        if !tables.is_empty() {
            self.unknown_columns.insert(UnknownColumn { name: name.to_owned(), tables });
        }
        Ok(())
    }

    /// Whether SQLite no longer lacks a column if this table has it.
    fn is_column_of(&mut self, name: &str, table: &str, lacking: &Outcome) -> Result<bool, String> {
        let mut layout = self.layout.clone();
        layout.add_column(table, name);
        let (outcome, _) = self.attempt(&layout)?;
        let is_ambiguous = matches!(&outcome, Outcome::Failed(reason) if reason.contains("ambiguous column name"));
        Ok(outcome != *lacking && !is_ambiguous)
    }

    /// The columns that the program of SQLite reads. Its authorizer is not asked for those that `NATURAL` and `USING` compare.
    fn columns_in_program(&mut self) -> Result<BTreeSet<ReadColumn>, String> {
        self.attempts = self.attempts.saturating_sub(1);
        let compiled =
            Compiled::of(&self.layout, self.statement).map_err(|error| format!("cannot be looked at: {error}"))?;
        Ok(compiled.columns(&self.layout))
    }

    /// Finds out what SQLite does not tell: it says that a table is read, but of no column, also of an expression with the name
    /// of a table; and it says nothing of a table of which only `NATURAL` or `USING` compare columns. A statement can do without
    /// a table that it does not read.
    fn settle_nameless(&mut self, read: &mut BTreeSet<ReadColumn>) -> Result<(), String> {
        let is_named = |table: &&String| read.iter().any(|(other, column)| other == *table && !column.is_empty());
        let nameless =
            read.iter().map(|(table, _)| table).chain(self.layout.tables.keys()).chain(self.layout.views.keys());
        let nameless: BTreeSet<String> =
            nameless.filter(|table| !is_named(table) && !is_own_table(table)).cloned().collect();
        for table in nameless {
            let mut layout = self.layout.clone();
            layout.tables.remove(&table);
            layout.in_temp.remove(&table);
            layout.views.remove(&table);
            if self.attempt(&layout)?.0 == Outcome::Prepared {
                read.remove(&(table, String::new()));
            } else {
                read.insert((table, String::new()));
            }
        }
        Ok(())
    }

    fn reads(&self, all: &BTreeSet<ReadColumn>, functions: BTreeSet<String>) -> Reads {
        let mut reads = Reads { functions, unknown_columns: self.unknown_columns.clone(), ..Reads::default() };
        let is_added = |table: &str, name: &str| {
            self.unknown_columns.iter().any(|column| column.name == name && column.tables.contains(table))
        };
        for (table, column) in all {
            let is_here = self.layout.tables.contains_key(table) || self.layout.views.contains_key(table);
            if is_own_table(table) && !is_here {
                reads.own_tables.insert(table.clone());
            } else if !is_here || self.unknown_tables.contains(table) {
                reads.unknown_tables.insert(table.clone());
            } else {
                let columns = reads.tables.entry(table.clone()).or_default();
                let is_declared = self.layout.has_column(table, column) || self.layout.views.contains_key(table);
                if !column.is_empty() && (is_declared || !ROW_NAMES.contains(&&**column)) && !is_added(table, column) {
                    columns.insert(column.clone());
                }
            }
        }
        reads
    }
}

fn failed(reason: &str) -> String {
    format!("is not SQL that SQLite understands: {reason}")
}

fn is_own_table(name: &str) -> bool {
    OWN_TABLES.iter().any(|beginning| name.starts_with(beginning))
}

fn names_of(tokens: &[Token<'_>]) -> BTreeSet<String> {
    tokens.iter().filter_map(Token::name).collect()
}

fn with_names_of(mut names: BTreeSet<String>, views: &BTreeMap<String, Vec<Token<'_>>>) -> BTreeSet<String> {
    names.extend(views.values().flat_map(|tokens| names_of(tokens)));
    names
}

/// All names in a text and in the views of `tables` that it may read, in small letters: whatever it reads is among them.
pub fn names_with_views(sql: &str, tables: &AgentTables) -> BTreeSet<String> {
    let names = names_of(&tokens(sql));
    let views = views_of(&names, tables.views());
    with_names_of(names, &views)
}

/// The views that these names can mean, and those that they are made of, with their tokens.
fn views_of<'v>(names: &BTreeSet<String>, views: &'v BTreeMap<String, String>) -> BTreeMap<String, Vec<Token<'v>>> {
    let mut found: BTreeMap<String, Vec<Token<'v>>> = BTreeMap::new();
    let mut wanted: Vec<String> = names.iter().cloned().collect();
    while let Some(name) = wanted.pop() {
        let Some(sql) = views.get(&name) else { continue };
        // What is no query is no view.
        if found.contains_key(&name) || check::check(sql).is_err() {
            continue;
        }
        let tokens = tokens(sql);
        wanted.extend(names_of(&tokens));
        found.insert(name, tokens);
    }
    found
}

/// The tables and columns that these names can mean. Hidden columns are there only if they are named: `*` leaves them out.
fn layout(
    names: &BTreeSet<String>,
    tables: &AgentTables,
    named: &BTreeMap<String, BTreeSet<String>>,
) -> (Layout, BTreeSet<String>) {
    let (mut layout, mut unknown) = (Layout::default(), BTreeSet::new());
    for name in names.iter().filter(|name| !is_own_table(name)) {
        let Some(known) = tables.table(name) else {
            if named.contains_key(name) {
                layout.tables.insert(name.clone(), vec![(UNKNOWN.to_owned(), "")]);
                unknown.insert(name.clone());
            }
            continue;
        };
        let is_there = |column: &&AgentColumn| !column.is_hidden() || names.contains(column.name());
        let mut columns: Vec<(String, &'static str)> =
            known.iter().filter(is_there).map(|column| (column.name().to_owned(), column.kind())).collect();
        if columns.is_empty() {
            columns.push((UNKNOWN.to_owned(), ""));
        }
        layout.tables.insert(name.clone(), columns);
        for column in named.get(name).into_iter().flatten() {
            layout.add_column(name, column);
        }
    }
    (layout, unknown)
}

#[cfg(test)]
mod tests;
