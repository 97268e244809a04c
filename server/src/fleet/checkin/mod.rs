//! Questions about a host: what it is asked when it checks in, and what becomes of its answers.
//!
//! Every host is asked about itself (`details`) and about dynamic labels, hourly by default. Each has its own slot in
//! the hour, computed from its id (`due`), so that a fleet that came at one moment does not stay together; a new or
//! changed label is put to every host within a minute.
//!
//! Memory only says that nothing is due (`due::RefreshState`): such a check-in does no SQL. That something is due, the
//! host's row decides, under a lock, so that of two nodes one asks (`ask`). Every question that is sent is owed an
//! answer (`round`).
//!
//! Answers are collected in memory and written once a second for many hosts in one transaction (`reports`), which also
//! takes them off the open rounds; of label answers only those that change a membership are written. Answers may come
//! to any node. One that belongs to no open round counts for what it says of the host, which owns its data, but ends no
//! round and parks nothing; agents cannot change the members of manual labels. A crash loses what was not written yet,
//! and those hosts are asked again.
//!
//! What a host's scheduled queries have cost is asked alone, in a round of its own, when nothing else is due: agents answer
//! that only when no scheduled query runs, and all answers to a read come together. It is the first to be shed under load.
//! Hosts that were picked to say which tables they have (`fleet/schema`) are asked alone, too, once.
//!
//! A question that stays unanswered twice when asked alone, or that the agent says it has denylisted, is parked for
//! that host, shown with it, and asked again when the label changes or after a refetch.

mod answers;
mod ask;
mod details;
mod due;
#[cfg(test)]
mod leisure_tests;
mod names;
mod question_texts;
mod refresh_check;
#[cfg(test)]
mod refused_tests;
mod reports;
mod round;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use muster_api::osquery::answer::NO_WORK;

pub use answers::DENYLISTED;
pub use due::RefreshState;
pub use names::Name;

use self::ask::{Asker, Assigned, RefreshRequest};
use self::question_texts::QuestionTexts;
use self::refresh_check::{RefreshCheck, RefreshNeed};
use self::reports::Reports;
use super::hosts::{Host, Hosts};
use super::live::Live;
use super::schedule::{Plan, Schedule};
use super::schema::AgentSchemas;
use super::statistics::Statistics;
use super::within;
use crate::clock::{Clock, Moment};
use crate::config;
use crate::store::Store;
use crate::store::entity::parked_queries;
use crate::telemetry::Metrics;

/// How long an agent may retry a write before it reads again: it tries three times, with pauses of 1 s and 4 s. An
/// agent that reads again this long after it was asked, and has not answered, has lost the questions.
pub const RETRY_WINDOW: Duration = Duration::from_secs(20);

/// Hosts whose reports may wait for the database; beyond that, no host is asked about itself.
const MAX_WAITING: usize = 20_000;

/// Reports that wait for the database from which on no host is asked for statistics, which can wait.
const SHEDS_STATISTICS: usize = 5_000;

/// What [`Checkin`] is made of.
#[derive(Debug)]
pub struct CheckinParts {
    pub store: Store,
    pub clock: Clock,
    pub schedule: Arc<Schedule>,
    pub hosts: Arc<Hosts>,
    pub live: Arc<Live>,
    pub statistics: Arc<Statistics>,
    pub schemas: Arc<AgentSchemas>,
    pub metrics: Arc<Metrics>,
}

/// Asks hosts about themselves and takes their answers.
#[derive(Debug)]
pub struct Checkin {
    store: Store,
    clock: Clock,
    schedule: Arc<Schedule>,
    hosts: Arc<Hosts>,
    live: Arc<Live>,
    statistics: Arc<Statistics>,
    schemas: Arc<AgentSchemas>,
    reports: Reports,
    asker: Asker,
    texts: QuestionTexts,
    intervals: due::RefreshIntervals,
    store_timeout: Duration,
    metrics: Arc<Metrics>,
}

impl Checkin {
    /// Hosts whose answers about themselves wait to be written, and from how many on no host is asked.
    pub(super) fn waiting_reports(&self) -> (usize, usize) {
        (self.reports.waiting(), MAX_WAITING)
    }

    /// Requests of which it is decided whether to ask their hosts about themselves: those that wait and those of the batch that
    /// is worked on, with the most they may be.
    pub(super) fn asking(&self) -> (usize, usize) {
        self.asker.size()
    }

    /// `statistics_interval` is zero if no host is to be asked for statistics.
    pub fn new(parts: CheckinParts, config: &config::Osquery, statistics_interval: Duration) -> Self {
        let CheckinParts { store, clock, schedule, hosts, live, statistics, schemas, metrics } = parts;
        Self {
            store,
            clock,
            schedule,
            hosts,
            live,
            statistics,
            schemas,
            reports: Reports::default(),
            // A request of an agent has to be answered in time, also when the database takes its time.
            asker: Asker::new(config.answer_timeout.saturating_sub(config.store_timeout) / 2),
            texts: QuestionTexts::default(),
            intervals: due::RefreshIntervals {
                details: config.detail_update_interval,
                labels: config.label_update_interval,
                statistics: (!statistics_interval.is_zero()).then_some(statistics_interval),
                asks_schema: false,
            },
            store_timeout: config.store_timeout,
            metrics,
        }
    }

