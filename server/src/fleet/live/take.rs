//! Taking the answers that come with one write of a host.
//!
//! An agent that is refused keeps all its answers and sends them again, together with those it has got meanwhile. So
//! whether a write may be refused is decided once for all of its answers: it may be unless the host's last one was. A
//! write that must be taken loses what cannot be kept, which is counted, or its host asked again. The exception is a
//! node that has no room for more answers at the moment ([`BusError::Busy`]): nothing is wrong then, and nothing is
//! thrown away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_api::osquery::QueryResult;
use muster_api::rest::TargetState;

use super::answers::{line, unanswered};
use super::job::OpenTarget;
use super::notes::Settlement;
use super::{Job, Live, Worker};
use crate::bus::BusError;
use crate::fleet::Result;
use crate::fleet::checkin::DENYLISTED;
use crate::fleet::hosts::Host;

/// What one write of a host says of live queries, by their ids.
#[derive(Debug, Default)]
pub struct LiveWrite<'a> {
    pub answers: Vec<(i64, &'a QueryResult<'a>)>,
    /// The sentinel came without an answer: the discovery query found nothing there.
    pub skipped: BTreeSet<i64>,
    /// The workers that ran queries whose answers were lost before.
    pub workers: BTreeMap<i64, Worker>,
}

impl Live {
    /// Takes what a host says of live queries. A repeat, and what is said of a query that is over or unknown, is taken
    /// and dropped.
    ///
    /// # Errors
    /// When an answer cannot be kept now: the agent sends all of them again. Not twice in a row, unless this node has no
    /// room for them.
    pub async fn take(&self, host: &Arc<Host>, write: &LiveWrite<'_>) -> Result<()> {
        if write.answers.is_empty() && write.skipped.is_empty() {
            return Ok(());
        }
        let may_refuse = !host.live.was_refused();
        let outcome = self.take_all(host, write, may_refuse).await;
        host.live.note_write(outcome.is_err());
        outcome
    }

    async fn take_all(&self, host: &Arc<Host>, write: &LiveWrite<'_>, may_refuse: bool) -> Result<()> {
        let ids = write.answers.iter().map(|(id, _)| *id).chain(write.skipped.iter().copied()).collect();
        if let Err(error) = self.hear_of(&ids).await {
            if may_refuse {
                return Err(error);
            }
            tracing::error!(%error, host_id = host.id,
                "live queries not looked for; answers to those this node does not know are dropped, and the host is asked again");
        }
        for (id, result) in &write.answers {
            let Some(job) = self.waiting_for(host, *id) else {
                self.metrics.unknown_answers.inc();
                continue;
            };
            let now = self.clock.now();
            let worker = write.workers.get(id).copied();
            let is_suspect = result.message.as_deref() == Some(DENYLISTED)
                && self.was_lost(host, &job).await
                && !worker.is_some_and(|worker| worker.was_running_at(job.created_at, now));
            let (answer, line) = self.read_answer(host, &job, result, is_suspect, now).await;
            let is_news = self.take_one(host, &job, line, Settlement::of(&answer), may_refuse).await?;
            if is_news && is_suspect {
                self.suspected(host, &job, worker, now).await?;
            }
        }
        for id in &write.skipped {
            let Some(job) = self.waiting_for(host, *id).filter(|job| job.discovery.is_some()) else { continue };
            let reason = "the discovery query found nothing there";
            let answer = unanswered(host, TargetState::Skipped, reason, self.clock.now());
            self.take_one(host, &job, line(&answer), Settlement::of(&answer), may_refuse).await?;
        }
        Ok(())
    }

    /// Whether an answer of this host was lost before, so that it was sent the query once more.
    async fn was_lost(&self, host: &Host, job: &Job) -> bool {
        // why: another node may have found the loss, and this view be behind. If the bus is away, the view counts.
        if let Err(error) = self.fold(job).await {
            tracing::debug!(%error, live_query = job.id, "denylisted query judged by an older view");
        }
        matches!(job.open_target(host.id), Some(OpenTarget::Sent { retry_alone: true, .. }))
    }

    /// A job that waits for this host's answer.
    fn waiting_for(&self, host: &Host, id: i64) -> Option<Arc<Job>> {
        let job = self.jobs.pin().get(&id).cloned();
        // A job that is over has no open targets.
        job.filter(|job| job.open_target(host.id).is_some())
    }

    /// Keeps one answer. False when the host was settled before, or nothing could be kept.
    async fn take_one(
        &self,
        host: &Host,
        job: &Job,
        line: Vec<u8>,
        settlement: Settlement,
        may_refuse: bool,
    ) -> Result<bool> {
        match self.keep(job, host.id, line, &settlement).await {
            Ok(is_news) => Ok(is_news),
            Err(error @ BusError::Busy(_)) => Err(error.into()),
            Err(error) if may_refuse => Err(error.into()),
            Err(error) => {
                let counted = Settlement { truncated: true, unkept: true, ..settlement };
                let is_counted = self.keep(job, host.id, Vec::new(), &counted).await;
                tracing::error!(%error, live_query = job.id, host_id = host.id, is_counted = is_counted.is_ok(),
                    "answer not kept; it is only counted, or the host is asked again");
                Ok(is_counted.unwrap_or(false))
            }
        }
    }
}
