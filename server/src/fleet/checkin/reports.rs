//! Answers on their way to the database, for many hosts in one transaction.
//!
//! The transaction that writes what a host says also takes the answers off its open round. So another node either sees
//! both or neither, and does not ask again what has been answered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use sea_orm::{ActiveModelTrait as _, ActiveValue, Iterable as _};

use super::due::RefetchMark;
use super::round::Round;
use super::{Name, note_parked};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::halves::in_halves;
use crate::fleet::hosts::{Host, Hosts};
use crate::lock::lock;
use crate::store::entity::hosts::Column;
use crate::store::entity::parked_queries;
use crate::store::reports::{HostReport, LockedRows, RefreshRecord, ReportingHost, ReportsWritten};
use crate::store::{self, Store, feed};
use crate::telemetry::Metrics;

/// Hosts written in one transaction, so that none holds the writer for long.
const BATCH: usize = 500;

/// Longest time for which answers that nobody waits for wait for those of other hosts. An agent answers within seconds, so
/// they are written before another node asks again (`RETRY_WINDOW`).
const LEISURE: Duration = Duration::from_secs(8);

/// Answers of so many hosts wait for no others.
const ENOUGH: usize = 64;

/// Answers that wait to be written. A crash loses them, and the hosts are asked again.
#[derive(Debug, Default)]
pub(super) struct Reports {
    waiting: Mutex<ReportQueue>,
    /// Hosts whose reports are being written.
    under_way: Mutex<BTreeSet<i64>>,
    serial: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct ReportQueue {
    by_host: BTreeMap<i64, HostReport>,
    /// When the oldest came.
    since: Option<Moment>,
    /// Somebody waits for one of them, or one could not be written.
    are_urgent: bool,
}

impl Reports {
    pub(super) fn waiting(&self) -> usize {
        self.lock().by_host.len()
    }

    /// Whether it is time to write them: somebody waits for them, they are many, or the oldest has waited long enough.
    pub(super) fn are_due(&self, now: Moment) -> bool {
        let waiting = self.lock();
        let is_old = waiting.since.is_some_and(|since| now.since(since) >= LEISURE);
        waiting.are_urgent || waiting.by_host.len() >= ENOUGH || is_old
    }

    /// Whether answers of a host are not in the database yet.
    pub(super) fn has_answers_of(&self, host_id: i64) -> bool {
        self.lock().by_host.contains_key(&host_id) || lock(&self.under_way).contains(&host_id)
    }

    /// Notes labels a host cannot be a member of.
    pub(super) fn rule_out(&self, host: &Host, labels: impl IntoIterator<Item = i64>, now: Moment) {
        let labels = labels.into_iter().map(|label| (label, false)).collect();
        self.add(HostReport { labels, ..empty(host.id) }, false, now);
    }

    /// Adds answers of a host to those that wait.
    pub(super) fn add(&self, report: HostReport, is_urgent: bool, now: Moment) {
        if report.labels.is_empty() && report.answered.is_empty() && !report.details.is_changed() {
            return;
        }
        let mut waiting = self.lock();
        waiting.since.get_or_insert(now);
        waiting.are_urgent |= is_urgent;
        merge(waiting.by_host.entry(report.host_id).or_insert_with(|| empty(report.host_id)), report);
    }

    /// Writes the waiting answers. Those that cannot be written, and those of hosts whose rows somebody holds, wait for the
    /// next call.
    pub(super) async fn write(&self, store: &Store, hosts: &Hosts, metrics: &Metrics, now: Moment) -> Result<()> {
        let _guard = self.serial.lock().await;
        let are_urgent = {
            let mut waiting = self.lock();
            waiting.since = None;
            std::mem::take(&mut waiting.are_urgent)
        };
        let mut left = BTreeMap::new();
        let (mut outcome, mut after) = (Ok(()), i64::MIN);
        while outcome.as_ref().err().is_none_or(store::Error::may_be_of_one_row) {
            let batch = self.take_batch(after);
            let Some(last) = batch.keys().next_back().copied() else { break };
            after = last;
            let refetches: HashMap<i64, RefetchMark> = (batch.keys())
                .filter_map(|id| Some((*id, hosts.index.get(*id)?.refresh_state.refetch_mark())))
                .collect();
            let work = async |part: &BTreeMap<i64, HostReport>| write_part(store, part, now).await;
            in_halves(batch, work, |mut part, written| match written {
                Ok(written) => {
                    are_written(&written, are_urgent, &refetches, hosts, metrics);
                    left.extend(written.held.iter().filter_map(|id| part.remove_entry(id)));
                }
                Err(error) => {
                    left.extend(part);
                    outcome = Err(error);
                }
            })
            .await;
            lock(&self.under_way).retain(|id| left.contains_key(id));
        }
        self.put_back(left);
        lock(&self.under_way).clear();
        outcome?;
        hosts.refresh_stale().await
    }

