//! Answers on their way to the database, for many hosts in one transaction.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use sea_orm::{ActiveModelTrait as _, ActiveValue, Iterable as _, Set};

use super::Name;
use super::round::Finished;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::{Host, Hosts};
use crate::lock::lock;
use crate::store::entity::hosts::Column;
use crate::store::entity::parked_queries;
use crate::store::reports::Report;
use crate::store::{self, Store};
use crate::telemetry::Metrics;

/// Hosts written in one transaction, so that none holds the writer for long.
const BATCH: usize = 500;

/// What waits to be written. A crash loses it, and the hosts are asked again.
#[derive(Debug, Default)]
pub(super) struct Reports(Mutex<Waiting>);

#[derive(Debug, Default, Clone)]
struct Waiting {
    reports: BTreeMap<i64, Report>,
    parked: Vec<parked_queries::Model>,
}

impl Reports {
    pub(super) fn waiting(&self) -> usize {
        self.lock().reports.len()
    }

    /// Notes labels a host cannot be in, whatever it was in before.
    pub(super) fn rule_out(&self, host: &Host, labels: impl IntoIterator<Item = i64>) {
        let labels = labels.into_iter().map(|label| (label, false)).collect();
        self.add(Report { labels, ..empty(host.id) });
    }

    /// Adds what a host has said to what it said before.
    pub(super) fn add(&self, report: Report) {
        if report.labels.is_empty() && !report.details.is_changed() {
            return;
        }
        let mut waiting = self.lock();
        merge(waiting.reports.entry(report.host_id).or_insert_with(|| empty(report.host_id)), report);
    }

    /// Notes that a round of questions is over.
    pub(super) fn finish(&self, host: &Host, done: Finished) {
        let mut report = empty(host.id);
        if done.due.details {
            report.details.detail_updated_at = Set(done.started_at);
        }
        if host.housekeeping.has_refetched(done) {
            report.details.refetch_requested = Set(false);
        }
        if done.due.labels {
            report.details.label_updated_at = Set(done.started_at);
        }
        self.add(report);
    }

    pub(super) fn park(&self, host: &Host, name: Name, reason: String, now: Moment) {
        let parked = parked_queries::Model { host_id: host.id, name: name.to_string(), reason, parked_at: now };
        self.lock().parked.push(parked);
    }

    /// Writes what waits; what cannot be written goes on waiting.
    pub(super) async fn write(&self, store: &Store, hosts: &Hosts, metrics: &Metrics) -> Result<()> {
        loop {
            let batch = self.take_batch();
            if batch.reports.is_empty() && batch.parked.is_empty() {
                return hosts.refresh_stale().await;
            }
            let written = store
                .write(async |tx| {
                    for parked in &batch.parked {
                        store::parked_queries::park(tx, parked.clone()).await?;
                    }
                    store::reports::write(tx, &batch.reports).await
                })
                .await;
            match written {
                Ok(written) => {
                    metrics.label_changes.with_label_values(&["added"]).inc_by(written.added);
                    metrics.label_changes.with_label_values(&["removed"]).inc_by(written.removed);
                    hosts.mark_stale(written.moved);
                }
                Err(error) => {
                    self.put_back(batch);
                    return Err(error.into());
                }
            }
        }
    }

    fn take_batch(&self) -> Waiting {
        let mut waiting = self.lock();
        let rest = match waiting.reports.keys().nth(BATCH).copied() {
            Some(first_of_rest) => waiting.reports.split_off(&first_of_rest),
            None => BTreeMap::new(),
        };
        let reports = std::mem::replace(&mut waiting.reports, rest);
        Waiting { reports, parked: std::mem::take(&mut waiting.parked) }
    }

    /// What has come meanwhile is newer and stays on top.
    fn put_back(&self, batch: Waiting) {
        let mut waiting = self.lock();
        for (host_id, mut older) in batch.reports {
            if let Some(newer) = waiting.reports.remove(&host_id) {
                merge(&mut older, newer);
            }
            waiting.reports.insert(host_id, older);
        }
        waiting.parked.extend(batch.parked);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.0)
    }
}

fn empty(host_id: i64) -> Report {
    Report { host_id, ..Report::default() }
}

/// Puts a newer report over an older one.
fn merge(older: &mut Report, newer: Report) {
    older.labels.extend(newer.labels);
    for column in Column::iter() {
        if let ActiveValue::Set(value) = newer.details.get(column) {
            older.details.set(column, value);
        }
    }
}
