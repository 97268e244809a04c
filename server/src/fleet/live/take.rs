//! Taking the answers that come with one write of a host.
//!
//! An agent that is refused keeps all its answers and sends them again, together with those it has got meanwhile. So a
//! write is refused as a whole, after everything in it that can be kept was kept, and for a fault only if the last one
//! was not. A write that must be taken loses what cannot be kept in time, which is counted, or its host asked again. A
//! node that has no room for more answers at the moment ([`BusError::Busy`]) refuses as often as it takes, because
//! nothing is wrong then; a bus that answers others and not this write ([`BusError::Slow`]), or had too little time for
//! it, a few times in a row.
//!
//! All answers of a write are kept at one time, so that one that cannot be kept holds up no other, and each waits for the
//! bus itself. There are at most `live.max_open` of them, and their lines are no larger than the body.
//!
//! A write ends before the request does that brings it, unless the connection breaks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use muster_api::osquery::QueryResult;
use muster_api::rest::TargetState;
use tokio::time::{Instant, timeout_at};

use super::answers::{line, unanswered};
use super::host_state::{Leeway, RefusedFor};
use super::looking::Unheard;
use super::notes::Settlement;
use super::progress::OpenTarget;
use super::{Job, Live, Worker};
use crate::bus::BusError;
use crate::fleet::carves::CarveOrigin;
use crate::fleet::checkin::DENYLISTED;
use crate::fleet::hosts::Host;
use crate::fleet::{Error, Result};

/// What one write of a host says of live queries, by their ids.
#[derive(Debug, Default)]
pub struct LiveWrite<'a> {
    pub answers: Vec<(i64, &'a QueryResult<'a>)>,
    /// The sentinel came without an answer: the discovery query found nothing there.
    pub skipped: BTreeSet<i64>,
    /// The workers that ran queries whose answers were lost before.
    pub workers: BTreeMap<i64, Worker>,
}

/// A refusal that other hosts have caused.
const TOO_MANY_UNKNOWN: &str = "answers to too many unknown live queries at one time; try again";

/// A refusal: why, and what the agent is told.
type Refused = (RefusedFor, Error);

/// One write that is being taken.
#[derive(Debug, Clone, Copy)]
struct Taking<'a> {
    host: &'a Arc<Host>,
    leeway: Leeway,
    /// When answers have to be kept.
    keep_by: Instant,
    /// When those that were not have to be counted.
    count_by: Instant,
    /// With less time than this, the bus is hardly to blame when an answer is not kept.
    enough: Duration,
}

impl<'a> Taking<'a> {
    /// `patience` is the time that a request has from its beginning on.
    fn new(host: &'a Arc<Host>, leeway: Leeway, deadline: Instant, patience: Duration) -> Self {
        let now = Instant::now();
        let left = deadline.saturating_duration_since(now);
        let enough = patience * 3 / 8;
        Self { host, leeway, keep_by: now + left * 3 / 4, count_by: now + left * 9 / 10, enough }
    }

    /// The refusal of work that began at a moment and was not done in time.
    fn late(&self, began: Instant) -> Refused {
        let had_time = self.keep_by.saturating_duration_since(began) >= self.enough;
        let reason = if had_time { RefusedFor::Fault } else { RefusedFor::Slowness };
        (reason, Error::Unavailable("answers to live queries not kept in time".to_owned()))
    }
}

fn failure(error: BusError) -> Refused {
    let reason = match error {
        BusError::Busy(_) => RefusedFor::Room,
        BusError::Slow(_) => RefusedFor::Slowness,
        BusError::Unavailable(_) | BusError::Lost(_) => RefusedFor::Fault,
    };
    (reason, error.into())
}

