//! Periodic work: following other nodes, deadlines and checkpoints.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use muster_api::rest::{LiveStatus, TargetState};
use sea_orm::Set;

use super::notes::{JobEnding, Settlement};
use super::progress::status_word;
use super::{Job, Live};
use crate::bus::BusError;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::lock::lock;
use crate::store;
use crate::store::entity::live_queries;
use crate::store::feed::FeedPage;
use crate::store::live_queries::OpenRow;

/// Longest time for which jobs of other nodes are not looked for.
const FOLLOWED_EVERY: Duration = Duration::from_secs(3);

/// Jobs that are brought up to date at one time.
const FOLDED_AT_ONCE: usize = 8;

impl Live {
    /// Takes up jobs that were started at other nodes, and brings all views up to date.
    ///
    /// # Errors
    /// When the database or the bus does not answer; the next call does it.
    pub async fn look(self: &Arc<Self>) -> Result<()> {
        self.follow_others(store::live_queries::open_rows(self.store.reader()).await?).await?;
        self.fold_all().await
    }

    /// Takes up jobs that were started at other nodes, or whose start was given up here. `open` has just been read.
    ///
    /// # Errors
    /// When the database does not answer; the next call does it.
    pub async fn follow_others(&self, open: Vec<OpenRow>) -> Result<()> {
        self.followed_at.fetch_max(self.clock.now().0, Ordering::Relaxed);
        let looks = self.unheld.load(Ordering::Relaxed);
        if self.node.is_clustered() || looks > 0 {
            self.take_over_jobs(open).await?;
            let _ = self.unheld.compare_exchange(looks, looks.saturating_sub(1), Ordering::Relaxed, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Brings all views up to date. Looks for jobs itself where nobody has lately, because following hosts takes its time.
    ///
    /// # Errors
    /// As for [`Live::look`].
    pub async fn keep_up(self: &Arc<Self>) -> Result<()> {
        let followed_at = Moment(self.followed_at.load(Ordering::Relaxed));
        match self.clock.now().since(followed_at) > FOLLOWED_EVERY {
            true => self.look().await,
            false => self.fold_all().await,
        }
    }

    /// Brings all views up to date.
    ///
    /// # Errors
    /// When the bus does not answer; the next call does it.
    pub async fn fold_all(self: &Arc<Self>) -> Result<()> {
        // why: several at one time, so that one whose answers take long to read does not hold up the others.
        let folds = stream::iter(self.open_jobs()).map(async |job| self.fold(&job).await);
        Ok(folds.buffer_unordered(FOLDED_AT_ONCE).fold(Ok(()), async |all, outcome| all.and(outcome)).await?)
    }

    /// Brings one job up to date, if this node has it.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn look_at(self: &Arc<Self>, id: i64) -> Result<()> {
        let job = self.jobs.pin().get(&id).cloned();
        match job.filter(|job| job.is_open()) {
            Some(job) => Ok(self.fold(&job).await?),
            None => Ok(()),
        }
    }

    /// Ends jobs whose deadline has passed and campaigns nobody watches, and writes checkpoints.
    ///
    /// # Errors
    /// When the database or the bus does not answer; the next call does it.
    pub async fn sweep(self: &Arc<Self>) -> Result<()> {
        let now = self.clock.now();
        let mut outcome = self.give_back_leases(now).await;
        outcome = outcome.and(self.prolong_watched(now).await).and(self.end_unwatched(now).await);
        outcome = outcome.and(self.settle_gone().await);
        let jobs: Vec<_> = self.jobs.pin().values().cloned().collect();
        for job in jobs.iter().filter(|job| !job.is_resuming()) {
            if job.is_open() && job.deadline <= now {
                let (status, rest) = (LiveStatus::Expired, TargetState::Expired);
                outcome = outcome
                    .and(self.close(job, JobEnding { status, reason: String::new(), rest, at: now.0 }).await.map(drop));
            } else if job.is_open() {
                outcome = outcome.and(self.watch_over(job, now).await);
            }
        }
        for job in jobs.iter().filter(|_| self.is_leader()) {
            // A checkpoint that cannot be written does not hold up the others.
            outcome = outcome.and(self.write_checkpoint(job).await);
        }
        if self.listed.load().iter().any(|job| !job.is_open()) {
            self.list_open();
        }
        self.metrics.live_open.set(i64::try_from(self.open_jobs().len()).unwrap_or(i64::MAX));
        outcome.and(self.bound_results().await)
    }

    /// Ends a job, unless it is over, and writes how. Of several nodes that end it the first one counts: true for that one.
    pub(super) async fn close(self: &Arc<Self>, job: &Arc<Job>, ending: JobEnding) -> Result<bool> {
        let is_first = match self.bus.close(job.key, ending.to_bytes()).await {
            Err(BusError::Lost(_)) => {
                self.fold(job).await?;
                self.bus.close(job.key, ending.to_bytes()).await?
            }
            outcome => outcome?,
        };
        self.fold(job).await?;
        self.write_checkpoint(job).await?;
        Ok(is_first)
    }

    /// Takes over what has become of hosts at other nodes, and settles those that were deleted. `next` is as for
    /// [`Hosts::follow`].
    ///
    /// # Errors
    /// When the database does not answer; the next call starts again from the same position.
    pub async fn follow_hosts(self: &Arc<Self>, next: Option<FeedPage>) -> Result<()> {
        let followed = self.hosts.follow(next).await;
        // Nothing is waited for in between: a request that gives up loses none of them.
        self.forget_hosts(self.hosts.take_deleted()).await;
        followed
    }

    /// Settles deleted hosts as gone in every open job.
    pub async fn forget_hosts(self: &Arc<Self>, host_ids: impl IntoIterator<Item = i64>) {
        lock(&self.gone).extend(host_ids);
        if let Err(error) = self.settle_gone().await {
            tracing::warn!(%error, "live queries still wait for deleted hosts; will retry at the next sweep");
        }
    }

    async fn settle_gone(self: &Arc<Self>) -> Result<()> {
        let hosts: Vec<i64> = lock(&self.gone).iter().copied().collect();
        for host in hosts {
            let mut is_done = true;
            for job in self.open_jobs().into_iter().filter(|job| job.open_target(host).is_some()) {
                // Its answers from before a restart take a while to read, for which nothing else waits.
                if job.is_resuming() {
                    is_done = false;
                    continue;
                }
                let at = self.clock.now().0;
                let state = TargetState::Gone;
                let gone = Settlement { state, truncated: false, unkept: false, stats: None, bytes: 0, at };
                self.keep(&job, host, Bytes::new(), &gone).await?;
            }
            if is_done {
                lock(&self.gone).remove(&host);
            }
        }
        Ok(())
    }

    /// Whether this node does the work that one node does for all.
    pub(super) fn is_leader(&self) -> bool {
        !self.node.is_clustered() || self.node.is_leader()
    }

    /// Writes that the answers of a job that is over are lost.
    pub(super) async fn write_lost_answers(&self, job: &Job) -> Result<()> {
        let states = job.snapshot().to_bytes();
        self.store.write(async |tx| store::live_queries::set_results_lost(tx, job.id, states.clone()).await).await?;
        Ok(())
    }

    pub(super) async fn write_checkpoint(&self, job: &Job) -> Result<()> {
        // One writer at a time, so that an older checkpoint never lands on top of a newer one.
        let _guard = self.checkpointing.lock().await;
        let Some(checkpoint) = job.checkpoint() else { return Ok(()) };
        let states = checkpoint.snapshot.to_bytes();
        self.store
            .write(async |tx| {
                let row = live_queries::ActiveModel {
                    status: Set(status_word(checkpoint.status)),
                    stop_reason: Set(checkpoint.stop_reason.clone()),
                    finished_at: Set(checkpoint.finished_at),
                    states: Set(states.clone()),
                    results_bytes: Set(checkpoint.results_bytes.cast_signed()),
                    ..Default::default()
                };
                store::live_queries::checkpoint(tx, job.id, row).await
            })
            .await?;
        job.was_written(&checkpoint);
        Ok(())
    }
}
