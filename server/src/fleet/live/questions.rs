//! The agent's side: fetching live queries.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_api::rest::{LiveStatus, TargetState};
use serde_json::{Map, Value, json};

use super::turns::Verdict;
use super::{Job, Live, answers};
use crate::clock::Moment;
use crate::fleet::hosts::Host;

/// What agents call a live query; the prefix is the one Fleet's users see in their agents' logs.
pub const PREFIX: &str = "fleet_distributed_query_";

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
        if !host.turns.is_attached() {
            self.attach(host);
        }
        if !host.turns.has_any() {
            return None;
        }
        let now = self.clock.now();
        self.settle_overdue(host, now).await;
        let mut queries = Map::new();
        let candidates = host.turns.candidates();
        let is_alone = candidates.len() == 1;
        for id in candidates {
            if let Some(sql) = self.claim(host, id, now, is_alone).await {
                queries.insert(format!("{PREFIX}{id}"), sql.into());
            }
        }
        if queries.is_empty() {
            return None;
        }
        self.metrics.live_questions.inc_by(queries.len() as u64);
        let mut answer = json!({ "queries": Value::Object(queries) });
        let interval = host.intervals.load().0.distributed;
        if interval > QUICK_ENOUGH && host.turns.accelerate(now, ACCELERATE_EVERY) {
            answer["accelerate"] = ACCELERATE_SECS.into();
        }
        Some(Bytes::from(answer.to_string()))
    }

    /// Looks through the open jobs for a host that has come into memory.
    fn attach(&self, host: &Host) {
        // Marked first: a job that starts meanwhile adds itself, and adding twice does no harm.
        host.turns.attach();
        for job in self.open_jobs() {
            if job.state_of(host.id) == Some(TargetState::Pending) {
                host.turns.add(job.id);
            }
        }
    }

    async fn claim(&self, host: &Host, id: i64, now: Moment, is_alone: bool) -> Option<String> {
        let job = self.jobs.pin().get(&id).cloned();
        let Some(job) = job.filter(|job| job.is_open() && job.state_of(host.id) == Some(TargetState::Pending)) else {
            host.turns.dropped(id);
            return None;
        };
        match self.bus.claim(id, host.id, now, is_alone).await {
            Ok(true) if job.sent(host.id) => {
                host.turns.taken(id, now);
                Some(job.sql.clone())
            }
            Ok(_) => {
                host.turns.dropped(id);
                None
            }
            Err(error) => {
                tracing::warn!(%error, live_query = id, "a live query could not be handed out; the host gets it next time");
                None
            }
        }
    }

    /// Decides about answers that are owed for too long.
    async fn settle_overdue(&self, host: &Arc<Host>, now: Moment) {
        for (id, verdict) in host.turns.overdue(now, |since| host.has_restarted_since(since)) {
            let Some(job) = self.jobs.pin().get(&id).cloned() else { continue };
            match verdict {
                Verdict::Again => {
                    if self.bus.unclaim(id, host.id).await.is_ok() {
                        job.again(host.id);
                    }
                }
                Verdict::Lost => {
                    let reason = "was asked twice and did not answer";
                    self.settle(&job, answers::unanswered(host, TargetState::Lost, reason, now), now).await;
                }
                Verdict::Suspect => {
                    let reason = "the agent restarted while it ran the query: it probably stopped the agent's worker";
                    self.settle(&job, answers::unanswered(host, TargetState::Suspect, reason, now), now).await;
                    self.metrics.suspects.inc();
                    tracing::warn!(
                        live_query = id,
                        host_id = host.id,
                        "a live query has probably stopped an agent's worker"
                    );
                    if job.is_dangerous() {
                        self.stop(&job, now);
                    }
                }
            }
        }
    }

    /// Stops a job that seems to stop agents.
    fn stop(&self, job: &Job, now: Moment) {
        let hosts: Vec<String> = job.hosts(TargetState::Suspect).iter().map(i64::to_string).collect();
        let reason = format!("stopped, because it probably stopped the agents of hosts {}", hosts.join(", "));
        tracing::error!(live_query = job.id, reason, "a live query was stopped");
        job.end(LiveStatus::Stopped, reason, TargetState::Cancelled, now);
    }
}
