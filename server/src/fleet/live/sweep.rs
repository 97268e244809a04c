//! Periodic work: following other nodes, deadlines, checkpoints, and removing jobs that were kept long enough.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use muster_api::rest::{LiveStatus, TargetState};
use sea_orm::Set;

use super::job::status_word;
use super::jobs::bus_key;
use super::notes::{JobEnding, Settlement};
use super::{Job, Live};
use crate::bus::BusError;
use crate::fleet::Result;
use crate::lock::lock;
use crate::store::{self, entity::live_queries};

impl Live {
    /// Takes up jobs that were started at other nodes, or whose start was given up here, and brings all views up to date.
    ///
    /// # Errors
    /// When the database or the bus does not answer; the next call does it.
    pub async fn look(&self) -> Result<()> {
        let looks = self.unheld.load(Ordering::Relaxed);
        if self.node.is_clustered() || looks > 0 {
            self.look_for_jobs().await?;
            let _ = self.unheld.compare_exchange(looks, looks.saturating_sub(1), Ordering::Relaxed, Ordering::Relaxed);
        }
        let mut outcome = Ok(());
        for job in self.open_jobs() {
            outcome = outcome.and(self.fold(&job).await);
        }
        outcome
    }

    /// Brings one job up to date, if this node has it.
    ///
    /// # Errors
    /// When the bus does not answer.
    pub async fn look_at(&self, id: i64) -> Result<()> {
        let job = self.jobs.pin().get(&id).cloned();
        match job.filter(|job| job.is_open()) {
            Some(job) => self.fold(&job).await,
            None => Ok(()),
        }
    }

    pub(super) async fn look_for_jobs(&self) -> Result<()> {
        let open: BTreeMap<_, _> = store::live_queries::open_leases(self.store.reader()).await?.into_iter().collect();
        for (id, watched_until) in &open {
            if self.jobs.pin().get(id).is_none()
                && let Some(row) = store::live_queries::by_id(self.store.reader(), *id).await?
            {
                self.hold(row)?;
            } else if let Some(until) = watched_until {
                self.campaigns.took_up(*id, *until);
            }
        }
        for job in self.open_jobs().into_iter().filter(|job| !open.contains_key(&job.id)) {
            match store::live_queries::by_id(self.store.reader(), job.id).await? {
                Some(row) if row.finished_at.is_some() => job.adopt(row),
                Some(_) => {}
                None => {
                    self.jobs.pin().remove(&job.id);
                }
            }
        }
        self.list_open();
        Ok(())
    }

    /// Ends jobs whose deadline has passed and campaigns nobody watches, and writes checkpoints.
    ///
    /// # Errors
    /// When the database or the bus does not answer; the next call does it.
    pub async fn sweep(&self) -> Result<()> {
        let now = self.clock.now();
        let mut outcome = self.give_back_leases(now).await;
        outcome = outcome.and(self.prolong_watched(now).await).and(self.end_unwatched(now).await);
        outcome = outcome.and(self.settle_gone().await);
        let jobs: Vec<_> = self.jobs.pin().values().cloned().collect();
        for job in &jobs {
            if job.is_open() && job.deadline <= now {
                let (status, rest) = (LiveStatus::Expired, TargetState::Expired);
                outcome =
                    outcome.and(self.close(job, JobEnding { status, reason: String::new(), rest, at: now.0 }).await);
            }
        }
        for job in jobs.iter().filter(|_| self.is_leader()) {
            // A checkpoint that cannot be written does not hold up the others.
            outcome = outcome.and(self.write_checkpoint(job).await);
        }
        if self.listed.load().iter().any(|job| !job.is_open()) {
            self.list_open();
        }
        outcome
    }

    /// Ends a job, unless it is over, and writes how. Of several nodes that end it the first one counts.
    pub(super) async fn close(&self, job: &Arc<Job>, ending: JobEnding) -> Result<()> {
        if let Err(error) = self.bus.close(job.key, ending.to_bytes()).await {
            let BusError::Lost(_) = error else { return Err(error.into()) };
            self.fold(job).await?;
            self.bus.close(job.key, ending.to_bytes()).await?;
        }
        self.fold(job).await?;
        self.write_checkpoint(job).await
    }

    /// Removes jobs that ended longer ago than `live.retention`, with their answers, and answers that old of jobs that
    /// the database does not know.
    ///
    /// # Errors
    /// When the database or the bus does not answer.
    pub async fn forget_old(&self) -> Result<()> {
        let before = self.clock.now().minus(self.config.retention);
        self.jobs.pin().retain(|_, job| job.finished_at().is_none_or(|at| at >= before));
        if !self.is_leader() {
            return Ok(());
        }
        for (id, key) in store::live_queries::finished_before(self.store.reader(), before).await? {
            self.bus.remove(bus_key(id, key.as_deref())?).await?;
            self.store.write(async |tx| store::live_queries::delete(tx, id).await).await?;
        }
        let rows = store::live_queries::bus_keys(self.store.reader()).await?;
        let known: Result<_> = rows.iter().map(|(id, key)| bus_key(*id, key.as_deref())).collect();
        self.bus.forget_others(known?, before).await?;
        Ok(())
    }

    /// Settles a deleted host as gone in every open job.
    pub async fn forget_host(&self, host_id: i64) {
        lock(&self.gone).insert(host_id);
        if let Err(error) = self.settle_gone().await {
            tracing::warn!(%error, host_id, "live queries still wait for a deleted host; will retry at the next sweep");
        }
    }

    async fn settle_gone(&self) -> Result<()> {
        let hosts: Vec<i64> = lock(&self.gone).iter().copied().collect();
        for host in hosts {
            for job in self.open_jobs().into_iter().filter(|job| job.open_target(host).is_some()) {
                let at = self.clock.now().0;
                let state = TargetState::Gone;
                let gone = Settlement { state, truncated: false, unkept: false, stats: None, at };
                self.keep(&job, host, Vec::new(), &gone).await?;
            }
            lock(&self.gone).remove(&host);
        }
        Ok(())
    }

    /// Whether this node does the work that one node does for all.
    fn is_leader(&self) -> bool {
        !self.node.is_clustered() || self.node.is_leader()
    }

    /// Writes that the answers of a job that is over are lost.
    pub(super) async fn write_lost_answers(&self, job: &Job) -> Result<()> {
        let states = job.states_bytes();
        self.store.write(async |tx| store::live_queries::set_states(tx, job.id, states.clone()).await).await?;
        Ok(())
    }

    pub(super) async fn write_checkpoint(&self, job: &Job) -> Result<()> {
        // One writer at a time, so that an older checkpoint never lands on top of a newer one.
        let _guard = self.checkpointing.lock().await;
        let Some(checkpoint) = job.checkpoint() else { return Ok(()) };
        self.store
            .write(async |tx| {
                let row = live_queries::ActiveModel {
                    status: Set(status_word(checkpoint.status)),
                    stop_reason: Set(checkpoint.stop_reason.clone()),
                    finished_at: Set(checkpoint.finished_at),
                    states: Set(checkpoint.states.clone()),
                    ..Default::default()
                };
                store::live_queries::checkpoint(tx, job.id, row).await
            })
            .await?;
        job.was_written(&checkpoint);
        Ok(())
    }
}
