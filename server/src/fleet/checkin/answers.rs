use std::collections::BTreeSet;
use std::sync::Arc;

use muster_api::osquery::{DistributedWrite, QueryResult};
use sea_orm::Set;

use super::{Checkin, Name, details};
use crate::fleet::Result;
use crate::fleet::hosts::{Family, Host};
use crate::fleet::live;
use crate::fleet::schedule::Plan;
use crate::store::entity::hosts::ActiveModel;
use crate::store::reports::Report;

/// What agents from 5.5 on say of a query that has stopped their worker before.
pub const DENYLISTED: &str = "distributed query is denylisted";

impl Checkin {
    /// Takes the answers of a host. Those to questions nobody asks any more are dropped: an agent that is refused keeps
    /// them and sends more each time.
    ///
    /// # Errors
    /// When the answer to a live query cannot be kept now; the agent sends all of them again.
    pub async fn write(&self, host: &Arc<Host>, write: &DistributedWrite<'_>) -> Result<()> {
        let now = self.clock.now();
        let plan = self.schedule.plan();
        let mut report = Report { host_id: host.id, ..Report::default() };
        let (mut answered, mut sentinels) = (BTreeSet::new(), BTreeSet::new());
        for (id, result) in &write.results {
            if let Some(live_query) = id.strip_prefix(live::PREFIX).and_then(|id| id.parse().ok()) {
                self.live.answer(host, live_query, result).await?;
                answered.insert(live_query);
                continue;
            }
            if let Some(live_query) = id.strip_prefix(live::SENTINEL).and_then(|id| id.parse::<i64>().ok()) {
                sentinels.insert(live_query);
                continue;
            }
            let Some(name) = Name::parse(id) else {
                self.metrics.unknown_answers.inc();
                continue;
            };
            let was_owed = host.housekeeping.answered(name);
            if was_owed && result.message.as_deref() == Some(DENYLISTED) {
                self.metrics.parked_queries.inc();
                self.reports.park(
                    host,
                    name,
                    "the agent has denylisted it after it stopped the worker".to_owned(),
                    now,
                );
            } else {
                take(&mut report, name, result, |label_id| plan.dynamic_label(label_id).is_some());
            }
        }
        // What is not there may also be among the results that were too many to read.
        for live_query in sentinels.difference(&answered).filter(|_| !write.truncated) {
            self.live.skipped(host, *live_query).await;
        }
        note_builtin_labels(&mut report, &plan);
        self.reports.add(report);
        if let Some(done) = host.housekeeping.is_round_done() {
            self.reports.finish(host, done);
            host.housekeeping.finished(done, host.id, &plan, self.intervals, now);
        }
        Ok(())
    }
}

/// A host's platform decides about the built-in labels.
fn note_builtin_labels(report: &mut Report, plan: &Plan) {
    if let Set(platform) = &report.details.platform {
        let family = Family::of(None, platform);
        for (label_id, label) in plan.builtin_labels() {
            report.labels.insert(*label_id, label.has(platform, family));
        }
    }
}

/// Notes an answer. One that failed changes nothing.
fn take(report: &mut Report, name: Name, result: &QueryResult<'_>, is_dynamic: impl Fn(i64) -> bool) {
    if !result.succeeded() {
        return;
    }
    match name {
        Name::Label(label_id) if is_dynamic(label_id) => {
            report.labels.insert(label_id, !result.rows.is_empty());
        }
        Name::Label(_) => {}
        Name::Detail(name) => {
            if let Some(query) = details::named(name) {
                let mut columns: ActiveModel = std::mem::take(&mut report.details);
                (query.fill)(&mut columns, result.rows);
                report.details = columns;
            }
        }
    }
}
