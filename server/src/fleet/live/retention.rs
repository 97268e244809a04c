//! How long results are kept (`live.retention`), and how many of all live queries together (`live.max_all_results`).
//!
//! Each node counts what is kept: of jobs that are open by its views, of the others by their rows, and what it has kept
//! itself since it last counted. When seven eighths of the limit are used while any job is open, the leader removes the
//! results of jobs that are over, oldest first. Rows of answers for which there is no room all the same are cut off. So the
//! limit is passed by no more than what nodes keep until they hear of each other, and by answers without rows.

use std::collections::{BTreeSet, HashSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::answers::GUARD_BYTES;
use super::jobs::bus_key;
use super::snapshot::Snapshot;
use super::{Job, Live};
use crate::bus::ChangeEvent;
use crate::fleet::Result;
use crate::lock::lock;
use crate::store;

/// Bytes of the results of all live queries, as far as this node knows.
#[derive(Debug, Default)]
pub(super) struct KeptResults {
    all: AtomicU64,
    finished: Mutex<FinishedResults>,
}

/// The results of jobs that are over, as the rows had it when they were last read.
#[derive(Debug, Default, Clone, Copy)]
struct FinishedResults {
    bytes: u64,
    /// How many jobs in memory were over then. When it changes, the rows have changed.
    ended: Option<usize>,
}

impl Live {
    /// How many bytes the rows of an answer may have, and the name of the limit that says so.
    pub(super) fn room(&self, job: &Job) -> (usize, &'static str) {
        let left = |limit: usize, used: u64| limit.saturating_sub(usize::try_from(used).unwrap_or(usize::MAX));
        let config = &self.config;
        let by_job = (left(config.max_results.0, self.bus.length(job.key)), "live_max_results");
        let by_all = (left(config.max_all_results.0, self.kept.all.load(Ordering::Relaxed)), "live_max_all_results");
        let by_guard = job.limits.bytes.map(|bytes| (usize::try_from(bytes).unwrap_or(usize::MAX), GUARD_BYTES));
        [by_job, by_all]
            .into_iter()
            .chain(by_guard)
            .fold((config.max_answer.0, "live_answer"), |least, other| if other.0 < least.0 { other } else { least })
    }

    /// Counts an answer that was kept here. Room is made at once when it becomes scarce.
    pub(super) fn count_kept(&self, bytes: u64) {
        let before = self.kept.all.fetch_add(bytes, Ordering::Relaxed);
        if before <= self.scarce_from() && before + bytes > self.scarce_from() {
            self.must_sweep.notify_one();
        }
    }

    /// Makes room if it is scarce: a live query is open from now on.
    pub(super) fn room_is_needed(&self) {
        if self.kept.all.load(Ordering::Relaxed) > self.scarce_from() {
            self.must_sweep.notify_one();
        }
    }

    /// Counts what is kept, and makes room when it is scarce.
    pub(super) async fn bound_results(&self) -> Result<()> {
        let (mut open, mut ended) = (BTreeSet::new(), 0);
        let mut open_bytes = 0;
        for job in self.jobs.pin().values() {
            if job.is_open() {
                open.insert(job.id);
                open_bytes += job.bytes();
            } else {
                ended += 1;
            }
        }
        let mut finished = *lock(&self.kept.finished);
        // why: the rows are read only when they may have changed, or when it matters.
        if finished.ended != Some(ended) || open_bytes + finished.bytes > self.scarce_from() {
            let rows = store::live_queries::with_results(self.store.reader()).await?;
            let rows: Vec<_> = rows.into_iter().filter(|row| !open.contains(&row.id)).collect();
            finished = FinishedResults { bytes: rows.iter().map(|row| row.bytes()).sum(), ended: Some(ended) };
            // Nobody needs room while no job is open.
            let may_remove = !open.is_empty() && self.is_leader();
            for row in rows.iter().filter(|row| row.finished_at.is_some() && may_remove) {
                if open_bytes + finished.bytes <= self.scarce_from() {
                    break;
                }
                self.remove_results(row).await?;
                finished.bytes -= row.bytes();
            }
            *lock(&self.kept.finished) = finished;
        }
        let all = open_bytes + finished.bytes;
        self.kept.all.store(all, Ordering::Relaxed);
        self.metrics.live_results_bytes.set(i64::try_from(all).unwrap_or(i64::MAX));
        Ok(())
    }

    /// From this many bytes on room is made.
    fn scarce_from(&self) -> u64 {
        let limit = self.config.max_all_results.0 as u64;
        limit - limit / 8
    }

    /// Removes the results of a job that is over. What became of its targets stays, and that the answers are gone.
    async fn remove_results(&self, row: &store::live_queries::ResultsOfRow) -> Result<()> {
        self.bus.remove(bus_key(row.id, row.bus_key.as_deref())?).await?;
        self.store
            .write(async |tx| {
                let Some(found) = store::live_queries::by_id(tx, row.id).await? else { return Ok(()) };
                let Some(mut snapshot) = Snapshot::from_bytes(&found.states) else { return Ok(()) };
                snapshot.states.lose_answers();
                store::live_queries::set_results_lost(tx, row.id, snapshot.to_bytes()).await
            })
            .await?;
        if let Some(job) = self.jobs.pin().get(&row.id) {
            job.lose_answers();
        }
        // The other nodes look at the rows.
        self.notifier.publish(ChangeEvent::Jobs);
        self.metrics.limit_hit("live_max_all_results");
        tracing::warn!(
            live_query = row.id,
            bytes = row.bytes(),
            limit = "live.max_all_results",
            left_out = 0,
            "results of a live query that is over removed, to make room for newer ones"
        );
        Ok(())
    }

    /// Removes jobs that ended longer ago than `live.retention`, with their answers, and answers that old of jobs that
    /// the database does not know. Each node forgets what it holds of jobs that others have removed.
    ///
    /// # Errors
    /// When the database or the bus does not answer.
    pub async fn forget_old(&self) -> Result<()> {
        let before = self.clock.now().minus(self.config.retention);
        self.jobs.pin().retain(|_, job| job.finished_at().is_none_or(|at| at >= before));
        // Other nodes may have ended jobs, or removed results, since the rows were read.
        lock(&self.kept.finished).ended = None;
        // why: before the rows are read. The row of a job is there before the bus has the job.
        let mut removed = self.bus.held();
        let rows = store::live_queries::bus_keys(self.store.reader()).await?;
        let mut known = rows.iter().map(|(id, key)| bus_key(*id, key.as_deref())).collect::<Result<HashSet<_>>>()?;
        // A plain reading may not show the newest.
        known.extend(self.jobs.pin().values().map(|job| job.key));
        removed.retain(|job| !known.contains(job));
        self.bus.let_go(&removed);
        if !self.is_leader() {
            return Ok(());
        }
        for (id, key) in store::live_queries::finished_before(self.store.reader(), before).await? {
            self.bus.remove(bus_key(id, key.as_deref())?).await?;
            self.store.write(async |tx| store::live_queries::delete(tx, id).await).await?;
        }
        self.bus.forget_others(known, before).await?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