    /// Takes the answers of the next hosts by id.
    fn take_batch(&self, after: i64) -> BTreeMap<i64, HostReport> {
        let waiting = &mut self.lock().by_host;
        let host_ids: Vec<i64> = waiting.range(after.saturating_add(1)..).map(|(id, _)| *id).take(BATCH).collect();
        let batch: BTreeMap<_, _> = host_ids.iter().filter_map(|id| waiting.remove_entry(id)).collect();
        lock(&self.under_way).extend(host_ids);
        batch
    }

    /// Answers that came in the meantime are newer and win.
    fn put_back(&self, batch: BTreeMap<i64, HostReport>) {
        let mut waiting = self.lock();
        waiting.are_urgent |= !batch.is_empty();
        for (host_id, mut older) in batch {
            if let Some(newer) = waiting.by_host.remove(&host_id) {
                merge(&mut older, newer);
            }
            waiting.by_host.insert(host_id, older);
        }
    }

    fn lock(&self) -> MutexGuard<'_, ReportQueue> {
        lock(&self.waiting)
    }
}

/// The outcome of writing some of the answers.
struct PartWritten {
    settled: Settled,
    reports: ReportsWritten,
    /// Hosts whose rows another transaction holds: nothing of them was written.
    held: BTreeSet<i64>,
}

async fn write_part(store: &Store, part: &BTreeMap<i64, HostReport>, now: Moment) -> store::Result<PartWritten> {
    let host_ids: Vec<i64> = part.keys().copied().collect();
    store
        .write(async |tx| {
            let LockedRows { rows: reporting, held } = store::reports::reporting(tx, &host_ids).await?;
            let settled = settle(tx, part, &reporting, now).await?;
            let reports = store::reports::write(tx, part, &reporting, &settled.asked).await?;
            feed::append(tx, feed::HostChangeKind::Changed, reports.moved.iter().copied(), now).await?;
            Ok(PartWritten { settled, reports, held })
        })
        .await
}

/// Takes over into memory what was written. Other nodes are told only if somebody waits: they look every two seconds.
/// `refetches` is as of before.
fn are_written(
    written: &PartWritten,
    are_urgent: bool,
    refetches: &HashMap<i64, RefetchMark>,
    hosts: &Hosts,
    metrics: &Metrics,
) {
    let PartWritten { settled, reports, .. } = written;
    metrics.label_changes.with_label_values(&["added"]).inc_by(reports.added);
    metrics.label_changes.with_label_values(&["removed"]).inc_by(reports.removed);
    settled.parked.iter().for_each(|parked| note_parked(parked, metrics));
    match are_urgent && !reports.moved.is_empty() {
        true => hosts.have_changed(reports.moved.iter().copied()),
        false => hosts.mark_changed_here(reports.moved.iter().copied()),
    }
    for asked in settled.asked.values() {
        if let (Some(host), Some(mark)) = (hosts.index.get(asked.id), refetches.get(&asked.id)) {
            host.refresh_state.take_over_as_of(*mark, asked);
            host.refresh_state.look_again();
            hosts.labels_were_asked(&host, asked.label_updated_at);
        }
    }
}

/// The outcome of [`settle`].
struct Settled {
    /// Records of what hosts were asked, by host, where they have changed.
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
            let name = Name::parse(text);
            let was_owed = name.is_some_and(|name| round.answered(name));
            // An agent denylists what a worker has waited with when a scheduled query stopped it, too, and for a day.
            if was_owed && *is_denylisted && !name.is_some_and(Name::is_apart) {
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
