//! What a host is asked when it checks in, and what becomes of its answers.

mod answers;
mod details;
mod due;
mod names;
mod reports;
mod round;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use muster_api::osquery::answer::NO_WORK;
use serde_json::{Map, Value};

pub use answers::DENYLISTED;
pub use due::Housekeeping;
pub use names::Name;

use self::reports::Reports;
use self::round::{Next, Round};
use super::hosts::{Host, Hosts};
use super::live::Live;
use super::schedule::{Plan, Schedule};
use super::within;
use crate::clock::{Clock, Moment};
use crate::config;
use crate::store::{self, Store};
use crate::telemetry::Metrics;

/// An agent tries a write three times, pausing 1 s and 4 s between, and does not read meanwhile. One that reads again
/// this long after it was asked, and has not answered, has lost the questions.
pub const ENVELOPE: Duration = Duration::from_secs(20);

/// Reports that may wait for the database before hosts are asked nothing more.
const MAX_WAITING: usize = 20_000;

/// Asks hosts about themselves and takes their answers.
#[derive(Debug)]
pub struct Checkin {
    store: Store,
    clock: Clock,
    schedule: Arc<Schedule>,
    hosts: Arc<Hosts>,
    live: Arc<Live>,
    reports: Reports,
    intervals: due::Intervals,
    store_timeout: Duration,
    metrics: Arc<Metrics>,
}

impl Checkin {
    pub fn new(
        store: Store,
        clock: Clock,
        config: &config::Osquery,
        schedule: Arc<Schedule>,
        hosts: Arc<Hosts>,
        live: Arc<Live>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            store,
            clock,
            schedule,
            hosts,
            live,
            reports: Reports::default(),
            intervals: due::Intervals { details: config.detail_update_interval, labels: config.label_update_interval },
            store_timeout: config.store_timeout,
            metrics,
        }
    }

    /// The answer to a host that asks for work. Without anything due it looks at three numbers in memory. Live queries go
    /// first and alone: all answers to one read come together, after the slowest.
    pub async fn read(&self, host: &Arc<Host>) -> Bytes {
        if let Some(questions) = self.live.questions(host).await {
            return questions;
        }
        let now = self.clock.now();
        let plan = self.schedule.plan();
        if !host.housekeeping.may_be_due(&plan, now) {
            return Bytes::from_static(NO_WORK);
        }
        if self.reports.waiting() > MAX_WAITING {
            self.metrics.limit_hit("waiting_reports");
            return Bytes::from_static(NO_WORK);
        }
        let is_asked = host.housekeeping.has_round()
            || (host.housekeeping.due(host.id, &plan, self.intervals, now).any() && self.begin(host, &plan, now).await);
        if !is_asked {
            return Bytes::from_static(NO_WORK);
        }
        self.go_on(host, &plan, now)
    }

    /// Starts a round of questions if the database says that they are due.
    async fn begin(&self, host: &Arc<Host>, plan: &Plan, now: Moment) -> bool {
        let confirmed = within(self.store_timeout, async {
            Ok((
                store::reports::asked(self.store.reader(), host.id).await?,
                store::parked_queries::of_host(self.store.reader(), host.id).await?,
            ))
        })
        .await;
        let (asked, parked) = match confirmed {
            Ok((Some(asked), parked)) => (asked, parked),
            // The host is gone, and its next request will say so.
            Ok((None, _)) => return false,
            Err(error) => {
                tracing::debug!(%error, host_id = host.id, "a host is not asked about itself, because the database does not answer");
                return false;
            }
        };
        host.housekeeping.take_over(asked);
        let due = host.housekeeping.due(host.id, plan, self.intervals, now);
        if !due.any() {
            return false;
        }
        let platform = host.assignment.load().platform.clone();
        let mut names = Vec::new();
        if due.details {
            names.extend(details::for_platform(&platform).map(|query| Name::Detail(query.name)));
        }
        if due.labels {
            let (asked, ruled_out): (Vec<_>, Vec<_>) =
                plan.dynamic_labels().iter().partition(|label| label.is_for(&platform));
            names.extend(asked.into_iter().map(|label| Name::Label(label.id)));
            self.reports.rule_out(host, ruled_out.into_iter().map(|label| label.id));
        }
        names.retain(|name| {
            let text = name.to_string();
            let changed_at = changed_at(*name, plan);
            !parked.iter().any(|parked| parked.name == text && changed_at <= parked.parked_at)
        });
        host.housekeeping.start(Round::new(names, due, now));
        true
    }

    /// Sends what the round has next, and takes note of what was lost.
    fn go_on(&self, host: &Arc<Host>, plan: &Plan, now: Moment) -> Bytes {
        let next = host.housekeeping.next(now);
        for (name, reason) in next.parked {
            tracing::warn!(host_id = host.id, query = %name, reason, "a question is not put to a host any more");
            self.metrics.parked_queries.inc();
            self.reports.park(host, name, reason, now);
        }
        match next.step {
            Next::Send(names) => {
                let queries: Map<String, Value> =
                    names.iter().filter_map(|name| Some((name.to_string(), sql_of(*name, plan)?.into()))).collect();
                if queries.len() < names.len() {
                    // A label that is gone is owed no answer.
                    let gone = names.iter().filter(|name| sql_of(**name, plan).is_none());
                    for name in gone {
                        host.housekeeping.answered(*name);
                    }
                }
                if queries.is_empty() {
                    return Bytes::from_static(NO_WORK);
                }
                self.metrics.questions.inc_by(queries.len() as u64);
                let mut answer = Map::new();
                answer.insert("queries".to_owned(), Value::Object(queries));
                Bytes::from(Value::Object(answer).to_string())
            }
            Next::Wait => Bytes::from_static(NO_WORK),
            Next::Done(done) => {
                self.reports.finish(host, done);
                host.housekeeping.finished(done, host.id, plan, self.intervals, now);
                Bytes::from_static(NO_WORK)
            }
        }
    }

    /// Writes what has been reported since the last time.
    ///
    /// # Errors
    /// When the database does not answer; then the next call writes it.
    pub async fn write_reports(&self) -> super::Result<()> {
        self.reports.write(&self.store, &self.hosts, &self.metrics).await
    }
}

fn sql_of(name: Name, plan: &Plan) -> Option<&str> {
    match name {
        Name::Detail(name) => details::named(name).map(|query| query.sql),
        Name::Label(id) => plan.dynamic_label(id).map(|label| label.sql.as_str()),
    }
}

/// When a question was changed; one that was parked before gets another chance.
fn changed_at(name: Name, plan: &Plan) -> Moment {
    match name {
        Name::Detail(_) => Moment::NEVER,
        Name::Label(id) => plan.dynamic_label(id).map_or(Moment::NEVER, |label| label.changed_at),
    }
}
