//! Samples on their way to the database.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::fold::{Folded, LastSample, ResolvedSample, fold};
use super::known::KnownSchedule;
use super::query_costs::Group;
use super::sample::WorkerId;
use super::served_configs::NamedSample;
use super::stored_costs::{CostsByVersion, decode_several, encode_several, part_of};
use super::versions::Versions;
use super::waiting::WaitingSample;
use super::{Statistics, is_broken};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::halves::in_halves;
use crate::store::entity::{cost_parts, denylisted_queries, schedule_samples, worker_restarts};
use crate::store::statistics::{costs, events, samples};
use crate::store::{self, Tx};

/// Longest time for which a sample is tried to be written.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// A sample that is ready to be folded.
#[derive(Debug)]
struct ReadySample {
    waiting: WaitingSample,
    sample: ResolvedSample,
    group: Group,
}

/// Samples by host, those of each in the order in which they were taken.
type SamplesByHost = BTreeMap<i64, Vec<Arc<ReadySample>>>;

/// What a transaction has done.
enum BatchOutcome {
    Written {
        folded: u64,
        overtaken: u64,
    },
    /// Another node has named versions of queries that this one has to read first. Nothing was written.
    NewerVersions,
}

/// What folding a batch has given.
#[derive(Default)]
struct BatchChanges {
    /// Last samples by host.
    last: BTreeMap<i64, (LastSample, Moment, Option<u64>)>,
    /// By hour and part.
    costs: BTreeMap<(i64, i64), CostsByVersion>,
    denylisted: Vec<denylisted_queries::Model>,
    /// Host, pack and name.
    released: BTreeSet<(i64, String, String)>,
    restarts: Vec<worker_restarts::Model>,
    folded: u64,
    overtaken: u64,
}

impl Statistics {
    pub(super) async fn write_waiting(&self) -> Result<()> {
        let _guard = self.serial.lock().await;
        let mut batches = self.waiting.take().into_iter();
        while let Some(batch) = batches.next() {
            let outcome = self.write_batch(batch).await;
            if outcome.is_err() {
                batches.flatten().for_each(|waiting| self.put_back(waiting));
                return outcome;
            }
        }
        Ok(())
    }

    fn put_back(&self, waiting: WaitingSample) {
        // The database refuses it for good, or is away for long: the next sample of the host says the same and more.
        let is_old = self.clock.now().since(waiting.received) > LONGEST_WAIT;
        if is_old || !self.waiting.add(waiting) {
            self.metrics.limit_hit("waiting_samples");
        }
    }

    async fn write_batch(&self, batch: Vec<WaitingSample>) -> Result<()> {
        let hosts = match self.prepare(&batch).await {
            Ok(hosts) => hosts,
            Err(error) => {
                batch.into_iter().for_each(|waiting| self.put_back(waiting));
                return Err(error);
            }
        };
        for attempt in 0..2 {
            let versions = self.versions.read().await;
            let mut outcome = Ok(());
            let mut needs_versions = false;
            let may_wait = attempt == 0;
            let work = async |part: &SamplesByHost| {
                self.store.write(async |tx| write_part(tx, part, &versions, self.node.id(), may_wait).await).await
            };
            in_halves(hosts.clone(), work, |part, written| match written {
                Ok(BatchOutcome::Written { folded, overtaken }) => {
                    self.metrics.samples("folded", folded);
                    self.metrics.samples("late", overtaken);
                }
                Ok(BatchOutcome::NewerVersions) => needs_versions = true,
                Err(error) => {
                    part.into_values().flatten().for_each(|ready| self.put_back(ready.waiting.clone()));
                    outcome = Err(error.into());
                }
            })
            .await;
            drop(versions);
            if !needs_versions {
                return outcome;
            }
            self.versions.write().await.refresh(&self.store).await?;
        }
        Ok(())
    }

