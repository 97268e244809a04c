use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::error::ReadError;
use super::key_text;
use super::rows::Rows;
use super::scan::{self, JsonValue, ValueKind};

/// Query ids read from one body. Agents report what they were given, plus what earlier writes could
/// not deliver; the limit only keeps a body made of nothing but ids from taking many times its size
/// in memory.
pub const MAX_RESULTS: usize = 16_384;

/// Elements read of a message that is a list.
const MAX_WARNINGS: usize = 256;

/// The status of a failed query where the agent gave none that can be used.
pub const FAILED: i64 = 1;

const UNREADABLE_ROWS: &str = "the agent sent rows that are not a list of objects";
const UNREADABLE_STATUS: &str = "the agent sent a status that is not an integer";
const NO_ANSWER: &str = "the agent sent neither rows nor a status";

/// Answers to live queries. Rows are not decoded; one answer that makes no sense does not affect
/// the others.
#[derive(Clone)]
pub struct DistributedWrite<'a> {
    /// As [`node_key`](super::node_key()) gives it.
    pub node_key: Option<Cow<'a, str>>,
    /// By query id, each once, in order of first appearance in `queries`, `statuses` or
    /// `messages`.
    pub results: Vec<(Cow<'a, str>, QueryResult<'a>)>,
    /// There were more than [`MAX_RESULTS`] ids, and those after the limit were left out.
    pub truncated: bool,
}

/// What an agent says about one query.
///
/// Rows that are not a list of objects (an empty value being an empty list), or a status that is
/// not an integer, make a failed result with a message that says so. Without a status the query
/// worked if there is a list for it that is not empty, or an empty one and no message.
#[derive(Debug, Clone)]
pub struct QueryResult<'a> {
    pub rows: Rows<'a>,
    /// 0 if the query worked.
    pub status: i64,
    /// Why the query failed; never empty. Agents before 4.4 do not say, that on ChromeOS says it of each column.
    pub message: Option<Cow<'a, str>>,
    /// What the query cost; agents since 5.8, and not for queries they refused to run.
    pub stats: Option<Stats>,
}

/// The cost of running a query once. What the agent did not send, or sent as something else than a
/// number, is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    pub wall_time_ms: u64,
    /// Milliseconds.
    pub user_time: u64,
    /// Milliseconds.
    pub system_time: u64,
    /// Bytes the agent's resident memory grew by; 0 if it shrank.
    pub memory: u64,
}

impl QueryResult<'_> {
    pub fn succeeded(&self) -> bool {
        self.status == 0
    }
}

/// Shows neither key nor rows.
impl fmt::Debug for DistributedWrite<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DistributedWrite").field("results", &self.results.len()).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
enum Section {
    Queries,
    Statuses,
    Messages,
    Stats,
}

#[derive(Default)]
struct QueryAnswer<'a> {
    rows: Option<JsonValue<'a>>,
    status: Option<JsonValue<'a>>,
    message: Option<JsonValue<'a>>,
    stats: Option<JsonValue<'a>>,
}

impl<'a> DistributedWrite<'a> {
    pub fn read(body: &'a [u8]) -> Result<Self, ReadError> {
        let mut key = None;
        let mut sections: [Option<JsonValue<'a>>; 4] = [None; 4];
        for member in scan::members(body) {
            let member = member?;
            match member.key.text().as_deref() {
                Some("queries") => sections[Section::Queries as usize] = Some(member.value),
                Some("statuses") => sections[Section::Statuses as usize] = Some(member.value),
                Some("messages") => sections[Section::Messages as usize] = Some(member.value),
                Some("stats") => sections[Section::Stats as usize] = Some(member.value),
                Some("node_key") => key = Some(member.value),
                _ => {}
            }
        }
        let node_key = key_text(key)?;
        let [queries, statuses, messages, stats] = sections;
        let mut named = [
            (Section::Queries, checked(queries, "queries")?),
            (Section::Statuses, checked(statuses, "statuses")?),
            (Section::Messages, messages),
        ];
        named.sort_by_key(|(_, value)| value.map_or(0, |value| value.range().start));

        let mut answers = QueryAnswers::default();
        for (section, value) in named {
            answers.collect(section, value);
        }
        // Costs alone are no answer, so they come last and only to ids that have one.
        answers.collect(Section::Stats, stats);
        let results = answers.list.into_iter().map(|(id, answer)| (id, answer.judge())).collect();
        Ok(Self { node_key, results, truncated: answers.truncated })
    }
}

/// What tells whether queries worked must be readable, lest an answer be taken for an empty one.
fn checked<'a>(section: Option<JsonValue<'a>>, member: &'static str) -> Result<Option<JsonValue<'a>>, ReadError> {
    match section {
        Some(value) if value.kind() != ValueKind::Object && !value.is_empty() => {
            Err(value.wrong_type(member, "an object"))
        }
        _ => Ok(section),
    }
}

#[derive(Default)]
struct QueryAnswers<'a> {
    list: Vec<(Cow<'a, str>, QueryAnswer<'a>)>,
    indexes: HashMap<Cow<'a, str>, usize>,
    truncated: bool,
}

