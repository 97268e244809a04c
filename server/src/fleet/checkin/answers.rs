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
use crate::store::reports::HostReport;

/// What agents from 5.5 on say of a query that has stopped their worker before.
pub const DENYLISTED: &str = "distributed query is denylisted";

/// Answers to labels this server does not know yet, in one request.
const MAX_NEWER_LABELS: usize = 256;

impl Checkin {
    /// Takes the answers of a host. Those to questions nobody asks any more are dropped: an agent that is refused keeps
    /// them and sends more each time.
    ///
    /// # Errors
    /// When the answer to a live query cannot be kept now; the agent sends all of them again.
    pub async fn write(&self, host: &Arc<Host>, write: &DistributedWrite<'_>) -> Result<()> {
        let plan = self.schedule.plan();
        let mut newer_labels = 0;
        let mut report = HostReport { host_id: host.id, ..HostReport::default() };
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
            let is_denylisted = result.message.as_deref() == Some(DENYLISTED);
            let is_known = match name {
                Name::Detail(_) => true,
                Name::Label(label_id) if plan.label_name(label_id).is_some() => plan.dynamic_label(label_id).is_some(),
                // It may have been asked by a server that knew of a new label first. The database will tell.
                Name::Label(_) => {
                    newer_labels += 1;
                    newer_labels <= MAX_NEWER_LABELS
                }
            };
            if !is_known {
                self.metrics.unknown_answers.inc();
                continue;
            }
            report.answered.insert(name.to_string(), is_denylisted);
            take(&mut report, name, result);
        }
        // What is not there may also be among the results that were too many to read.
        for live_query in sentinels.difference(&answered).filter(|_| !write.truncated) {
            self.live.skipped(host, *live_query).await?;
        }
        note_builtin_labels(&mut report, &plan);
        self.reports.add(report);
        Ok(())
    }
}

/// A host's platform decides about the built-in labels.
fn note_builtin_labels(report: &mut HostReport, plan: &Plan) {
    if let Set(platform) = &report.details.platform {
        let family = Family::of(None, platform);
        for (label_id, label) in plan.builtin_labels() {
            report.labels.insert(*label_id, label.has(platform, family));
        }
    }
}

/// Notes an answer. One that failed changes nothing.
fn take(report: &mut HostReport, name: Name, result: &QueryResult<'_>) {
    if !result.succeeded() {
        return;
    }
    match name {
        Name::Label(label_id) => {
            report.labels.insert(label_id, !result.rows.is_empty());
        }
        Name::Detail(name) => {
            if let Some(query) = details::named(name) {
                let mut columns: ActiveModel = std::mem::take(&mut report.details);
                (query.fill)(&mut columns, result.rows);
                report.details = columns;
            }
        }
    }
}
