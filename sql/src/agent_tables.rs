//! The tables and columns that agents have.

use std::collections::BTreeMap;

/// Types that are given to columns. SQLite compares by them.
const KINDS: [&str; 6] = ["TEXT", "INTEGER", "BIGINT", "UNSIGNED BIGINT", "DOUBLE", "BLOB"];

/// Most columns of a table that are looked at. SQLite has room for 2,000; some are for those that a statement adds.
const MAX_COLUMNS: usize = 1_500;

/// A column of an agent's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentColumn {
    /// In small letters.
    name: String,
    kind: &'static str,
    is_hidden: bool,
}

impl AgentColumn {
    /// A column of a type that osquery knows, such as `BIGINT`; of any other it has none. `SELECT *` leaves hidden columns out.
    pub fn new(name: &str, kind: &str, is_hidden: bool) -> Self {
        let kind = KINDS.iter().find(|known| known.eq_ignore_ascii_case(kind.trim())).copied().unwrap_or_default();
        Self { name: name.to_ascii_lowercase(), kind, is_hidden }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(crate) fn is_hidden(&self) -> bool {
        self.is_hidden
    }
}

/// Tables and views by name. Names that differ in the case of letters alone are the same, as they are to SQLite.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentTables {
    tables: BTreeMap<String, Vec<AgentColumn>>,
    views: BTreeMap<String, String>,
}

impl AgentTables {
    /// Adds a table, or columns to one that is there. Columns beyond 1,500 are left out.
    pub fn add_table(&mut self, name: &str, columns: impl IntoIterator<Item = AgentColumn>) {
        let known = self.tables.entry(name.to_ascii_lowercase()).or_default();
        for column in columns {
            if let Some(other) = known.iter_mut().find(|other| other.name == column.name) {
                other.is_hidden &= column.is_hidden;
            } else if known.len() < MAX_COLUMNS {
                known.push(column);
            }
        }
    }

    /// Adds a view: a query that agents run under a name, from `views` of their options.
    pub fn add_view(&mut self, name: &str, sql: &str) {
        self.views.insert(name.to_ascii_lowercase(), sql.to_owned());
    }

    /// The same tables, with these views and no others.
    pub fn with_views<'a>(&self, views: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut tables = Self { tables: self.tables.clone(), views: BTreeMap::new() };
        views.into_iter().for_each(|(name, sql)| tables.add_view(name, sql));
        tables
    }

    /// Adds everything that others have.
    pub fn add_all(&mut self, others: &Self) {
        for (name, columns) in &others.tables {
            self.add_table(name, columns.iter().cloned());
        }
        self.views.extend(others.views.clone());
    }

    pub(crate) fn table(&self, name: &str) -> Option<&[AgentColumn]> {
        self.tables.get(name).map(Vec::as_slice)
    }

    pub(crate) fn views(&self) -> &BTreeMap<String, String> {
        &self.views
    }

    /// Those of these names, and all views.
    pub(crate) fn only(&self, names: impl IntoIterator<Item = String>) -> Self {
        let named = names.into_iter().filter_map(|name| self.tables.get_key_value(&name));
        let tables = named.map(|(name, columns)| (name.clone(), columns.clone())).collect();
        Self { tables, views: self.views.clone() }
    }

    /// All that tells sets of tables apart, in a form that can be compared.
    pub(crate) fn shape(&self) -> Vec<(String, String)> {
        let columns = |columns: &[AgentColumn]| {
            let word = |column: &AgentColumn| format!("{}:{}:{}", column.name, column.kind, column.is_hidden);
            columns.iter().map(word).collect::<Vec<_>>().join(" ")
        };
        let tables = self.tables.iter().map(|(name, of)| (name.clone(), columns(of)));
        tables.chain(self.views.clone()).collect()
    }
}
