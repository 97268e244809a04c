use std::collections::BTreeSet;
use std::sync::Arc;

use muster_api::osquery::{DistributedWrite, QueryResult};
use sea_orm::Set;
use tokio::time::Instant;

use super::details::HostAnswers;
use super::{Checkin, Name, details};
use crate::fleet::Result;
use crate::fleet::hosts::{Family, Host, HostSystem};
use crate::fleet::live::{self, LiveWrite, Worker};
use crate::fleet::schedule::Plan;
use crate::store::reports::HostReport;

/// The message with which agents from 5.5 on refuse a query that stopped their worker before.
pub const DENYLISTED: &str = "distributed query is denylisted";

/// Most answers in one request to labels this node does not know yet.
const MAX_NEWER_LABELS: usize = 256;

impl Checkin {
    /// Takes the answers of a host, before `deadline`. Answers to unknown questions are dropped rather than refused: a
    /// refused agent keeps its answers and sends more each time. What a host says of itself counts either way.
    ///
    /// # Errors
    /// When the answer to a live query cannot be kept now; the agent then sends all answers again.
    pub async fn write(&self, host: &Arc<Host>, write: &DistributedWrite<'_>, deadline: Instant) -> Result<()> {
        let plan = self.schedule.plan();
        let mut newer_labels = 0;
        let mut report = HostReport { host_id: host.id, ..HostReport::default() };
        let mut said = HostAnswers { platform: host.assignment.load().platform.clone(), ..HostAnswers::default() };
        let mut live = LiveWrite::default();
        for (id, result) in &write.results {
            if let Some(live_query) = id.strip_prefix(live::PREFIX).and_then(|id| id.parse().ok()) {
                live.answers.push((live_query, result));
                continue;
            }
            if let Some(live_query) = id.strip_prefix(live::SENTINEL).and_then(|id| id.parse().ok()) {
                live.skipped.insert(live_query);
                continue;
            }
            if let Some(live_query) = id.strip_prefix(live::WORKER).and_then(|id| id.parse().ok()) {
                live.workers.extend(Worker::of(result).map(|worker| (live_query, worker)));
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
                // Another node may have learnt of a new label first and asked. The transaction checks the label's id.
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
            if name.is_schema() && !self.schemas.may_take(host.id) {
                continue;
            }
            take(&mut report, &mut said, name, result);
        }
        // In a truncated write the missing answer may be among the results that were not read.
        let answered: BTreeSet<i64> = live.answers.iter().map(|(id, _)| *id).collect();
        live.skipped.retain(|id| !write.truncated && !answered.contains(id));
        report.details = said.host;
        note_builtin_labels(&mut report, &plan);
        self.reports.add(report, host.refresh_state.is_awaited(host.id, &plan), self.clock.now());
        if let Some(sample) = said.sample {
            self.statistics.add(host, sample);
        }
        if let Some(tables) = said.tables {
            self.schemas.take(host.id, tables);
        }
        self.live.take(host, &live, deadline).await
    }
}

/// Adds the built-in labels, which follow from the host's system. Platform and name come in one answer.
fn note_builtin_labels(report: &mut HostReport, plan: &Plan) {
    if let (Set(platform), Set(os_version)) = (&report.details.platform, &report.details.os_version) {
        let system = HostSystem { platform, os_version, family: Family::of(None, platform) };
        for (label_id, label) in plan.builtin_labels() {
            report.labels.insert(*label_id, label.has(&system));
        }
    }
}

/// Puts an answer into the report, or into what the host says about itself. A failed query changes nothing.
fn take(report: &mut HostReport, said: &mut HostAnswers, name: Name, result: &QueryResult<'_>) {
    if !result.succeeded() {
        return;
    }
    match name {
        Name::Label(label_id) => {
            report.labels.insert(label_id, !result.rows.is_empty());
        }
        Name::Detail(name) => {
            if let Some(query) = details::named(name) {
                (query.fill)(said, result.rows);
            }
        }
    }
}
