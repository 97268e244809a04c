//! Asking hosts and waiting for the answers in one request.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use muster_api::rest::{LiveRun, LiveRunAnswer, LiveRunDone, LiveRunQuery, LiveRunSummary};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, interval, sleep_until};

use super::selection::HOSTS;
use super::{Ask, Attendance, Follower, Live, Selection};
use crate::bus::ResultLine;
use crate::fleet::access::Principal;
use crate::fleet::{Error, Problem, Result};

/// How often to check whether any open target is still online.
const CHECK: Duration = Duration::from_millis(250);

/// Memory that collected answers take, given back when this is dropped.
#[derive(Debug)]
pub struct Room(#[expect(dead_code, reason = "held for its drop")] Vec<OwnedSemaphorePermit>);

/// A query that runs, or the reason why it does not.
enum RunTarget {
    Running(RunningQuery),
    Refused(LiveRunQuery),
}

struct RunningQuery {
    query_id: i64,
    follower: Follower,
    /// Ends the query when it is dropped.
    _attendance: Attendance,
}

impl Live {
    /// Asks hosts saved queries and waits until all that are online have answered, or `live.rest_period` is over. Then
    /// the queries end.
    ///
    /// # Errors
    /// As for [`Live::start`], except that a query nobody knows is noted at its path.
    pub async fn run(self: &Arc<Self>, principal: &Principal, request: &LiveRun) -> Result<(LiveRunDone, Room)> {
        check(request)?;
        let deadline = Instant::now() + self.config.rest_period;
        let mut seen = BTreeSet::new();
        let mut asked = Vec::new();
        for query_id in request.query_ids.iter().copied().filter(|id| seen.insert(*id)) {
            asked.push(self.ask(principal, query_id, &request.host_ids).await?);
        }
        let collected = try_join_all(asked.into_iter().map(async |asked| match asked {
            RunTarget::Running(running) => self.collect(running, deadline).await,
            RunTarget::Refused(refused) => Ok((refused, Collected::new(&self.collecting)?.room)),
        }));
        let (live_query_results, rooms): (Vec<_>, Vec<_>) = collected.await?.into_iter().unzip();
        if let Err(error) = self.give_back_leases(self.clock.now()).await {
            tracing::debug!(%error, "answered live queries not ended; will retry at the next sweep");
        }
        let responded = live_query_results.iter().flat_map(|query| query.results.iter().map(|answer| answer.host_id));
        let summary = LiveRunSummary {
            targeted_host_count: request.host_ids.iter().collect::<BTreeSet<_>>().len(),
            responded_host_count: responded.collect::<BTreeSet<_>>().len(),
        };
        Ok((LiveRunDone { summary, live_query_results }, Room(rooms)))
    }

    async fn ask(self: &Arc<Self>, principal: &Principal, query_id: i64, host_ids: &[i64]) -> Result<RunTarget> {
        let selection = Selection::Ids { hosts: host_ids.to_vec(), labels: Vec::new() };
        let job = match self.start_campaign(principal, Ask::Numbered(query_id), &selection).await {
            Ok(job) => job,
            Err(Error::Invalid(problems)) => return refused(query_id, problems),
            Err(error) => return Err(error),
        };
        let attendance = self.attend(job.id);
        let follower = self.follow(principal, job.id, 0).await?;
        Ok(RunTarget::Running(RunningQuery { query_id, follower, _attendance: attendance }))
    }

    async fn collect(
        &self,
        mut running: RunningQuery,
        deadline: Instant,
    ) -> Result<(LiveRunQuery, OwnedSemaphorePermit)> {
        let follower = &mut running.follower;
        let mut collected = Collected::new(&self.collecting)?;
        let mut check = interval(CHECK);
        let mut is_done = false;
        loop {
            // After the decision to stop once more: answers are there before their hosts are settled.
            loop {
                let lines = follower.read().await?;
                if lines.is_empty() {
                    break;
                }
                lines.iter().for_each(|line| collected.take(line));
            }
            if is_done {
                break;
            }
            tokio::select! {
                is_more = follower.more() => is_done = !is_more,
                _ = check.tick() => {
                    let waiting = follower.job().open_hosts();
                    // Who cannot be told to be away is waited for.
                    is_done = self.hosts.tally(waiting).await.is_ok_and(|tally| tally.online == 0);
                }
                () = sleep_until(deadline) => is_done = true,
            }
        }
        if collected.left_out > 0 {
            self.metrics.limit_hit("live_max_rest_results");
        }
        Ok(collected.done(running.query_id, running.follower.job().warnings.clone()))
    }
}

fn check(request: &LiveRun) -> Result<()> {
    let mut problems = Vec::new();
    for (list, ids) in [("query_ids", &request.query_ids), ("host_ids", &request.host_ids)] {
        if ids.is_empty() {
            problems.push(Problem::new(list, "cannot be empty"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Error::Invalid(problems)) }
}

/// Refuses an unknown query alone, by its path; unknown hosts refuse the whole request, by their index in it.
fn refused(query_id: i64, problems: Vec<Problem>) -> Result<RunTarget> {
    if let Some(problem) = problems.iter().find(|problem| problem.path == "query_id") {
        let error = Some(problem.reason.clone());
        return Ok(RunTarget::Refused(LiveRunQuery { query_id, results: Vec::new(), error, warnings: Vec::new() }));
    }
    let renamed = |problem: Problem| Problem { path: problem.path.replace(HOSTS, "host_ids"), ..problem };
    Err(Error::Invalid(problems.into_iter().map(renamed).collect()))
}

/// The fields read from a kept answer.
#[derive(Deserialize)]
struct Kept {
    host_id: i64,
    rows: Box<RawValue>,
    rows_sent: Option<u64>,
    error: Option<String>,
}

fn no_rows() -> Box<RawValue> {
    serde_json::value::to_raw_value(&[(); 0]).unwrap_or_default()
}

/// Answers in memory, as far as there is room.
struct Collected {
    answers: Vec<LiveRunAnswer>,
    left_out: usize,
    room: OwnedSemaphorePermit,
}

impl Collected {
    fn new(room: &Arc<Semaphore>) -> Result<Self> {
        let room = Arc::clone(room).try_acquire_many_owned(0).map_err(|error| Error::Internal(Box::new(error)))?;
        Ok(Self { answers: Vec::new(), left_out: 0, room })
    }

    fn take(&mut self, line: &ResultLine) {
        let Ok(Kept { host_id, mut rows, rows_sent, mut error }) = serde_json::from_slice(&line.text) else {
            tracing::error!(cursor = line.cursor, "a kept answer cannot be read");
            return;
        };
        let size = u32::try_from(line.text.len()).unwrap_or(u32::MAX);
        match Arc::clone(self.room.semaphore()).try_acquire_many_owned(size) {
            Ok(more) => self.room.merge(more),
            Err(_) => {
                self.left_out += 1;
                rows = no_rows();
                error = Some("truncated: there is no room for this answer (live.max_rest_results)".to_owned());
            }
        }
        if let (None, Some(sent)) = (&error, rows_sent) {
            error = Some(format!("truncated: the host sent {sent} rows (live.max_answer, live.max_results)"));
        }
        self.answers.push(LiveRunAnswer { host_id, rows, error });
    }

    fn done(self, query_id: i64, warnings: Vec<String>) -> (LiveRunQuery, OwnedSemaphorePermit) {
        let error = (self.left_out > 0).then(|| {
            format!("truncated: there was no room for the answers of {} hosts (live.max_rest_results)", self.left_out)
        });
        (LiveRunQuery { query_id, results: self.answers, error, warnings }, self.room)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> ResultLine {
        ResultLine { cursor: 0, text: text.as_bytes().to_vec() }
    }

    #[test]
    fn what_has_no_room_is_said() {
        let room = Arc::new(Semaphore::new(100));
        let mut collected = Collected::new(&room).unwrap();
        collected.take(&line(r#"{"host_id":1,"rows":[{"a":"1"}],"error":null}"#));
        collected.take(&line(&format!(r#"{{"host_id":2,"rows":[{{"a":"{}"}}]}}"#, "x".repeat(100))));
        collected.take(&line(r#"{"host_id":3,"rows":[],"rows_sent":9}"#));
        let (query, taken) = collected.done(7, Vec::new());
        let shown = serde_json::to_value(&query).unwrap();
        assert_eq!(shown["results"][0], serde_json::json!({ "host_id": 1, "rows": [{ "a": "1" }], "error": null }));
        assert!(shown["results"][1]["error"].as_str().unwrap().contains("live.max_rest_results"), "{shown:#}");
        assert!(shown["results"][2]["error"].as_str().unwrap().contains("9 rows"), "{shown:#}");
        assert!(shown["error"].as_str().unwrap().contains("1 hosts"), "{shown:#}");
        assert!(room.available_permits() < 60);
        drop(taken);
        assert_eq!(room.available_permits(), 100);
    }
}
