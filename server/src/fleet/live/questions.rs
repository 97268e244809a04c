//! The agent's side: fetching live queries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use muster_api::rest::{LiveStatus, TargetState};
use serde_json::{Map, Value, json};

use super::fold::sync_open_target;
use super::job::OpenTarget;
use super::notes::JobEnding;
use super::open_targets::Verdict;
use super::{Job, Live, answers};
use crate::bus::BusError;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::Host;

/// What agents call a live query; the prefix is the one Fleet's users see in their agents' logs.
pub const PREFIX: &str = "fleet_distributed_query_";

/// What agents call the sentinel of a live query with a discovery query. It comes before the query itself in the order of
/// bytes, in which agents run what they have: a write with the sentinel then has the query too, unless it was left out.
pub const SENTINEL: &str = "fleet_discovery_query_";

/// Finds a row wherever it runs.
const ALWAYS: &str = "SELECT 1";

/// For so long a host that was asked comes back every five seconds, so that an operator's next question is quick.
const ACCELERATE_SECS: u64 = 60;

/// Each acceleration writes a line to the agent's log, so it is asked for no more often than this.
const ACCELERATE_EVERY: Duration = Duration::from_secs(300);

/// Hosts that call at least so often need no acceleration, in seconds.
const QUICK_ENOUGH: i64 = 5;

impl Live {
    /// The answer to a host that asks for work, or `None` when it has no live query. Then it costs one look at a flag,
    /// however many live queries are open.
    pub async fn questions(&self, host: &Arc<Host>) -> Option<Bytes> {
        if !host.open_targets.is_attached() {
            self.attach(host);
        }
        if !host.open_targets.has_any() {
            return None;
        }
        // Boxed, because every check-in would otherwise carry room for it.
        Box::pin(self.hand_out(host)).await
    }

    async fn hand_out(&self, host: &Arc<Host>) -> Option<Bytes> {
        let now = self.clock.now();
        self.settle_overdue(host, now).await;
        let mut read = Read::default();
        let candidates = host.open_targets.candidates();
        let is_alone = candidates.len() == 1;
        let claims = join_all(candidates.into_iter().map(|id| self.claim(host, id, now, is_alone))).await;
        claims.iter().flatten().for_each(|job| read.add(job));
        if read.queries.is_empty() {
            return None;
        }
        self.metrics.live_questions.inc_by(read.queries.len() as u64);
        let mut answer = read.answer();
        let interval = host.intervals.load().0.distributed;
        if interval > QUICK_ENOUGH && host.open_targets.accelerate(now, ACCELERATE_EVERY) {
            answer["accelerate"] = ACCELERATE_SECS.into();
        }
        Some(Bytes::from(answer.to_string()))
    }

    /// Looks through the open jobs for a host that has come into memory.
    fn attach(&self, host: &Host) {
        // Marked first: a job that starts meanwhile adds itself, and adding twice does no harm.
        host.open_targets.attach();
        for job in self.open_jobs() {
            if job.open_target(host.id).is_some() {
                sync_open_target(host, &job);
            }
        }
    }

    async fn claim(&self, host: &Host, id: i64, now: Moment, is_alone: bool) -> Option<Arc<Job>> {
        let job = self.jobs.pin().get(&id).cloned();
        let Some(job) = job.filter(|job| job.is_open()) else {
            host.open_targets.dropped(id);
            return None;
        };
        if !matches!(job.open_target(host.id), Some(OpenTarget::Pending { .. })) {
            sync_open_target(host, &job);
            return None;
        }
        let claimed = self.bus.claim(id, host.id, now, is_alone).await;
        if let Err(BusError::Unavailable(_)) = claimed {
            tracing::warn!(live_query = id, "a live query could not be handed out; the host gets it next time");
            return None;
        }
        // Also when another node holds the claim, or one whose reply was lost: then the host owes an answer.
        match self.fold(&job).await {
            Ok(()) => sync_open_target(host, &job),
            Err(error) => tracing::warn!(%error, live_query = id, "what becomes of a live query is seen later"),
        }
        claimed.is_ok_and(|is_claimed| is_claimed).then_some(job)
    }

    /// The answers a host owes are larger than the server takes, and were thrown away: it must not send them again.
    pub async fn answers_too_large(&self, host: &Arc<Host>) {
        let verdicts = host.open_targets.too_large();
        self.carry_out(host, verdicts, self.clock.now()).await;
    }

    /// Decides about answers that are owed for too long, by what all servers know of them.
    async fn settle_overdue(&self, host: &Arc<Host>, now: Moment) {
        for id in host.open_targets.doubtful(now) {
            let job = self.jobs.pin().get(&id).cloned();
            match job.filter(|job| job.is_open()) {
                Some(job) => {
                    if let Err(error) = self.fold(&job).await {
                        tracing::debug!(%error, live_query = id, "an overdue answer is judged later");
                        return;
                    }
                }
                None => host.open_targets.dropped(id),
            }
        }
        let verdicts = host.open_targets.overdue(now, |since| host.has_restarted_since(since));
        self.carry_out(host, verdicts, now).await;
    }

