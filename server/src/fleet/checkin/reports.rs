//! Answers on their way to the database, for many hosts in one transaction.
//!
//! The transaction that writes what a host says also takes the answers off its open round. So another node either sees
//! both or neither, and does not ask again what has been answered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};

use sea_orm::{ActiveModelTrait as _, ActiveValue, Iterable as _};

use super::round::Round;
use super::{Name, note_parked};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::{Host, Hosts};
use crate::lock::lock;
use crate::store::entity::hosts::Column;
use crate::store::entity::parked_queries;
use crate::store::reports::{HostReport, RefreshRecord, ReportingHost};
use crate::store::{self, Store, feed};
use crate::telemetry::Metrics;

/// Hosts written in one transaction, so that none holds the writer for long.
const BATCH: usize = 500;

/// Answers that wait to be written. A crash loses them, and the hosts are asked again.
#[derive(Debug, Default)]
pub(super) struct Reports {
    waiting: Mutex<BTreeMap<i64, HostReport>>,
    /// Hosts whose reports are being written.
    under_way: Mutex<BTreeSet<i64>>,
    serial: tokio::sync::Mutex<()>,
}

impl Reports {
    pub(super) fn waiting(&self) -> usize {
        self.lock().len()
    }

    /// Whether answers of a host are not in the database yet.
    pub(super) fn has_answers_of(&self, host_id: i64) -> bool {
        self.lock().contains_key(&host_id) || lock(&self.under_way).contains(&host_id)
    }

    /// Notes labels a host cannot be a member of.
    pub(super) fn rule_out(&self, host: &Host, labels: impl IntoIterator<Item = i64>) {
        let labels = labels.into_iter().map(|label| (label, false)).collect();
        self.add(HostReport { labels, ..empty(host.id) });
    }

    /// Adds answers of a host to those that wait.
    pub(super) fn add(&self, report: HostReport) {
        if report.labels.is_empty() && report.answered.is_empty() && !report.details.is_changed() {
            return;
        }
        let mut waiting = self.lock();
        merge(waiting.entry(report.host_id).or_insert_with(|| empty(report.host_id)), report);
    }

    /// Writes the waiting answers. Those that cannot be written wait for the next call.
    pub(super) async fn write(&self, store: &Store, hosts: &Hosts, metrics: &Metrics, now: Moment) -> Result<()> {
        let _guard = self.serial.lock().await;
        loop {
            let batch = self.take_batch();
            if batch.is_empty() {
                return hosts.refresh_stale().await;
            }
            let written = store
                .write(async |tx| {
                    let host_ids: Vec<i64> = batch.keys().copied().collect();
                    let reporting = store::reports::reporting(tx, &host_ids).await?;
                    let settled = settle(tx, &batch, &reporting, now).await?;
                    let written = store::reports::write(tx, &batch, &reporting, &settled.asked).await?;
                    feed::append(tx, feed::HostChangeKind::Changed, written.moved.iter().copied(), now).await?;
                    Ok((settled, written))
                })
                .await;
            let outcome: Result<()> = match written {
                Ok((settled, written)) => {
                    metrics.label_changes.with_label_values(&["added"]).inc_by(written.added);
                    metrics.label_changes.with_label_values(&["removed"]).inc_by(written.removed);
                    settled.parked.iter().for_each(|parked| note_parked(parked, metrics));
                    if !written.moved.is_empty() {
                        hosts.have_changed(written.moved);
                    }
                    for asked in settled.asked.values() {
                        if let Some(host) = hosts.index.get(asked.id) {
                            host.refresh_state.take_over(asked);
                            host.refresh_state.look_again();
                        }
                    }
                    Ok(())
                }
                Err(error) => {
                    self.put_back(batch);
                    Err(error.into())
                }
            };
            lock(&self.under_way).clear();
            outcome?;
        }
    }

    fn take_batch(&self) -> BTreeMap<i64, HostReport> {
        let mut waiting = self.lock();
        let rest = match waiting.keys().nth(BATCH).copied() {
            Some(first_of_rest) => waiting.split_off(&first_of_rest),
            None => BTreeMap::new(),
        };
        let batch = std::mem::replace(&mut *waiting, rest);
        lock(&self.under_way).extend(batch.keys());
        batch
    }

    /// Answers that came in the meantime are newer and win.
    fn put_back(&self, batch: BTreeMap<i64, HostReport>) {
        let mut waiting = self.lock();
        for (host_id, mut older) in batch {
            if let Some(newer) = waiting.remove(&host_id) {
                merge(&mut older, newer);
            }
            waiting.insert(host_id, older);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i64, HostReport>> {
        lock(&self.waiting)
    }
}

/// The outcome of [`settle`].
struct Settled {
    /// What hosts were asked, by host, where it has changed.
    asked: BTreeMap<i64, RefreshRecord>,
    parked: Vec<parked_queries::Model>,
}

/// Takes answers off the rounds of their hosts, and ends the rounds that have all of theirs. An answer to no open
/// question changes no round.
async fn settle(
    tx: &store::Tx,
    batch: &BTreeMap<i64, HostReport>,
    reporting: &HashMap<i64, ReportingHost>,
    now: Moment,
) -> store::Result<Settled> {
    let mut settled = Settled { asked: BTreeMap::new(), parked: Vec::new() };
    for report in batch.values().filter(|report| !report.answered.is_empty()) {
        let Some(mut asked) = reporting.get(&report.host_id).map(ReportingHost::asked) else { continue };
        let Some(mut round) = asked.open_round.as_deref().and_then(Round::of_text) else { continue };
        for (text, is_denylisted) in &report.answered {
            let was_owed = Name::parse(text).is_some_and(|name| round.answered(name));
            if was_owed && *is_denylisted {
                let reason = "the agent has denylisted it after it stopped the worker".to_owned();
                let parked =
                    parked_queries::Model { host_id: report.host_id, name: text.clone(), reason, parked_at: now };
                store::parked_queries::park(tx, parked.clone()).await?;
                settled.parked.push(parked);
            }
        }
        match round.is_done() {
            Some(done) => done.note(&mut asked),
            None => asked.open_round = Some(round.to_text()),
        }
        settled.asked.insert(report.host_id, asked);
    }
    Ok(settled)
}

fn empty(host_id: i64) -> HostReport {
    HostReport { host_id, ..HostReport::default() }
}

/// Puts a newer report over an older one.
fn merge(older: &mut HostReport, newer: HostReport) {
    older.labels.extend(newer.labels);
    older.answered.extend(newer.answered);
    for column in Column::iter() {
        if let ActiveValue::Set(value) = newer.details.get(column) {
            older.details.set(column, value);
        }
    }
}