    /// Finds the queries that the samples name, and notes versions that nobody has met before.
    async fn prepare(&self, batch: &[WaitingSample]) -> Result<SamplesByHost> {
        let mut named: Vec<NamedSample> = Vec::with_capacity(batch.len());
        for waiting in batch {
            // A host whose packs make no config that agents load runs what it had before, which nobody knows here.
            match self.configs.name(&self.schedule, waiting.clone()) {
                Ok(sample) => named.push(sample),
                Err(_) => self.metrics.samples("without_config", 1),
            }
        }
        let new = |versions: &Versions| -> BTreeSet<_> {
            named.iter().flat_map(|sample| sample.new_versions(versions)).collect()
        };
        let new: Vec<_> = new(&*self.versions.read().await).into_iter().collect();
        if !new.is_empty() {
            self.versions.write().await.intern(&self.store, &new, self.clock.now()).await?;
        }
        let versions = self.versions.read().await;
        let mut hosts = SamplesByHost::new();
        for mut named in named {
            let sample = named.resolve(&versions);
            self.metrics.unknown_statistics.inc_by(named.unknown as u64);
            let group = Group::of(&named.waiting.host.assignment.load().platform, sample.version);
            let ready = ReadySample { waiting: named.waiting, sample, group };
            hosts.entry(ready.waiting.host.id).or_default().push(Arc::new(ready));
        }
        Ok(hosts)
    }
}

/// Folds samples over the last ones of their hosts, which are locked until all of it is written.
async fn write_part(
    tx: &Tx,
    part: &SamplesByHost,
    versions: &Versions,
    node: &str,
    may_wait: bool,
) -> store::Result<BatchOutcome> {
    let host_ids: Vec<i64> = part.keys().copied().collect();
    let stored = samples::locked(tx, &host_ids).await?;
    let mut last: BTreeMap<i64, LastSample> = BTreeMap::new();
    for (host_id, row) in &stored {
        match read_last(row) {
            Some(sample) => drop(last.insert(*host_id, sample)),
            // The host counts as one without a sample.
            None => is_broken("schedule_samples", *host_id),
        }
    }
    let mut known = last.values().flat_map(|last| &last.known.queries);
    if may_wait && known.any(|query| versions.is_unheard_of(query.version_id)) {
        return Ok(BatchOutcome::NewerVersions);
    }
    let changes = fold_all(part, last, versions);
    let (old, new): (Vec<_>, Vec<_>) = rows(&changes).into_iter().partition(|row| stored.contains_key(&row.host_id));
    samples::add(tx, new).await?;
    samples::replace(tx, old).await?;
    put_costs(tx, node, &changes.costs).await?;
    put_denylist(tx, &changes).await?;
    if !changes.restarts.is_empty() {
        events::restarted(tx, changes.restarts).await?;
    }
    Ok(BatchOutcome::Written { folded: changes.folded, overtaken: changes.overtaken })
}

fn fold_all(part: &SamplesByHost, mut last: BTreeMap<i64, LastSample>, versions: &Versions) -> BatchChanges {
    let mut changes = BatchChanges::default();
    for (host_id, samples) in part {
        for ready in samples {
            let folded = fold(last.get(host_id), &ready.sample, |version_id| versions.name_id(version_id));
            let Some(folded) = folded else {
                changes.overtaken += 1;
                continue;
            };
            changes.folded += 1;
            changes.note(*host_id, ready, &folded, versions);
            let stalled_since = folded.stalled_since;
            last.insert(*host_id, folded.last.clone());
            changes.last.insert(*host_id, (folded.last, ready.waiting.received, stalled_since));
        }
    }
    changes
}

