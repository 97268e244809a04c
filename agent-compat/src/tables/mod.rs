//! Where the answers to SQL come from.

pub mod host;
mod number;
mod sqlite;

pub use sqlite::SqliteHost;

use crate::agent::Identity;

/// A result row: column names and values in SELECT order. NULL is the empty string.
pub type Row = Vec<(String, String)>;

/// Cost of one query for the process of the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Time from start to end in milliseconds.
    pub wall_ms: u64,
    /// User CPU time in milliseconds.
    pub user_ms: u64,
    /// System CPU time in milliseconds.
    pub system_ms: u64,
    /// Growth of resident memory in bytes.
    pub memory_bytes: u64,
}

/// The tables that describe the agent itself; only the agent knows their rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnTable {
    /// `osquery_info`
    Info,
    /// `osquery_schedule`
    Schedule,
    /// `osquery_packs`
    Packs,
    /// `osquery_flags`
    Flags,
}

impl OwnTable {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Info, Self::Schedule, Self::Packs, Self::Flags];

    /// The name used in SQL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "osquery_info",
            Self::Schedule => "osquery_schedule",
            Self::Packs => "osquery_packs",
            Self::Flags => "osquery_flags",
        }
    }
}

/// Gives the present rows of the tables about the agent.
pub trait OwnRows {
    /// All rows, each with all columns that the agent's version has.
    fn rows(&self, table: OwnTable) -> Vec<Row>;
}

/// The moment at which a query is asked, and by whom.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Unix time in milliseconds.
    pub now_ms: u64,
    /// The host that runs the query.
    pub identity: &'a Identity,
    /// The tables about the agent itself.
    pub own: &'a dyn OwnRows,
}

/// Answers the SQL of scheduled, discovery, decorator and live queries of one host.
pub trait Tables: Send {
    /// The rows, or the text of the error as osquery words it.
    ///
    /// # Errors
    /// The message that the agent reports, such as `no such table: x`.
    fn query(&mut self, sql: &str, context: &Context<'_>) -> Result<Vec<Row>, String>;

    /// Cost of the latest query.
    fn last_cost(&self) -> Cost {
        Cost::default()
    }
}

impl<F> Tables for F
where
    F: FnMut(&str) -> Result<Vec<Row>, String> + Send,
{
    fn query(&mut self, sql: &str, _: &Context<'_>) -> Result<Vec<Row>, String> {
        self(sql)
    }
}
