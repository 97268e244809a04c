//! The agent's side: fetching live queries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use muster_api::rest::{LiveStatus, TargetState};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::notes::JobEnding;
use super::open_targets::{OpenTargets, OverdueVerdict, SentTarget};
use super::progress::OpenTarget;
use super::worker::{self, WORKER, Worker};
use super::{Announced, Job, Live, answers};
use crate::bus::{BusError, Claim};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::Host;

/// Prefix of a live query's name at agents; Fleet's users see the same in their agents' logs.
pub const PREFIX: &str = "fleet_distributed_query_";

/// Prefix of the sentinel of a live query with a discovery query. Agents run queries in the order of bytes, in which
/// the sentinel comes before the query itself: a write with the sentinel has the query too, unless it was left out.
pub const SENTINEL: &str = "fleet_discovery_query_";

/// SQL that finds a row on every host.
const ALWAYS: &str = "SELECT 1";

/// How long a host that was sent a query reads every five seconds, so that an operator's next question is quick.
const ACCELERATE_SECS: u64 = 60;

/// Shortest time between two accelerations of a host: each writes a line to the agent's log.
const ACCELERATE_EVERY: Duration = Duration::from_secs(300);

/// How long a check-in waits for answers from before a restart to be read. It goes on without the live queries then.
const RESUME_WAIT: Duration = Duration::from_secs(1);

/// Interval in seconds at which a host needs no acceleration.
const QUICK_ENOUGH: i64 = 5;

impl Live {
    /// The answer to a host that asks for work, or `None` when there is no live query to send. A host that is an open
    /// target of no job costs two loads from memory, however many jobs are open.
    pub async fn questions(self: &Arc<Self>, host: &Arc<Host>) -> Option<Bytes> {
        if !host.live.may_have_open() {
            return None;
        }
        self.wait_until_resumed(host).await;
        let open = self.open_targets(host, self.clock.now());
        if open.is_empty() {
            return None;
        }
        // Boxed, because every check-in would otherwise carry room for it.
        Box::pin(self.hand_out(host, open)).await
    }

    /// Waits until a job is announced to a host to which so much had been announced before.
    pub async fn until_announced(&self, host: &Host, before: Announced) {
        loop {
            // Heard from here on, so that no announcement is missed after the look.
            let heard = self.has_announced.notified();
            if host.live.announced() != before {
                return;
            }
            heard.await;
        }
    }

    /// Waits a little for jobs whose answers from before a restart are still to be read, if they may have this host as
    /// an open target. Who is still to be sent the query is told so later.
    async fn wait_until_resumed(&self, host: &Host) {
        let jobs = self.listed.load_full();
        let is_awaited = |job: &&Arc<Job>| job.is_resuming() && job.open_target(host.id).is_some();
        let resumed: Vec<_> = jobs.iter().filter(is_awaited).map(|job| job.resumed()).collect();
        if !resumed.is_empty() {
            let _ = timeout(RESUME_WAIT, join_all(resumed)).await;
        }
    }

    /// Reads the open targets of a host from the open jobs, and notes if there are none.
    fn open_targets(&self, host: &Host, now: Moment) -> OpenTargets {
        // why: the order. A job is listed, then announced; here the announcements are counted, then the list is read.
        // So a job that is missing from the list is announced after the count, and the next check-in looks again.
        let before = host.live.announced();
        let open = OpenTargets::of(host.id, &self.listed.load(), now);
        if open.is_empty() {
            host.live.found_none(before);
        }
        open
    }

    async fn hand_out(self: &Arc<Self>, host: &Arc<Host>, mut open: OpenTargets) -> Option<Bytes> {
        let now = self.clock.now();
        let overdue = self.overdue(host, &open, now);
        if !overdue.is_empty() {
            self.settle_overdue(host, overdue, now).await;
            open = self.open_targets(host, now);
        }
        let mut read = self.claim_open(host, open, now).await;
        if read.queries.is_empty() {
            // Their pace may have had no room, which is known now, and others may come after them.
            let open = self.open_targets(host, now);
            if !open.has_held() {
                return None;
            }
            read = self.claim_open(host, open, now).await;
        }
        if read.queries.is_empty() {
            return None;
        }
        self.metrics.live_questions.inc_by(read.queries.len() as u64);
        let mut answer = read.answer();
        let interval = host.intervals.reported().distributed;
        if interval > QUICK_ENOUGH && host.live.accelerate(now, ACCELERATE_EVERY) {
            answer["accelerate"] = ACCELERATE_SECS.into();
        }
        Some(Bytes::from(answer.to_string()))
    }

