//! Answers, and how they are kept.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use muster_api::osquery::{ColumnNames, QueryResult, Rows};
use muster_api::rest::{LiveAnswer, LiveStats, TargetState};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::notes::Settlement;
use super::states::state_word;
use super::{Job, Live};
use crate::bus::{BusError, ResultLine};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::carves::named_carves;
use crate::fleet::checkin::DENYLISTED;
use crate::fleet::guard::ResultLimits;
use crate::fleet::hosts::Host;

/// Longest message of an agent that is kept, in characters.
const MAX_MESSAGE: usize = 4096;

/// What is said of a suspect that shows by its denylist.
const DENYLISTED_AFTER_LOSS: &str =
    "the agent lost its answer and has denylisted the query since: it probably stopped the agent's worker";

/// Time in which a host that does not answer is settled, or else later.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);

/// Answers are read in pieces of about this size.
pub const READ_BYTES: usize = 1 << 20;

impl Live {
    /// Settles a host that does not answer, with a line that says why; if that cannot be kept, the host is only
    /// counted. False when the host was settled before.
    pub(super) async fn settle(self: &Arc<Self>, job: &Arc<Job>, answer: LiveAnswer) -> Result<bool> {
        let settlement = Settlement::of(&answer);
        match self.keep(job, answer.host_id, line(&answer), &settlement).await {
            Ok(is_news) => Ok(is_news),
            // Nothing is wrong: whoever settles it tries again.
            Err(error @ BusError::Busy(_)) => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, live_query = job.id, "answer for a host not kept; the host is only counted");
                Ok(self.keep(job, answer.host_id, Bytes::new(), &Settlement { unkept: true, ..settlement }).await?)
            }
        }
    }

    /// Settles a host, with a line unless it is empty, and brings the view up to date. False when it was settled before.
    pub(super) async fn keep(
        self: &Arc<Self>,
        job: &Arc<Job>,
        host: i64,
        line: impl Into<Bytes>,
        settlement: &Settlement,
    ) -> std::result::Result<bool, BusError> {
        let is_news = self.keep_by(Instant::now() + SETTLED_WITHIN, job, host, line.into(), settlement).await?;
        self.show_kept(job).await;
        Ok(is_news)
    }

    /// Settles a host on the bus, with a line unless it is empty. False when it was settled before. An answer that waits for
    /// others and could not be kept by `by` any more is [`BusError::Busy`]; otherwise the caller bounds the time.
    pub(super) async fn keep_by(
        self: &Arc<Self>,
        by: Instant,
        job: &Arc<Job>,
        host: i64,
        line: Bytes,
        settlement: &Settlement,
    ) -> std::result::Result<bool, BusError> {
        let settlement = settlement.with_line(&line);
        let note = settlement.to_bytes();
        let mut outcome = self.bus.answer(job.key, host, line.clone(), note.clone(), by).await;
        if let Err(BusError::Lost(_)) = outcome {
            self.fold(job).await?;
            outcome = self.bus.answer(job.key, host, line, note, by).await;
        }
        let is_news = outcome?;
        if is_news {
            self.count_kept(settlement.bytes);
            self.metrics.live_settled(state_word(settlement.state));
        }
        Ok(is_news)
    }

    /// Brings the view of a job up to date with an answer that was kept, which it is whatever becomes of the view.
    pub(super) async fn show_kept(self: &Arc<Self>, job: &Arc<Job>) {
        if let Err(error) = self.fold(job).await {
            tracing::warn!(%error, live_query = job.id, "events of a live query not read; will retry at the next poll");
        }
    }

    /// An answer without its rows, and the line that is kept of it, with them.
    pub(super) async fn read_answer(
        &self,
        host: &Host,
        job: &Job,
        result: &QueryResult<'_>,
        is_suspect: bool,
        now: Moment,
    ) -> (LiveAnswer, Vec<u8>) {
        let message = result.message.as_deref().map(|text| text.chars().take(MAX_MESSAGE).collect::<String>());
        let state = match (result.succeeded(), message.as_deref()) {
            _ if is_suspect => TargetState::Suspect,
            (true, _) => TargetState::Answered,
            (false, Some(DENYLISTED)) => TargetState::Denylisted,
            (false, _) => TargetState::Failed,
        };
        let error = match state {
            TargetState::Suspect => Some(DENYLISTED_AFTER_LOSS.to_owned()),
            TargetState::Failed => Some(message.unwrap_or_else(|| "the agent did not say why".to_owned())),
            _ => message.filter(|_| state != TargetState::Answered),
        };
        let mut answer = LiveAnswer {
            cursor: 0,
            host_id: host.id,
            hostname: host.hostname(),
            state,
            rows: Vec::new(),
            rows_sent: None,
            truncated: false,
            error,
            carves: named_carves(&job.sql, result.rows),
            stats: result.stats.map(|stats| LiveStats {
                wall_time_ms: stats.wall_time_ms,
                user_time_ms: stats.user_time,
                system_time_ms: stats.system_time,
                memory_bytes: stats.memory,
            }),
            at: now.to_utc(),
        };
        let (room, limit) = self.room(job);
        let max_rows = job.limits.rows.map_or(usize::MAX, |rows| usize::try_from(rows).unwrap_or(usize::MAX));
        let mut line = begin_line(&answer);
        let cut = write_rows(result.rows, room, max_rows, &mut line).await;
        let limit = if cut == Some(CutBy::Rows) { GUARD_ROWS } else { limit };
        if cut.is_some() {
            self.metrics.limit_hit(limit);
            answer.truncated = true;
            answer.rows_sent = Some(result.rows.row_count() as u64);
            answer.error = answer.error.or_else(|| cut_by_guard(limit, job.limits));
        }
        end_line(&answer, &mut line);
        (answer, line)
    }
}

