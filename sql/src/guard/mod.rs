//! The table guard: which tables and columns who may read.

mod decide;
mod document;
mod loose;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use self::decide::{AskedSql, Decision, Effect, GuardFinding};
pub use self::document::{GuardProblem, GuardProblems};

/// The guard that is shipped: it warns and refuses nothing.
pub const DEFAULT_GUARD: &str = include_str!("default.yml");

/// What becomes of what a rule is against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GuardMode {
    /// It is let through, and said.
    Warn,
    /// It is refused.
    Enforce,
}

/// The role of the user who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum GuardRole {
    Observer,
    Maintainer,
    Admin,
}

/// What SQL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SqlKind {
    /// A live query.
    Live,
    /// A query of a pack or schedule, and the query of a view of agent options.
    Scheduled,
    /// The query of a dynamic label.
    Label,
    /// A decorator of agent options.
    Decorator,
    /// What decides whether a host runs a pack or live query.
    Discovery,
}

/// The rules of a `guard.yml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    mode: GuardMode,
    rules: Vec<GuardRule>,
    /// Tables that rules name, and the columns of `columns`, in small letters.
    named: BTreeMap<String, BTreeSet<String>>,
}

/// A rule. Names of tables and columns are in small letters. An empty list of tables does not occur; any other empty list means
/// all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct GuardRule {
    name: String,
    reason: String,
    tables: BTreeSet<String>,
    columns: BTreeSet<String>,
    roles: BTreeSet<GuardRole>,
    labels: BTreeSet<String>,
    kinds: BTreeSet<SqlKind>,
    mode: GuardMode,
    is_denied: bool,
    needs_approval: bool,
    /// Any of these columns must choose the rows.
    chosen_by: Vec<String>,
    prefix: usize,
    rows: Option<u64>,
    bytes: Option<u64>,
}

impl Guard {
    /// Reads a `guard.yml`.
    ///
    /// # Errors
    /// All mistakes and their places: an unknown key, a name that no table has, a rule that does nothing; of a text that is no YAML
    /// the first.
    pub fn parse(text: &str) -> Result<Self, GuardProblems> {
        document::read(text)
    }

    /// What becomes of what no rule is about.
    pub fn mode(&self) -> GuardMode {
        self.mode
    }

    /// Whether anything can be refused.
    pub fn enforces(&self) -> bool {
        self.mode == GuardMode::Enforce || self.rules.iter().any(|rule| rule.mode == GuardMode::Enforce)
    }

    /// Labels that rules name.
    pub fn labels(&self) -> BTreeSet<&str> {
        self.rules.iter().flat_map(|rule| &rule.labels).map(String::as_str).collect()
    }

    /// Tables that rules name, in small letters.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(String::as_str)
    }
}
