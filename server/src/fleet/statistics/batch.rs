//! Some hosts' samples in one transaction: folded over the last ones, with what has run since.
//!
//! Reading, folding and writing bytes is work for threads of its own; the transaction waits for it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Statistics;
use super::batch_changes::{BatchChanges, FoldedHost};
use super::cost_rows::put_costs;
use super::difference::Runs;
use super::fold::{Folded, LastSample, ResolvedSample, fold};
use super::known::KnownSchedule;
use super::query_costs::Group;
use super::restarts::NotedRestarts;
use super::sample::{WorkerId, sql_hash};
use super::versions::KnownVersions;
use super::waiting::WaitingSample;
use crate::clock::Moment;
use crate::fleet::rollouts::{Reported, ReportedQuery, RolloutWatch};
use crate::store::entity::{denylisted_queries, schedule_samples, worker_restarts};
use crate::store::statistics::{events, samples};
use crate::store::{self, Tx};

/// A sample that is ready to be folded.
#[derive(Debug)]
pub(super) struct ReadySample {
    pub waiting: WaitingSample,
    pub sample: ResolvedSample,
    pub group: Group,
}

/// Seconds by which the clocks of nodes may differ.
const AHEAD: i64 = 60;

pub(super) type SamplesByHost = BTreeMap<i64, Arc<ReadySample>>;

/// What a transaction has done.
#[derive(Debug, Clone, Copy)]
pub(super) struct FoldedBatch {
    pub folded: u64,
    /// Samples that came too late or too soon, or whose hosts are gone.
    pub late: u64,
    /// Workers that were replaced.
    pub restarts: u64,
    /// Parts of an hour that are too large to grow.
    pub too_large: u64,
}

impl Statistics {
    /// Folds samples over the last ones of their hosts, which are locked until all of it is written.
    pub(super) async fn write_part(&self, tx: &Tx, part: Arc<SamplesByHost>) -> store::Result<FoldedBatch> {
        let host_ids: Vec<i64> = part.keys().copied().collect();
        let stored = Arc::new(samples::locked(tx, &host_ids).await?);
        let new: Vec<i64> = host_ids.into_iter().filter(|id| !stored.contains_key(id)).collect();
        // What a deletion removes with a host is not written after it.
        let held: BTreeSet<i64> = samples::hosts_held(tx, &new).await?.into_iter().collect();
        let now = self.clock.now();
        let assumed = now.minus(self.config.interval);
        let last = beside({
            let stored = Arc::clone(&stored);
            move || read_all(&stored, now, assumed)
        })
        .await?;
        self.versions.read(tx, last.values().flat_map(LastSample::version_ids)).await?;
        let (known, gap) = (self.versions.known(), self.shortest_gap().as_secs());
        let watch = RolloutWatch::of(self.schedule.plan(), sql_hash);
        let all = part.len() as u64;
        let (changes, rows, watch) = beside({
            let stored = Arc::clone(&stored);
            move || {
                let is_there = |host_id: &i64| stored.contains_key(host_id) || held.contains(host_id);
                let mut watch = watch;
                let there = part.iter().filter(|(id, _)| is_there(id));
                let changes = fold_all(there, &last, &known, gap, watch.as_mut());
                let rows = rows(&changes);
                (changes, rows, watch)
            }
        })
        .await?;
        let (old, new): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| stored.contains_key(&row.host_id));
        samples::add(tx, new).await?;
        samples::replace(tx, old).await?;
        let folded = changes.hosts.len() as u64;
        put_denylist(tx, &changes).await?;
        let restarts = put_restarts(tx, changes.restarts, self.restarts_since()).await?;
        let too_large = put_costs(tx, self.node.id(), changes.costs).await?;
        for counts in watch.into_iter().flat_map(|watch| watch.rows(self.node.id())) {
            store::rollouts::count(tx, &counts).await?;
        }
        Ok(FoldedBatch { folded, late: all - folded, restarts, too_large })
    }
}

/// Does work that takes long on another thread. If it panics, one of the hosts is to blame.
pub(super) async fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> store::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|error| store::Error::Corrupt {
        table: "schedule_samples",
        key: "of a batch".to_owned(),
        reason: error.to_string(),
    })
}

/// Hosts with bytes that cannot be read count as such without a sample. One that came after now is from a node whose clock is
/// ahead, and counts as if it had come at the assumed time; otherwise no other would count until then.
fn read_all(stored: &HashMap<i64, schedule_samples::Model>, now: Moment, assumed: Moment) -> BTreeMap<i64, LastSample> {
    let read = |row: &schedule_samples::Model| {
        let mut last = read_last(row)?;
        if row.received_at > now.plus_seconds(AHEAD) {
            last.received = u64::try_from(assumed.seconds()).unwrap_or(0);
        }
        Some(last)
    };
    stored.iter().filter_map(|(host_id, row)| Some((*host_id, read(row)?))).collect()
}

pub(super) fn read_last(row: &schedule_samples::Model) -> Option<LastSample> {
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    let known = KnownSchedule::decode(&row.sample);
    if known.is_none() {
        super::is_broken("schedule_samples", row.host_id);
    }
    Some(LastSample {
        worker: WorkerId { start_time: number(row.start_time), pid: number(row.pid) },
        unix_time: number(row.unix_time),
        received: number(row.received_at.seconds()),
        known: known?,
    })
}