impl BatchChanges {
    fn note(&mut self, host_id: i64, ready: &ReadySample, folded: &Folded, versions: &Versions) {
        let received = ready.waiting.received;
        let hour = folded.last.known.hour.cast_signed();
        for runs in &folded.runs {
            let part = self.costs.entry((hour, part_of(runs.version_id))).or_default();
            part.entry(runs.version_id).or_default().add(host_id, &ready.group, &runs.runs, runs.is_new_host);
        }
        let mut suspects = Vec::new();
        for name in folded.denylisted.iter().filter_map(|id| versions.name(*id)) {
            let (pack, name) = (name.pack.clone(), name.name.clone());
            suspects.push([pack.clone(), name.clone()]);
            self.released.remove(&(host_id, pack.clone(), name.clone()));
            self.denylisted.push(denylisted_queries::Model {
                id: 0,
                host_id,
                pack,
                name,
                since: received,
                until: None,
            });
        }
        for name in folded.released.iter().filter_map(|id| versions.name(*id)) {
            let is_it = |row: &&mut denylisted_queries::Model| {
                row.host_id == host_id && row.until.is_none() && (&row.pack, &row.name) == (&name.pack, &name.name)
            };
            if let Some(row) = self.denylisted.iter_mut().find(is_it) {
                row.until = Some(received);
            }
            self.released.insert((host_id, name.pack.clone(), name.name.clone()));
        }
        if let Some(restart) = folded.restart {
            self.restarts.push(worker_restarts::Model {
                id: 0,
                host_id,
                seen_at: received,
                started_at: restart.started_at.cast_signed(),
                is_upgrade: restart.is_upgrade,
                suspects: serde_json::to_string(&suspects).unwrap_or_default(),
            });
        }
    }
}

pub(super) fn read_last(row: &schedule_samples::Model) -> Option<LastSample> {
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    Some(LastSample {
        worker: WorkerId { start_time: number(row.start_time), pid: number(row.pid) },
        unix_time: number(row.unix_time),
        known: KnownSchedule::decode(&row.sample)?,
    })
}

fn rows(changes: &BatchChanges) -> Vec<schedule_samples::Model> {
    let row = |(host_id, (last, received, stalled_since)): (&i64, &(LastSample, Moment, Option<u64>))| {
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
    changes.last.iter().map(row).collect()
}

/// Adds costs to what this node has counted in the same hours.
async fn put_costs(tx: &Tx, node: &str, changed: &BTreeMap<(i64, i64), CostsByVersion>) -> store::Result<()> {
    let hours: BTreeSet<i64> = changed.keys().map(|(hour, _)| *hour).collect();
    if hours.is_empty() {
        return Ok(());
    }
    let hours: Vec<i64> = hours.into_iter().collect();
    let mut there: BTreeMap<(i64, i64), cost_parts::Model> =
        costs::of_node(tx, node, &hours).await?.into_iter().map(|row| ((row.hour, row.part), row)).collect();
    let mut parts = Vec::new();
    for ((hour, part), added) in changed {
        let there = there.remove(&(*hour, *part));
        let id = there.as_ref().map_or(0, |row| row.id);
        let mut all = match there.map(|row| decode_several(&row.costs)) {
            Some(Some(all)) => all,
            Some(None) => {
                is_broken("cost_parts", id);
                CostsByVersion::new()
            }
            None => CostsByVersion::new(),
        };
        for (version_id, costs) in added {
            all.entry(*version_id).or_default().merge_same_hour(costs);
        }
        let costs = encode_several(&all);
        parts.push(cost_parts::Model { id, hour: *hour, part: *part, node: node.to_owned(), costs });
    }
    costs::put_parts(tx, parts).await
}

async fn put_denylist(tx: &Tx, changes: &BatchChanges) -> store::Result<()> {
    let hosts: BTreeSet<i64> =
        changes.denylisted.iter().map(|row| row.host_id).chain(changes.released.iter().map(|(id, ..)| *id)).collect();
    if hosts.is_empty() {
        return Ok(());
    }
    let open = events::denylisted_on(tx, &hosts.into_iter().collect::<Vec<_>>()).await?;
    let key = |row: &denylisted_queries::Model| (row.host_id, row.pack.clone(), row.name.clone());
    let is_open: BTreeSet<_> = open.iter().map(key).collect();
    let over = open.iter().filter(|row| changes.released.contains(&key(row))).map(|row| row.id).collect();
    let now = changes.last.values().map(|(_, received, _)| *received).max().unwrap_or_default();
    events::release(tx, over, now).await?;
    let new = changes.denylisted.iter().filter(|row| !is_open.contains(&key(row))).cloned().collect();
    events::denylist(tx, new).await
}
