//! What an agent says of its schedule: the rows of `osquery_schedule`, beside who says it and when.
//!
//! All columns are asked for, because a column that an agent's version lacks would fail the whole question. Agents send
//! every value as text.

use muster_api::osquery::{Row, Rows};
use sha2::{Digest as _, Sha256};

use super::agent_version::AgentVersion;

/// The question. Everything but the schedule has one row, and a schedule without queries still gives one.
pub(in crate::fleet) const SQL: &str = "SELECT t.unix_time AS sampled_at, i.start_time AS worker_started_at, \
     i.pid AS worker_pid, i.version AS agent_version, u.total_seconds AS uptime, f.value AS delimiter, s.* \
     FROM time AS t LEFT JOIN osquery_info AS i ON 1 LEFT JOIN uptime AS u ON 1 \
     LEFT JOIN osquery_flags AS f ON f.name = 'pack_delimiter' LEFT JOIN osquery_schedule AS s ON 1";

/// Most queries that are taken from one sample. No agent loads so many: its config has 1 MiB at most.
const MAX_QUERIES: usize = 10_000;

/// Longest name that is taken, in bytes.
const MAX_NAME: usize = 1024;

/// Longest delimiter that is taken, in bytes. One that is longer is as good as unknown.
const MAX_DELIMITER: usize = 16;

/// Largest number that is taken, far beyond what any agent counts: what is worked out from several stays exact.
const MAX_NUMBER: u64 = 1 << 52;

/// A sample of a host's schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::fleet) struct Sample {
    pub(super) worker: WorkerId,
    /// When it was taken by the clock of the host, in seconds; 0 if the host does not say.
    pub(super) unix_time: u64,
    /// Seconds since the host was started; 0 if it does not say.
    pub(super) uptime_secs: u64,
    pub(super) version: AgentVersion,
    /// Empty if the host does not say.
    pub(super) delimiter: String,
    pub(super) queries: Vec<SampledQuery>,
}

/// The process of an agent that runs queries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WorkerId {
    /// When it was started by the clock of the host, in seconds; 0 if the host does not say.
    pub start_time: u64,
    pub pid: u64,
}

/// A query in a sample, under the name that the agent gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SampledQuery {
    pub full_name: String,
    /// `None` if the answer does not say its SQL.
    pub sql_hash: Option<i64>,
    /// In seconds, as the agent runs it; 0 if the answer does not say it.
    pub interval: u64,
    pub counters: Counters,
}

/// What an agent counts of a query, all of it cumulative but the memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub executions: u64,
    /// By the clock of the host, in seconds; 0 for never.
    pub last_executed: u64,
    pub is_denylisted: bool,
    pub user_ms: u64,
    pub system_ms: u64,
    pub wall_ms: u64,
    pub output_bytes: u64,
    /// A mean of the runs that took more memory than was held before.
    pub average_memory: u64,
    /// What the latest run took, if that is counted.
    pub last_memory: u64,
}

impl Counters {
    /// What a run takes, as far as the agent says.
    pub fn memory(&self) -> u64 {
        if self.last_memory > 0 { self.last_memory } else { self.average_memory }
    }

    /// Whether none of the cumulative numbers is lower than before.
    pub fn go_on_from(&self, before: &Self) -> bool {
        self.executions >= before.executions
            && self.user_ms >= before.user_ms
            && self.system_ms >= before.system_ms
            && self.wall_ms >= before.wall_ms
            && self.output_bytes >= before.output_bytes
    }
}

/// The hash by which versions of a query are told apart.
pub(super) fn sql_hash(sql: &str) -> i64 {
    let digest = Sha256::digest(sql.as_bytes());
    let (first, _) = digest.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
    i64::from_le_bytes(*first)
}