impl<'a> QueryAnswers<'a> {
    fn collect(&mut self, section: Section, value: Option<JsonValue<'a>>) {
        for member in value.into_iter().flat_map(|value| value.members()) {
            let id = member.key.text().unwrap_or_default();
            let index = match self.indexes.get(&id) {
                Some(&index) => index,
                None if matches!(section, Section::Stats) => continue,
                None if self.list.len() == MAX_RESULTS => {
                    self.truncated = true;
                    continue;
                }
                None => {
                    self.indexes.insert(id.clone(), self.list.len());
                    self.list.push((id, QueryAnswer::default()));
                    self.list.len() - 1
                }
            };
            let answer = &mut self.list[index].1;
            let field = match section {
                Section::Queries => &mut answer.rows,
                Section::Statuses => &mut answer.status,
                Section::Messages => &mut answer.message,
                Section::Stats => &mut answer.stats,
            };
            *field = Some(member.value);
        }
    }
}

impl<'a> QueryAnswer<'a> {
    fn judge(self) -> QueryResult<'a> {
        let said = self.message.and_then(message).filter(|text| !text.is_empty());
        let rows = self.rows.map(Rows::of);
        let status = self.status.filter(|value| value.kind() != ValueKind::Null).map(integer);

        let (status, problem) = match (status, rows) {
            (Some(None), _) => (FAILED, Some(UNREADABLE_STATUS)),
            (Some(Some(0)) | None, Some(None)) => (FAILED, Some(UNREADABLE_ROWS)),
            (Some(Some(status)), _) => (status, None),
            (None, Some(Some(rows))) if rows.is_empty() && said.is_some() => (FAILED, None),
            (None, Some(Some(_))) => (0, None),
            (None, None) if said.is_some() => (FAILED, None),
            (None, None) => (FAILED, Some(NO_ANSWER)),
        };
        QueryResult {
            rows: rows.flatten().unwrap_or_default(),
            status,
            message: problem.map(Cow::Borrowed).or(said),
            stats: self.stats.and_then(Stats::of),
        }
    }
}

impl Stats {
    fn of(value: JsonValue<'_>) -> Option<Self> {
        let mut stats = Self::default();
        for member in value.members() {
            let field = match member.key.text().as_deref() {
                Some("wall_time_ms") => &mut stats.wall_time_ms,
                Some("user_time") => &mut stats.user_time,
                Some("system_time") => &mut stats.system_time,
                Some("memory") => &mut stats.memory,
                _ => continue,
            };
            *field = amount(member.value);
        }
        (value.kind() == ValueKind::Object && value.children() > 0).then_some(stats)
    }
}

/// The text of a message. The agent on ChromeOS sends a list instead, with an object for each column it could not fill:
/// `[{"column": …, "error_message": …}]`.
fn message(value: JsonValue<'_>) -> Option<Cow<'_, str>> {
    if value.kind() != ValueKind::Array {
        return value.text();
    }
    let texts: Vec<String> = value.elements().take(MAX_WARNINGS).filter_map(warning).collect();
    (!texts.is_empty()).then(|| Cow::Owned(texts.join("; ")))
}

/// One element of such a list: `COLUMN: MESSAGE`, or text as it came.
fn warning(value: JsonValue<'_>) -> Option<String> {
    if value.kind() != ValueKind::Object {
        return value.text().map(Cow::into_owned).filter(|text| !text.is_empty());
    }
    let (mut column, mut message) = (None, None);
    for member in value.members() {
        match member.key.text().as_deref() {
            Some("column") => column = member.value.text(),
            Some("error_message") => message = member.value.text(),
            _ => {}
        }
    }
    let parts: Vec<Cow<'_, str>> = [column, message].into_iter().flatten().filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join(": "))
}

fn integer(value: JsonValue<'_>) -> Option<i64> {
    value.text()?.trim().parse().ok()
}

/// Fractions are cut off, negative numbers count as 0, numbers too large as the largest.
fn amount(value: JsonValue<'_>) -> u64 {
    let text = value.text().unwrap_or_default();
    let text = text.trim();
    // "inf" is a number to the parser, and none to us.
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return 0;
    }
    text.parse().unwrap_or_else(|_| text.parse::<f64>().map_or(0, |number| number as u64))
}
