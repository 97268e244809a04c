//! The jobs in memory: open ones, and those that ended lately.

use std::sync::Arc;

use roaring::RoaringTreemap;
use uuid::Uuid;

use super::snapshot::Snapshot;
use super::{Job, Live};
use crate::bus::JobKey;
use crate::fleet::{Error, Result};
use crate::store;
use crate::store::entity::live_queries::{LiveStatusWord, Model};

impl Live {
    /// Holds an open job in memory as its row says; it is on the bus, and announced to its hosts, once it was folded.
    pub(super) fn hold(&self, row: Model) -> Result<Arc<Job>> {
        let watched_until = row.watched_until;
        let job = from_row(row)?;
        // why: the embedded bus reads the answers first. Redis has the states of all hosts already.
        job.set_resuming(job.is_open() && !self.node.is_clustered());
        let job = Arc::clone(self.jobs.pin().get_or_insert(job.id, Arc::new(job)));
        self.list_open();
        if let Some(until) = watched_until {
            self.campaigns.took_up(job.id, until);
        }
        Ok(job)
    }

    /// As [`Live::hold`]. A row that cannot be read is logged and left out, so that it does not keep the others.
    pub(super) fn hold_readable(&self, row: Model) {
        let id = row.id;
        if let Err(error) = self.hold(row) {
            tracing::error!(%error, live_query = id, "live query left out, because its row cannot be read; delete the row");
        }
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
    pub(super) async fn recall(self: &Arc<Self>, row: Model) -> Result<Arc<Job>> {
        if let Some(job) = self.jobs.pin().get(&row.id).cloned() {
            return Ok(job);
        }
        // A status of a newer version may change on any node: it is read with the row each time.
        if row.finished_at.is_some() || matches!(row.status, LiveStatusWord::Unknown(_)) {
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
    pub(super) async fn find(self: &Arc<Self>, id: i64) -> Result<Arc<Job>> {
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

pub(super) fn from_row(row: Model) -> Result<Job> {
    let snapshot = Snapshot::from_bytes(&row.states).ok_or_else(|| corrupt(row.id, "the states cannot be read"))?;
    let key = bus_key(row.id, row.bus_key.as_deref())?;
    let canaries = match &row.canaries {
        None => RoaringTreemap::new(),
        Some(ids) => {
            RoaringTreemap::deserialize_from(&ids[..]).map_err(|_| corrupt(row.id, "the canaries cannot be read"))?
        }
    };
    Ok(Job::new(row, key, snapshot, canaries))
}

/// What a job is called on the bus, as its row says.
pub(super) fn bus_key(id: i64, stored: Option<&str>) -> Result<JobKey> {
    let made = stored.map(Uuid::try_parse).transpose();
    Ok(JobKey::new(id, made.map_err(|_| corrupt(id, "bus_key is no UUID"))?))
}

fn corrupt(id: i64, reason: &str) -> store::Error {
    store::Error::Corrupt { table: "live_queries", key: id.to_string(), reason: reason.to_owned() }
}