    /// Claims a host for the jobs that it may be sent in one read.
    async fn claim_open(self: &Arc<Self>, host: &Arc<Host>, open: OpenTargets, now: Moment) -> Read {
        let candidates = open.candidates(now);
        let is_alone = candidates.len() == 1;
        let is_retry =
            |job: &Arc<Job>| matches!(job.open_target(host.id), Some(OpenTarget::Pending { retry_alone: true }));
        let with_worker = candidates.iter().any(is_retry);
        let claims = join_all(candidates.into_iter().map(|job| self.claim(host, job, now, is_alone))).await;
        let mut read = Read::default();
        claims.iter().flatten().for_each(|job| read.add(job, with_worker));
        read
    }

    /// Claims a host for a job; gives the job if this request is the one to send it.
    async fn claim(self: &Arc<Self>, host: &Host, job: Arc<Job>, now: Moment, is_alone: bool) -> Option<Arc<Job>> {
        // why: the view of the job is not changed here. If this request is given up after the bus has decided, or the
        // reply is lost, the event stands on the bus; whoever folds next finds the host sent, and it is retried in
        // time.
        let claimed = self.bus.claim(job.key, host.id, now, is_alone, job.is_canary(host.id)).await;
        if let Err(BusError::Unavailable(_) | BusError::Busy(_) | BusError::Slow(_)) = claimed {
            tracing::warn!(live_query = job.id, "live query not sent to a host; will retry at its next check-in");
            return None;
        }
        if let Ok(Claim::Held(Some(until))) = claimed {
            job.hold_until(until);
            return None;
        }
        // Also when another node holds the claim, or the job is paused, so that the next check-in here does not try in vain.
        if let Err(error) = self.fold(&job).await {
            tracing::warn!(%error, live_query = job.id, "events of a live query not read; will retry at the next poll");
        }
        (claimed == Ok(Claim::Won)).then_some(job)
    }

    /// Settles or retries all queries this host was sent: its answers were larger than the server takes and were thrown
    /// away, so it must not send them again.
    pub async fn answers_too_large(self: &Arc<Self>, host: &Arc<Host>) {
        let now = self.clock.now();
        let open = self.open_targets(host, now);
        // why: noted before anything is tried, because only this node knows of it: if the bus is away, the next
        // check-in of the host here carries it out.
        host.live.answers_thrown_away(&open.sent().iter().map(|sent| (sent.job.id, sent.at)).collect::<Vec<_>>());
        self.carry_out(host, self.overdue(host, &open, now), now).await;
    }

    fn overdue(&self, host: &Host, open: &OpenTargets, now: Moment) -> Vec<(SentTarget, OverdueVerdict)> {
        open.overdue(now, &host.live, |since| host.has_restarted_since(since))
    }

    /// Decides about overdue answers by what all nodes know of them.
    async fn settle_overdue(
        self: &Arc<Self>,
        host: &Arc<Host>,
        overdue: Vec<(SentTarget, OverdueVerdict)>,
        now: Moment,
    ) {
        for (sent, _) in overdue {
            if let Err(error) = self.fold(&sent.job).await {
                tracing::debug!(%error, live_query = sent.job.id, "overdue answer not judged; will retry at the next check-in");
                return;
            }
        }
        // why: judged once more, because the host may have answered to another node, which the folds have brought here.
        let open = self.open_targets(host, now);
        self.carry_out(host, self.overdue(host, &open, now), now).await;
    }

    /// Acts on verdicts. One that is not carried out, because the bus is away or the request is given up, is reached
    /// again from the same facts at the next check-in. Of several nodes that judge, the bus lets one.
    async fn carry_out(self: &Arc<Self>, host: &Arc<Host>, verdicts: Vec<(SentTarget, OverdueVerdict)>, now: Moment) {
        for (sent, verdict) in verdicts {
            // why: the steps before this one waited for the bus, and the host may have answered or been sent it anew
            // since.
            if !sent.is_current(host.id) {
                continue;
            }
            let outcome = match verdict {
                OverdueVerdict::RetryAlone => self.retry_alone(host, &sent.job).await,
                _ => self.give_up(host, &sent.job, verdict, now).await,
            };
            match outcome {
                Ok(()) => host.live.moved_on(sent.job.id),
                Err(error) => {
                    tracing::warn!(%error, live_query = sent.job.id, "lost answer not settled; will retry at the next check-in");
                }
            }
        }
    }