impl Live {
    /// Takes what a host says of live queries, before `deadline`. A repeat, and what is said of a query that is over or
    /// unknown, is taken and dropped.
    ///
    /// # Errors
    /// When an answer cannot be kept now: the agent sends all of them again. The module says how often.
    pub async fn take(self: &Arc<Self>, host: &Arc<Host>, write: &LiveWrite<'_>, deadline: Instant) -> Result<()> {
        if write.answers.is_empty() && write.skipped.is_empty() {
            return Ok(());
        }
        let under_way = host.live.write_begins();
        let taking = Taking::new(host, under_way.leeway, deadline, self.answer_timeout);
        let refused = self.take_all(&taking, write).await;
        under_way.ended(refused.as_ref().map(|(reason, _)| *reason));
        if let Some((RefusedFor::Room, _)) = refused {
            self.metrics.limit_hit("live_answers_in_flight");
        }
        refused.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Keeps what can be kept. Gives the gravest reason to refuse the write, if there is one that it may be refused for.
    async fn take_all(self: &Arc<Self>, taking: &Taking<'_>, write: &LiveWrite<'_>) -> Option<Refused> {
        let unheard = self.hear_of_all(taking, write).await;
        let answers = write
            .answers
            .iter()
            .map(|(id, result)| self.take_answer(taking, *id, result, write.workers.get(id).copied()));
        let skipped = write.skipped.iter().map(|id| self.take_skipped(taking, *id));
        let (answers, skipped) = tokio::join!(join_all(answers), join_all(skipped));
        let refused = answers.into_iter().chain(skipped).flatten();
        unheard.into_iter().chain(refused).max_by_key(|(reason, _)| *reason)
    }

    /// Looks for the live queries that this node has not heard of.
    async fn hear_of_all(&self, taking: &Taking<'_>, write: &LiveWrite<'_>) -> Option<Refused> {
        let ids = write.answers.iter().map(|(id, _)| *id).chain(write.skipped.iter().copied()).collect();
        let began = Instant::now();
        let refused = match timeout_at(taking.keep_by, self.hear_of(taking.host.id, &ids)).await {
            Ok(Ok(())) => return None,
            Ok(Err(Unheard::Full)) => (RefusedFor::Room, Error::Unavailable(TOO_MANY_UNKNOWN.to_owned())),
            Ok(Err(Unheard::Failed(error))) => (RefusedFor::Fault, error),
            Err(_) => taking.late(began),
        };
        if taking.leeway.allows(refused.0) {
            return Some(refused);
        }
        tracing::error!(error = %refused.1, host_id = taking.host.id,
            "live queries not looked for; answers to those this node does not know are dropped, and the host is asked again");
        None
    }

    async fn take_answer(
        self: &Arc<Self>,
        taking: &Taking<'_>,
        id: i64,
        result: &QueryResult<'_>,
        worker: Option<Worker>,
    ) -> Option<Refused> {
        let host = taking.host;
        let Some(job) = self.waiting_for(host, id) else {
            self.metrics.unknown_answers.inc();
            return None;
        };
        let now = self.clock.now();
        let is_suspect = result.message.as_deref() == Some(DENYLISTED)
            && self.was_lost(taking, &job).await
            && !worker.is_some_and(|worker| worker.was_running_at(job.created_at, now));
        let (answer, line) = self.read_answer(host, &job, result, is_suspect, now).await;
        match self.take_one(taking, &job, line, Settlement::of(&answer)).await {
            Ok(true) if !answer.carves.is_empty() => {
                let origin = CarveOrigin::Live { id: job.id, query_name: &job.query_name };
                self.carve_requests.note(host.id, origin, answer.carves.iter().map(String::as_str));
            }
            Ok(true) if is_suspect => self.suspected(host, &job, worker, now).await,
            Ok(_) => {}
            Err(refused) => return Some(refused),
        }
        None
    }

    async fn take_skipped(self: &Arc<Self>, taking: &Taking<'_>, id: i64) -> Option<Refused> {
        let job = self.waiting_for(taking.host, id).filter(|job| job.discovery.is_some())?;
        let reason = "the discovery query found nothing there";
        let answer = unanswered(taking.host, TargetState::Skipped, reason, self.clock.now());
        self.take_one(taking, &job, line(&answer), Settlement::of(&answer)).await.err()
    }

    /// Whether an answer of this host was lost before, so that it was sent the query once more.
    async fn was_lost(self: &Arc<Self>, taking: &Taking<'_>, job: &Arc<Job>) -> bool {
        // why: another node may have found the loss, and this view be behind. If the bus is away, the view counts.
        if let Ok(Err(error)) = timeout_at(taking.keep_by, self.fold(job)).await {
            tracing::debug!(%error, live_query = job.id, "denylisted query judged by an older view");
        }
        matches!(job.open_target(taking.host.id), Some(OpenTarget::Sent { retry_alone: true, .. }))
    }

    /// A job that waits for this host's answer.
    fn waiting_for(&self, host: &Host, id: i64) -> Option<Arc<Job>> {
        let job = self.jobs.pin().get(&id).cloned();
        // A job that is over has no open targets.
        job.filter(|job| job.open_target(host.id).is_some())
    }

    /// Keeps one answer. False when the host was settled before, or nothing could be kept.
    async fn take_one(
        self: &Arc<Self>,
        taking: &Taking<'_>,
        job: &Arc<Job>,
        line: Vec<u8>,
        settlement: Settlement,
    ) -> std::result::Result<bool, Refused> {
        let (host_id, began) = (taking.host.id, Instant::now());
        let kept = self.keep_by(taking.keep_by, job, host_id, line.into(), &settlement);
        let refused = match timeout_at(taking.keep_by, kept).await {
            Ok(Ok(is_news)) => {
                // It is kept, also if the time is over before it shows.
                let _ = timeout_at(taking.keep_by, self.show_kept(job)).await;
                return Ok(is_news);
            }
            Ok(Err(error)) => failure(error),
            Err(_) => taking.late(began),
        };
        if taking.leeway.allows(refused.0) {
            return Err(refused);
        }
        let counted = Settlement { truncated: true, unkept: true, ..settlement };
        let counted = async {
            let is_news = self.keep_by(taking.count_by, job, host_id, Bytes::new(), &counted).await?;
            self.show_kept(job).await;
            Ok::<_, BusError>(is_news)
        };
        let counted = timeout_at(taking.count_by, counted).await;
        let is_counted = matches!(counted, Ok(Ok(_)));
        tracing::error!(error = %refused.1, live_query = job.id, host_id, is_counted,
            "answer not kept; it is only counted, or the host is asked again");
        Ok(matches!(counted, Ok(Ok(true))))
    }
}

#[cfg(test)]
#[path = "take_tests.rs"]
mod tests;