    /// The answer to a host that asks for work. If nothing is due, this compares three numbers in memory. Live queries
    /// go first and alone, because all answers to one read come together, after the slowest query.
    pub async fn read(&self, host: &Arc<Host>) -> Bytes {
        let announced = host.live.announced();
        if let Some(questions) = self.live.questions(host).await {
            return questions;
        }
        let now = self.clock.now();
        let plan = self.schedule.plan();
        if !host.refresh_state.may_be_due(&plan, now) {
            return Bytes::from_static(NO_WORK);
        }
        if self.reports.waiting() > MAX_WAITING {
            self.metrics.limit_hit("waiting_reports");
            return Bytes::from_static(NO_WORK);
        }
        let intervals = due::RefreshIntervals { asks_schema: self.schemas.asks(host.id), ..self.intervals };
        let check = host.refresh_state.check(host.id, &plan, intervals, now);
        if check.need.is_statistics_alone() && self.sheds_statistics() {
            self.metrics.limit_hit("statistics_questions");
            host.refresh_state.rest_until(due::retry_at(host.id, now), &plan);
            return Bytes::from_static(NO_WORK);
        }
        // Answers that are not written yet may end the round that the row still shows.
        if matches!(check.need, RefreshNeed::Nothing(_)) || self.reports.has_answers_of(host.id) {
            return Bytes::from_static(NO_WORK);
        }
        // Boxed, because every check-in would otherwise carry room for it.
        let mut asked = Box::pin(self.ask(host, &plan, intervals, check, now));
        let given = tokio::select! {
            biased;
            given = &mut asked => Some(given),
            // What was decided meanwhile is not thrown away.
            () = self.live.until_announced(host, announced) => asked.as_mut().now_or_never(),
        };
        drop(asked);
        match given {
            Some(Ok(given)) => self.send(host, &plan, given, now),
            Some(Err(error)) => {
                tracing::debug!(%error, host_id = host.id, "database does not answer; host is not asked about itself now");
                host.refresh_state.rest_until(due::retry_at(host.id, now), &plan);
                Bytes::from_static(NO_WORK)
            }
            // An operator waits for a live query, and nobody for this: the host is asked about itself at its next read.
            None => self.live.questions(host).await.unwrap_or_else(|| Bytes::from_static(NO_WORK)),
        }
    }

    /// Whether so much waits that statistics have to.
    fn sheds_statistics(&self) -> bool {
        self.reports.waiting() > SHEDS_STATISTICS || !self.statistics.may_ask()
    }

    /// Decides by the host's row, which is read under its lock, for many hosts at one time. With several nodes the row mostly
    /// says that another node has asked; then nothing is written.
    async fn ask(
        &self,
        host: &Arc<Host>,
        plan: &Arc<Plan>,
        intervals: due::RefreshIntervals,
        check: RefreshCheck,
        now: Moment,
    ) -> super::Result<Assigned> {
        let platform = host.assignment.load().platform.clone();
        let plan = Arc::clone(plan);
        let refetch_mark = host.refresh_state.refetch_mark();
        let wanted = RefreshRequest { host_id: host.id, platform, plan, intervals, now, since: Instant::now(), check };
        let longest = self.asker.leisure(&wanted) + self.store_timeout;
        let assigned = within(longest, self.asker.ask(&self.store, wanted)).await?;
        if let Some(record) = &assigned.record {
            host.refresh_state.take_over_as_of(refetch_mark, record);
        }
        Ok(assigned)
    }

    fn send(&self, host: &Arc<Host>, plan: &Plan, given: Assigned, now: Moment) -> Bytes {
        given.parked.iter().for_each(|parked| note_parked(parked, &self.metrics));
        self.reports.rule_out(host, given.ruled_out, now);
        if given.is_schema_settled {
            self.schemas.was_asked(host.id);
        }
        let (text, count) = self.texts.of(&given.names, plan);
        if count == 0 {
            if let Some(moment) = given.rest_until {
                host.refresh_state.rest_until(moment, plan);
            }
            return Bytes::from_static(NO_WORK);
        }
        host.refresh_state.rest_until(now.plus(RETRY_WINDOW), plan);
        self.metrics.questions.inc_by(count as u64);
        text
    }

    /// Writes the answers that were collected when that is due, or in any case.
    ///
    /// # Errors
    /// When the database does not answer; then the next call writes them.
    pub async fn write_reports(&self, everything: bool) -> super::Result<()> {
        let now = self.clock.now();
        if !everything && !self.reports.are_due(now) {
            return Ok(());
        }
        self.reports.write(&self.store, &self.hosts, &self.metrics, now).await
    }
}

/// Tells of a question that a host is not asked any more.
fn note_parked(parked: &parked_queries::Model, metrics: &Metrics) {
    let parked_queries::Model { host_id, name, reason, .. } = parked;
    tracing::warn!(host_id, query = %name, reason, "question parked; the host is not asked it any more");
    metrics.parked_queries.inc();
}

fn sql_of(name: Name, plan: &Plan) -> Option<&str> {
    match name {
        Name::Detail(name) => details::named(name).map(|query| query.sql),
        Name::Label(id) => plan.dynamic_label(id).map(|label| label.sql.as_str()),
    }
}

/// When a question was last changed. One that was parked before that is asked again.
fn changed_at(name: Name, plan: &Plan) -> Moment {
    match name {
        Name::Detail(_) => Moment::NEVER,
        Name::Label(id) => plan.dynamic_label(id).map_or(Moment::NEVER, |label| label.changed_at),
    }
}