    /// Makes a host pending again, so that it is sent the query once more, alone.
    async fn retry_alone(self: &Arc<Self>, host: &Host, job: &Arc<Job>) -> Result<()> {
        let before = job.open_target(host.id);
        let was_claimed = match self.bus.unclaim(job.key, host.id).await {
            Err(BusError::Lost(_)) => true,
            outcome => outcome?,
        };
        self.fold(job).await?;
        // why: a bus that knows of no claim has no event either, and nobody else will make the host pending. That is so
        // after a failover that lost the claim. If the fold has moved the target on, that counts.
        if !was_claimed && before.is_some() && job.open_target(host.id) == before {
            job.pending_again(host.id);
        }
        Ok(())
    }

    async fn give_up(
        self: &Arc<Self>,
        host: &Host,
        job: &Arc<Job>,
        verdict: OverdueVerdict,
        now: Moment,
    ) -> Result<()> {
        let (state, reason) = match verdict {
            OverdueVerdict::Lost | OverdueVerdict::RetryAlone if job.discovery.is_some() => {
                (TargetState::Lost, "was asked twice and did not answer; perhaps its discovery query cannot run there")
            }
            OverdueVerdict::Lost | OverdueVerdict::RetryAlone => {
                (TargetState::Lost, "was asked twice and did not answer")
            }
            OverdueVerdict::TooLarge => (
                TargetState::Failed,
                "its answer was larger than osquery.max_distributed_write_body allows, and was thrown away",
            ),
            OverdueVerdict::Suspect => (
                TargetState::Suspect,
                "the agent restarted while it ran the query: it probably stopped the agent's worker",
            ),
        };
        let is_news = self.settle(job, answers::unanswered(host, state, reason, now)).await?;
        if is_news && verdict == OverdueVerdict::Suspect {
            self.suspected(host, job, None, now).await;
        }
        Ok(())
    }

    /// Reports a suspect, and stops a job that has stopped too many agents. If that fails, the next sweep does it.
    pub(super) async fn suspected(self: &Arc<Self>, host: &Host, job: &Arc<Job>, worker: Option<Worker>, now: Moment) {
        self.metrics.suspects.inc();
        tracing::warn!(
            live_query = job.id,
            host_id = host.id,
            new_worker_pid = worker.map(|worker| worker.pid),
            "a live query has probably stopped an agent's worker"
        );
        if let Err(error) = self.watch_over(job, now).await {
            tracing::error!(%error, live_query = job.id, "dangerous live query not stopped; will retry at the next sweep");
        }
    }

    /// Stops a job that harms hosts. True for the first caller.
    pub(super) async fn stop(self: &Arc<Self>, job: &Arc<Job>, reason: String, now: Moment) -> Result<bool> {
        tracing::error!(live_query = job.id, reason, left_out = 0, "a live query was stopped");
        let (status, rest) = (LiveStatus::Stopped, TargetState::Cancelled);
        self.close(job, JobEnding { status, reason, rest, at: now.0 }).await
    }
}

/// The queries of one read.
#[derive(Default)]
struct Read {
    queries: Map<String, Value>,
    discovery: Map<String, Value>,
}

impl Read {
    /// A query with a discovery query comes with a sentinel: a write always follows then, and says by what it leaves
    /// out that the discovery query found nothing. Agents before 5.8 also need it, since they run everything when no
    /// discovery query finds anything.
    fn add(&mut self, job: &Job, with_worker: bool) {
        let name = format!("{PREFIX}{}", job.id);
        self.queries.insert(name.clone(), job.sql.as_str().into());
        let worker = format!("{WORKER}{}", job.id);
        if with_worker {
            self.queries.insert(worker.clone(), worker::SQL.into());
        }
        if let Some(discovery) = &job.discovery {
            let sentinel = format!("{SENTINEL}{}", job.id);
            self.discovery.insert(name, discovery.as_str().into());
            self.discovery.insert(sentinel.clone(), ALWAYS.into());
            if with_worker {
                self.discovery.insert(worker, ALWAYS.into());
            }
            // Stored last: an agent stopped between the two has the query then, not the sentinel alone.
            self.queries.insert(sentinel, ALWAYS.into());
        }
    }

    fn answer(self) -> Value {
        // The agent on ChromeOS fails without `discovery`, if there are queries; to osqueryd an empty one is none.
        json!({ "queries": Value::Object(self.queries), "discovery": Value::Object(self.discovery) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_run_the_sentinel_first_and_ask_for_the_worker_last() {
        assert!(SENTINEL < PREFIX && PREFIX < WORKER);
    }
}
