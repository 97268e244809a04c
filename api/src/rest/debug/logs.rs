use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Warnings or errors that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedErrors {
    pub count: u64,
    pub first_seen: DateTime<Utc>,
    pub last_seen: DateTime<Utc>,
    pub level: String,
    /// Module and line that log it.
    pub target: String,
    /// The message first, then the causes.
    pub chain: Vec<LoggedCause>,
}

/// One of the causes, the outermost first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedCause {
    pub message: String,
}

/// The latest lines of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatestLogs {
    /// The oldest first.
    pub lines: Vec<LoggedLine>,
}

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedLine {
    pub at: DateTime<Utc>,
    pub level: String,
    pub target: String,
    /// As it was written.
    pub line: String,
}

/// Filter of the lines that are logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLevelNow {
    pub filter: String,
    /// To which it goes back.
    pub configured: String,
    /// When it does; absent if it is the one of the configuration.
    #[serde(default)]
    pub until: Option<DateTime<Utc>>,
}

/// Changes for a time which lines are logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangeLogLevel {
    /// Levels by module, such as `info,muster::fleet::live=debug`.
    pub filter: String,
    /// At most a day.
    #[serde(default = "ten_minutes")]
    pub for_seconds: u64,
}

fn ten_minutes() -> u64 {
    600
}
