//! The worker of an agent, which is asked for beside a query whose answer was lost once: how long it has been running.
//!
//! An agent that then refuses the query as denylisted had its worker stopped by it: agents denylist the SQL that was
//! running when a worker died. That holds however the config fetches of the new worker fell. It does not hold for a
//! worker that was running before the live query was made: then the answer was lost otherwise, and an earlier query with
//! the same SQL is to blame.

use std::time::Duration;

use muster_api::osquery::QueryResult;

use crate::clock::Moment;

/// Prefix of the question's name at agents. They run queries in the order of bytes, in which it comes after the query.
pub const WORKER: &str = "fleet_worker_query_";

pub(super) const SQL: &str = "SELECT pid, start_time, strftime('%s', 'now') AS now FROM osquery_info";

/// The process that has run the queries of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worker {
    pub pid: i64,
    /// How long it had been running, at least: agents count in whole seconds.
    ran_for: Duration,
}

impl Worker {
    /// `None` when the answer does not say.
    pub fn of(result: &QueryResult<'_>) -> Option<Self> {
        let row = result.rows.iter().next()?;
        let (mut pid, mut start_time, mut now) = (0, None, None);
        for (column, text) in row.columns() {
            let number = text.trim().parse::<i64>().ok();
            match column.as_ref() {
                "pid" => pid = number.unwrap_or(0),
                "start_time" => start_time = number.filter(|seconds| *seconds > 0),
                "now" => now = number,
                _ => {}
            }
        }
        let ran_for = u64::try_from(now?.saturating_sub(start_time?).saturating_sub(1)).ok()?;
        Some(Self { pid, ran_for: Duration::from_secs(ran_for) })
    }

    /// Whether it was running at `moment`, when its answer came at `now`.
    pub fn was_running_at(self, moment: Moment, now: Moment) -> bool {
        now.minus(self.ran_for) <= moment
    }
}