/// Bytes a row counts besides its text, so that many empty rows are not free.
const ROW_OVERHEAD: usize = 16;

/// Bytes of an answer that are written before other requests go on: a large answer takes longer than they may wait.
const PIECE_BYTES: usize = 256 * 1024;

/// Room for the end of a line, behind the rows.
const TAIL_BYTES: usize = 1024;

/// Names of the limits that the table guard sets, as metrics have them.
const GUARD_ROWS: &str = "guard_rows";
pub(super) const GUARD_BYTES: &str = "guard_bytes";

/// What has left out rows of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CutBy {
    Rows,
    Bytes,
}

/// What is said to whoever reads an answer that the table guard has cut.
fn cut_by_guard(limit: &str, limits: ResultLimits) -> Option<String> {
    let most = match limit {
        GUARD_ROWS => format!("{} rows", limits.rows?),
        GUARD_BYTES => format!("{} bytes", limits.bytes?),
        _ => return None,
    };
    Some(format!("cut off: the table guard keeps {most} of the answer of a host"))
}

/// Appends the first rows, so many at most, that together stay within `max_bytes`, as they came and as they are written.
/// Tells what has left any out.
async fn write_rows(rows: Rows<'_>, max_bytes: usize, max_rows: usize, line: &mut Vec<u8>) -> Option<CutBy> {
    line.reserve(rows.raw().len().min(max_bytes) + TAIL_BYTES);
    let mut names = ColumnNames::default();
    let (mut bytes, mut piece) = (0, 0);
    let is_first = line.len();
    for (written, row) in rows.iter().enumerate() {
        if written == max_rows {
            return Some(CutBy::Rows);
        }
        let came = row.raw().len() + ROW_OVERHEAD;
        let room = max_bytes.saturating_sub(bytes + ROW_OVERHEAD);
        if bytes + came > max_bytes {
            return Some(CutBy::Bytes);
        }
        let start = line.len();
        let comma = usize::from(start > is_first);
        line.extend_from_slice(&b","[..comma]);
        if !row.write_json(line, &mut names, start + comma + room) {
            line.truncate(start);
            return Some(CutBy::Bytes);
        }
        let cost = came.max(line.len() - start - comma + ROW_OVERHEAD);
        bytes += cost;
        piece += cost;
        if piece > PIECE_BYTES {
            piece = 0;
            tokio::task::yield_now().await;
        }
    }
    None
}

/// The line for a host that does not answer.
pub(super) fn unanswered(host: &Host, state: TargetState, reason: &str, now: Moment) -> LiveAnswer {
    LiveAnswer {
        cursor: 0,
        host_id: host.id,
        hostname: host.hostname(),
        state,
        rows: Vec::new(),
        rows_sent: None,
        truncated: false,
        error: Some(reason.to_owned()),
        stats: None,
        carves: Vec::new(),
        at: now.to_utc(),
    }
}

/// An answer as it is kept, without the cursor, which is its position. The host comes first.
pub(super) fn line(answer: &LiveAnswer) -> Vec<u8> {
    let mut line = begin_line(answer);
    end_line(answer, &mut line);
    line
}

/// The part of a line before the rows.
#[derive(Serialize)]
struct LineHead<'a> {
    host_id: i64,
    hostname: &'a str,
    state: TargetState,
}

/// The part of a line behind the rows.
#[derive(Serialize)]
struct Tail<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_sent: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<LiveStats>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    carves: &'a [String],
    at: DateTime<Utc>,
}

fn begin_line(answer: &LiveAnswer) -> Vec<u8> {
    let head = LineHead { host_id: answer.host_id, hostname: &answer.hostname, state: answer.state };
    let mut line = serde_json::to_vec(&head).unwrap_or_default();
    line.pop();
    line.extend_from_slice(b",\"rows\":[");
    line
}

fn end_line(answer: &LiveAnswer, line: &mut Vec<u8>) {
    let LiveAnswer { rows_sent, truncated, error, stats, carves, at, .. } = answer;
    let (rows_sent, truncated, stats, at) = (*rows_sent, *truncated, *stats, *at);
    let tail = Tail { rows_sent, truncated, error: error.as_deref(), stats, carves, at };
    let tail = serde_json::to_vec(&tail).unwrap_or_default();
    line.extend_from_slice(b"],");
    line.extend_from_slice(tail.get(1..).unwrap_or_default());
}

/// A kept answer as clients get it: with the cursor in front.
pub fn show(line: &ResultLine) -> Vec<u8> {
    let mut text = format!("{{\"cursor\":{},", line.cursor).into_bytes();
    text.extend_from_slice(line.text.get(1..).unwrap_or_default());
    text.push(b'\n');
    text
}

/// A kept answer to be passed on: its rows stay the text they are.
#[derive(Debug, Deserialize)]
pub struct Brief<'a> {
    pub host_id: i64,
    #[serde(borrow)]
    pub hostname: Cow<'a, str>,
    #[serde(borrow)]
    pub rows: Vec<&'a RawValue>,
    #[serde(default)]
    pub rows_sent: Option<u64>,
    #[serde(default)]
    pub truncated: bool,
    #[serde(default)]
    pub error: Option<String>,
}

impl<'a> Brief<'a> {
    /// # Errors
    /// When the line is not an answer.
    pub fn of(line: &'a ResultLine) -> serde_json::Result<Self> {
        serde_json::from_slice(&line.text)
    }
}

#[cfg(test)]
#[path = "answers_tests.rs"]
mod tests;
