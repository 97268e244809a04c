//! The jobs in memory: open ones, and those that ended lately.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::states::States;
use super::{Job, Live};
use crate::fleet::{Error, Result};
use crate::store;
use crate::store::entity::live_queries::Model;

/// Shortest time between two reads of the open rows for jobs that only agents know of: an id an agent makes up must not
/// cost a read each time.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// When the open rows were last read for a job that only an agent knew of.
#[derive(Debug, Default)]
pub(super) struct JobLook {
    tried: Option<Instant>,
    done: Option<Instant>,
}

impl Live {
    /// Holds an open job in memory as its row says; it is on the bus, and announced to its hosts, once it was folded.
    pub(super) fn hold(&self, row: Model) -> Result<Arc<Job>> {
        let watched_until = row.watched_until;
        let job = Arc::new(from_row(row)?);
        let job = Arc::clone(self.jobs.pin().get_or_insert(job.id, job));
        self.list_open();
        self.newest.fetch_max(job.id, Ordering::Relaxed);
        if let Some(until) = watched_until {
            self.campaigns.took_up(job.id, until);
        }
        Ok(job)
    }

    /// A job in memory. A job that is newer than all of these may have been started at another node just now.
    pub(super) async fn known(&self, id: i64) -> Result<Option<Arc<Job>>> {
        if let Some(job) = self.jobs.pin().get(&id).cloned() {
            return Ok(Some(job));
        }
        if !self.node.is_clustered() || id <= self.newest.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let asked_at = Instant::now();
        let mut look = self.looked_at.lock().await;
        if look.done.is_none_or(|at| at <= asked_at) {
            if let Some(at) = look.tried {
                tokio::time::sleep_until((at + LOOK_AGAIN).into()).await;
            }
            let began = Instant::now();
            look.tried = Some(began);
            self.look_for_jobs().await?;
            // why: only now. Callers that waited for a look that failed, or whose request was given up, have learnt
            // nothing, and would drop answers to a job they take for unknown.
            look.done = Some(began);
        }
        Ok(self.jobs.pin().get(&id).cloned())
    }

    /// Lists the open jobs anew. Call this whenever a job was added to `jobs`, before it is announced.
    pub(super) fn list_open(&self) {
        // why: `rcu` reads `jobs` again when another list was stored meanwhile. So of two callers that each add a job,
        // the later list has both.
        self.listed.rcu(|_| {
            let mut open: Vec<_> = self.jobs.pin().values().filter(|job| job.is_open()).cloned().collect();
            open.sort_unstable_by_key(|job| job.id);
            open
        });
    }

    /// Open jobs in the order of their ids.
    pub(super) fn open_jobs(&self) -> Vec<Arc<Job>> {
        self.listed.load().iter().filter(|job| job.is_open()).cloned().collect()
    }

    /// A job in memory, or as its row says. A job that is over needs nothing but the row until it is followed.
    pub(super) async fn recall(&self, row: Model) -> Result<Arc<Job>> {
        if let Some(job) = self.jobs.pin().get(&row.id).cloned() {
            return Ok(job);
        }
        if row.finished_at.is_some() {
            return Ok(Arc::new(from_row(row)?));
        }
        let job = self.hold(row)?;
        // Redis may be away; then the job is shown as of its last checkpoint.
        if let Err(error) = self.fold(&job).await {
            tracing::debug!(%error, live_query = job.id, "live query shown as of its last checkpoint");
        }
        Ok(job)
    }

    /// A job in memory, or one that ended before the start.
    pub(super) async fn find(&self, id: i64) -> Result<Arc<Job>> {
        if let Some(job) = self.jobs.pin().get(&id).cloned() {
            return Ok(job);
        }
        let row = store::live_queries::by_id(self.store.reader(), id).await?.ok_or_else(|| not_found(id))?;
        self.recall(row).await
    }
}

/// The error for a job that is not there, or not the caller's to see.
pub(super) fn not_found(id: i64) -> Error {
    Error::NotFound { kind: "Live query", key: format!("with id={id}") }
}

fn from_row(row: Model) -> Result<Job> {
    let states = States::from_bytes(&row.states).ok_or_else(|| store::Error::Corrupt {
        table: "live_queries",
        key: row.id.to_string(),
        reason: "the states cannot be read".to_owned(),
    })?;
    Ok(Job::new(row, states))
}