fn fold_all<'a>(
    samples: impl Iterator<Item = (&'a i64, &'a Arc<ReadySample>)>,
    last: &BTreeMap<i64, LastSample>,
    known: &KnownVersions,
    shortest_gap: u64,
    mut watch: Option<&mut RolloutWatch>,
) -> BatchChanges {
    let mut changes = BatchChanges::default();
    for (host_id, ready) in samples {
        let last = last.get(host_id);
        if let Some(folded) = fold(last, &ready.sample, shortest_gap, |version_id| known.name_id(version_id)) {
            if let Some(watch) = watch.as_deref_mut() {
                report_to(watch, ready, last, &folded, known);
            }
            changes.note(*host_id, ready, folded, last.is_none(), known);
        }
    }
    changes
}

/// Tells rollouts what a sample says.
fn report_to(
    watch: &mut RolloutWatch,
    ready: &ReadySample,
    last: Option<&LastSample>,
    folded: &Folded,
    known: &KnownVersions,
) {
    let sampled = folded.last.known.queries.iter().filter(|query| query.gone == 0);
    let reported = Reported {
        since: last.map(|last| last.received),
        at: folded.last.received,
        memory_bytes: sampled.map(|query| query.counters.memory()).fold(0, u64::saturating_add),
        is_restarted: folded.restart.is_some_and(|restart| !restart.is_upgrade),
        is_stalled: folded.stalled_since.is_some(),
    };
    let mut queries: BTreeMap<i64, Runs> = folded.denylisted.iter().map(|id| (*id, Runs::default())).collect();
    queries.extend(folded.runs.iter().map(|query| (query.version_id, query.runs)));
    let query = |(version_id, runs): (&i64, &Runs)| {
        let (name, key) = (known.name(*version_id)?, known.key(*version_id)?);
        Some(ReportedQuery {
            pack: &name.pack,
            name: &name.name,
            sql_hash: key.sql_hash,
            runs: runs.runs,
            cpu_ms: runs.user_ms.saturating_add(runs.system_ms),
            output_bytes: runs.output_bytes,
            memory_bytes: runs.memory_bytes,
            is_denylisted: folded.denylisted.contains(version_id),
        })
    };
    let queries: Vec<ReportedQuery<'_>> = queries.iter().filter_map(query).collect();
    watch.note(&ready.waiting.host, &reported, &queries);
}

fn rows(changes: &BatchChanges) -> Vec<schedule_samples::Model> {
    let row = |(host_id, change): (&i64, &FoldedHost)| {
        let FoldedHost { last, received, stalled_since, .. } = change;
        let stalled_since = stalled_since.map(|seconds| Moment::NEVER.plus_seconds(seconds.cast_signed()));
        schedule_samples::Model {
            host_id: *host_id,
            received_at: *received,
            unix_time: last.unix_time.cast_signed(),
            start_time: last.worker.start_time.cast_signed(),
            pid: last.worker.pid.cast_signed(),
            stalled_since,
            sample: last.known.encode(),
        }
    };
    changes.hosts.iter().map(row).collect()
}

/// Notes restarts. Returns how many were not known.
async fn put_restarts(tx: &Tx, all: Vec<worker_restarts::Model>, since: Moment) -> store::Result<u64> {
    if all.is_empty() {
        return Ok(0);
    }
    let host_ids: Vec<i64> = all.iter().map(|restart| restart.host_id).collect();
    let mut known = NotedRestarts::read(tx, &host_ids, since).await?;
    let new = all.into_iter().filter(|restart| known.add(restart.clone())).count();
    known.write(tx).await?;
    Ok(new as u64)
}

/// Begins and ends what is said of denylisted queries.
async fn put_denylist(tx: &Tx, changes: &BatchChanges) -> store::Result<()> {
    let is_touched = |change: &&FoldedHost| change.touches_denylist();
    let host_ids: Vec<i64> =
        changes.hosts.iter().filter(|(_, change)| is_touched(change)).map(|(host_id, _)| *host_id).collect();
    if host_ids.is_empty() {
        return Ok(());
    }
    let open = events::denylisted_on(tx, &host_ids).await?;
    let mut over: BTreeMap<Moment, Vec<i64>> = BTreeMap::new();
    for row in &open {
        let Some(change) = changes.hosts.get(&row.host_id) else { continue };
        if change.ends(&row.pack, &row.name) {
            over.entry(change.received).or_default().push(row.id);
        }
    }
    for (received, ids) in over {
        events::release(tx, ids, received).await?;
    }
    let is_open: BTreeSet<(i64, &str, &str)> =
        open.iter().map(|row| (row.host_id, row.pack.as_str(), row.name.as_str())).collect();
    let new = changes.hosts.iter().flat_map(|(host_id, change)| {
        let begun = change.denylisted.iter().filter(|name| !is_open.contains(&(*host_id, &name.pack, &name.name)));
        begun.map(|name| denylisted_queries::Model {
            id: 0,
            host_id: *host_id,
            pack: name.pack.clone(),
            name: name.name.clone(),
            since: change.received,
            until: None,
        })
    });
    events::denylist(tx, new.collect()).await
}