impl Sample {
    /// Reads an answer of a host of this platform. `None` if it has no row: then something else was answered.
    pub fn of(rows: Rows<'_>, platform: &str) -> Option<Self> {
        let mut rows = rows.iter().map(RowTexts::of).peekable();
        let first = rows.peek()?;
        let version = AgentVersion::of(&first.version);
        let delimiter = Some(first.delimiter.clone()).filter(|text| text.len() <= MAX_DELIMITER).unwrap_or_default();
        let mut sample = Self {
            worker: WorkerId { start_time: first.start_time, pid: first.pid },
            unix_time: first.sampled_at,
            uptime_secs: first.uptime,
            version,
            delimiter,
            queries: Vec::new(),
        };
        let is_query = |row: &RowTexts| !row.name.is_empty() && row.name.len() <= MAX_NAME;
        sample.queries = rows.filter(is_query).take(MAX_QUERIES).map(|row| row.query(version, platform)).collect();
        Some(sample)
    }

    /// Memory that it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        let names: usize = self.queries.iter().map(|query| query.full_name.capacity()).sum();
        size_of::<Self>() + self.queries.capacity() * size_of::<SampledQuery>() + names
    }
}

/// A row of the answer.
#[derive(Debug, Default)]
struct RowTexts {
    sampled_at: u64,
    start_time: u64,
    pid: u64,
    version: String,
    uptime: u64,
    delimiter: String,
    name: String,
    sql_hash: Option<i64>,
    interval: u64,
    counters: Counters,
    user_time: u64,
    system_time: u64,
    wall_secs: u64,
    wall_ms: Option<u64>,
}

impl RowTexts {
    fn of(row: Row<'_>) -> Self {
        let mut texts = Self::default();
        for (column, text) in row.columns() {
            match column.as_ref() {
                "sampled_at" => texts.sampled_at = number(&text),
                "worker_started_at" => texts.start_time = number(&text),
                "worker_pid" => texts.pid = number(&text),
                "agent_version" => texts.version = text.into_owned(),
                "uptime" => texts.uptime = number(&text),
                "delimiter" => texts.delimiter = text.into_owned(),
                "name" => texts.name = text.into_owned(),
                "query" => texts.sql_hash = Some(sql_hash(&text)),
                "interval" => texts.interval = number(&text),
                "executions" => texts.counters.executions = number(&text),
                "last_executed" => texts.counters.last_executed = number(&text),
                // Agents below 4.4 know it by its old name.
                "denylisted" | "blacklisted" => texts.counters.is_denylisted = number(&text) != 0,
                "output_size" => texts.counters.output_bytes = number(&text),
                "wall_time" => texts.wall_secs = number(&text),
                "wall_time_ms" => texts.wall_ms = Some(number(&text)),
                "user_time" => texts.user_time = number(&text),
                "system_time" => texts.system_time = number(&text),
                "average_memory" => texts.counters.average_memory = number(&text),
                "last_memory" => texts.counters.last_memory = number(&text),
                _ => {}
            }
        }
        texts
    }

    fn query(self, version: AgentVersion, platform: &str) -> SampledQuery {
        let unit = version.cpu_unit(platform);
        let in_ms = |number: u64, unit: u64| number.saturating_mul(unit).min(MAX_NUMBER);
        let counters = Counters {
            user_ms: in_ms(self.user_time, unit),
            system_ms: in_ms(self.system_time, unit),
            // In whole seconds below 5.3: fair over many runs alone.
            wall_ms: self.wall_ms.unwrap_or_else(|| in_ms(self.wall_secs, 1000)),
            ..self.counters
        };
        SampledQuery { full_name: self.name, sql_hash: self.sql_hash, interval: self.interval, counters }
    }
}

/// A number that an agent has written as text; 0 for what is none.
fn number(text: &str) -> u64 {
    let text = text.trim();
    let whole = text.parse::<u64>().ok();
    // Joins and extensions can turn whole numbers into others.
    let other = || text.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "cut to the largest number taken")]
    whole.or_else(|| other().map(|number| number as u64)).unwrap_or(0).min(MAX_NUMBER)
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