    /// Acts on verdicts. Each stands until it was acted on, so that it does no harm to be given up half-way. Of several
    /// servers that judge, the bus lets one.
    async fn carry_out(&self, host: &Arc<Host>, verdicts: Vec<(i64, Verdict)>, now: Moment) {
        for (id, verdict) in verdicts {
            let job = self.jobs.pin().get(&id).cloned();
            let Some(job) = job.filter(|job| job.is_open()) else {
                host.open_targets.dropped(id);
                continue;
            };
            if !matches!(job.open_target(host.id), Some(OpenTarget::Sent { .. })) {
                sync_open_target(host, &job);
                continue;
            }
            let outcome = match verdict {
                Verdict::Again => self.ask_again(host, &job).await,
                _ => self.give_up(host, &job, verdict, now).await,
            };
            match outcome {
                Ok(()) => sync_open_target(host, &job),
                Err(error) => tracing::warn!(%error, live_query = id, "a lost answer is dealt with later"),
            }
        }
    }

    async fn ask_again(&self, host: &Host, job: &Job) -> Result<()> {
        let owed = job.open_target(host.id);
        let was_claimed = match self.bus.unclaim(job.id, host.id).await {
            Err(BusError::Lost(_)) => true,
            outcome => outcome?,
        };
        self.fold(job).await?;
        // The bus knows of no claim, so nobody will give it up.
        if !was_claimed && job.open_target(host.id) == owed && owed.is_some() {
            job.again(host.id);
        }
        Ok(())
    }

    async fn give_up(&self, host: &Host, job: &Arc<Job>, verdict: Verdict, now: Moment) -> Result<()> {
        let (state, reason) = match verdict {
            Verdict::Lost | Verdict::Again if job.discovery.is_some() => {
                (TargetState::Lost, "was asked twice and did not answer; perhaps its discovery query cannot run there")
            }
            Verdict::Lost | Verdict::Again => (TargetState::Lost, "was asked twice and did not answer"),
            Verdict::TooLarge => (
                TargetState::Failed,
                "its answer was larger than osquery.max_distributed_write_body allows, and was thrown away",
            ),
            Verdict::Suspect => (
                TargetState::Suspect,
                "the agent restarted while it ran the query: it probably stopped the agent's worker",
            ),
        };
        let is_news = self.settle(job, answers::unanswered(host, state, reason, now)).await?;
        if is_news && verdict == Verdict::Suspect {
            self.metrics.suspects.inc();
            tracing::warn!(
                live_query = job.id,
                host_id = host.id,
                "a live query has probably stopped an agent's worker"
            );
            if job.is_dangerous() && job.is_open() {
                self.stop(job, now).await?;
            }
        }
        Ok(())
    }

    /// Stops a job that seems to stop agents.
    async fn stop(&self, job: &Arc<Job>, now: Moment) -> Result<()> {
        let hosts: Vec<String> = job.hosts(TargetState::Suspect).iter().map(i64::to_string).collect();
        let reason = format!("stopped, because it probably stopped the agents of hosts {}", hosts.join(", "));
        tracing::error!(live_query = job.id, reason, "a live query was stopped");
        let (status, rest) = (LiveStatus::Stopped, TargetState::Cancelled);
        self.close(job, JobEnding { status, reason, rest, at: now.0 }).await
    }
}

/// What one read hands out.
#[derive(Default)]
struct Read {
    queries: Map<String, Value>,
    discovery: Map<String, Value>,
}

impl Read {
    /// A query with a discovery query comes with a sentinel: a write always follows then, and says by what it leaves out
    /// that the discovery query found nothing. Agents before 5.8 also need it, since they run everything when no
    /// discovery query finds anything.
    fn add(&mut self, job: &Job) {
        let name = format!("{PREFIX}{}", job.id);
        self.queries.insert(name.clone(), job.sql.as_str().into());
        if let Some(discovery) = &job.discovery {
            let sentinel = format!("{SENTINEL}{}", job.id);
            self.discovery.insert(name, discovery.as_str().into());
            self.discovery.insert(sentinel.clone(), ALWAYS.into());
            // Stored last: an agent stopped between the two has the query then, not the sentinel alone.
            self.queries.insert(sentinel, ALWAYS.into());
        }
    }

    fn answer(self) -> Value {
        let mut answer = json!({ "queries": Value::Object(self.queries) });
        if !self.discovery.is_empty() {
            answer["discovery"] = Value::Object(self.discovery);
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_run_the_sentinel_first() {
        assert!(SENTINEL < PREFIX);
    }
}
