//! Live queries: durable jobs that ask hosts now and account for every one of them. Watching is a view on a job.

mod answers;
mod campaigns;
mod collect;
mod fold;
mod follow;
mod job;
mod notes;
mod open_targets;
mod operate;
mod questions;
mod selection;
mod states;
mod sweep;
mod targets;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore};

pub use answers::{Brief, show as show_line};
pub use campaigns::Attendance;
pub use follow::Follower;
pub use job::Job;
pub use open_targets::OpenTargets;
pub use operate::Ask;
pub use questions::{PREFIX, SENTINEL};
pub use selection::{ALL_HOSTS, Selection};
pub use targets::NO_HOSTS;

use self::campaigns::Campaigns;
use self::states::States;
use super::hosts::{Hosts, Presence};
use super::schedule::Schedule;
use super::{Error, Node, Result};
pub use crate::bus::ResultLine;
use crate::bus::{BusError, LiveBus, Notifier};
use crate::clock::Clock;
use crate::config;
use crate::store::entity::live_queries::Model;
use crate::store::{self, Store};
use crate::telemetry::Metrics;

/// Between two looks for jobs that only agents know of: what they make up must not cost a look each.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Everything about live queries.
#[derive(Debug)]
pub struct Live {
    store: Store,
    bus: Arc<dyn LiveBus>,
    notifier: Arc<dyn Notifier>,
    node: Arc<Node>,
    clock: Clock,
    config: config::Live,
    hosts: Arc<Hosts>,
    schedule: Arc<Schedule>,
    metrics: Arc<Metrics>,
    /// Open jobs, and those that ended since the start and are still kept.
    jobs: papaya::HashMap<i64, Arc<Job>>,
    checkpointing: tokio::sync::Mutex<()>,
    /// One permit per follower.
    followers: Arc<Semaphore>,
    campaigns: Campaigns,
    has_left: Notify,
    /// One permit per byte of answers that are collected in memory.
    collecting: Arc<Semaphore>,
    /// The newest job this server has heard of.
    newest: AtomicI64,
    /// When it was looked for one that only an agent knew of.
    looked_at: tokio::sync::Mutex<Option<Instant>>,
    /// Who has called any server lately, and when that was read.
    recent: tokio::sync::Mutex<Option<(Instant, Presence)>>,
    /// Deleted hosts that jobs may still wait for.
    gone: Mutex<BTreeSet<i64>>,
}

/// What the service is made of.
#[derive(Debug)]
pub struct Parts {
    pub store: Store,
    pub bus: Arc<dyn LiveBus>,
    pub notifier: Arc<dyn Notifier>,
    pub node: Arc<Node>,
    pub clock: Clock,
    pub config: config::Live,
    pub hosts: Arc<Hosts>,
    pub schedule: Arc<Schedule>,
    pub metrics: Arc<Metrics>,
}

impl Live {
    /// Takes up the jobs that were open when the server stopped, from their last checkpoint and their answers.
    ///
    /// # Errors
    /// When the database or a file of answers cannot be read.
    pub async fn load(parts: Parts) -> Result<Self> {
        let Parts { store, bus, notifier, node, clock, config, hosts, schedule, metrics } = parts;
        let live = Self {
            followers: Arc::new(Semaphore::new(config.max_followers.min(Semaphore::MAX_PERMITS))),
            jobs: papaya::HashMap::new(),
            checkpointing: tokio::sync::Mutex::default(),
            campaigns: Campaigns::default(),
            has_left: Notify::new(),
            collecting: Arc::new(Semaphore::new(config.max_rest_results.0.min(Semaphore::MAX_PERMITS))),
            newest: AtomicI64::new(0),
            looked_at: tokio::sync::Mutex::default(),
            recent: tokio::sync::Mutex::default(),
            gone: Mutex::default(),
            store,
            bus,
            notifier,
            node,
            clock,
            config,
            hosts,
            schedule,
            metrics,
        };
        for row in store::live_queries::open(live.store.reader()).await? {
            let job = live.hold(row)?;
            match live.fold(&job).await {
                Ok(()) => tracing::info!(live_query = job.id, "a live query goes on"),
                // The bus may be away at the start; everything else must not wait for it.
                Err(error @ Error::Unavailable(_)) if live.node.is_clustered() => {
                    tracing::warn!(%error, live_query = job.id, "a live query cannot be taken up now");
                }
                Err(error) => return Err(error),
            }
        }
        match live.end_unwatched(live.clock.now()).await {
            Err(Error::Unavailable(_)) if live.node.is_clustered() => {}
            outcome => outcome?,
        }
        Ok(live)
    }

    /// Holds an open job in memory as its row tells; it is on the bus once it was folded.
    fn hold(&self, row: Model) -> Result<Arc<Job>> {
        let watched_until = row.watched_until;
        let job = Arc::new(from_row(row)?);
        let job = Arc::clone(self.jobs.pin().get_or_insert(job.id, job));
        self.newest.fetch_max(job.id, Ordering::Relaxed);
        if let Some(until) = watched_until {
            self.campaigns.took_up(job.id, until);
        }
        Ok(job)
    }

    /// A job in memory. One that is newer than all that are may have been started at another server just now.
    async fn known(&self, id: i64) -> Result<Option<Arc<Job>>> {
        if let Some(job) = self.jobs.pin().get(&id).cloned() {
            return Ok(Some(job));
        }
        if !self.node.is_clustered() || id <= self.newest.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let asked_at = Instant::now();
        let mut looked_at = self.looked_at.lock().await;
        if looked_at.is_none_or(|at| at <= asked_at) {
            if let Some(at) = *looked_at {
                tokio::time::sleep_until((at + LOOK_AGAIN).into()).await;
            }
            *looked_at = Some(Instant::now());
            self.look_for_jobs().await?;
        }
        Ok(self.jobs.pin().get(&id).cloned())
    }

    fn open_jobs(&self) -> Vec<Arc<Job>> {
        self.jobs.pin().values().filter(|job| job.is_open()).cloned().collect()
    }

    /// A job in memory, or as its row tells. Of one that is over nothing but the row is needed until it is followed.
    async fn recall(&self, row: Model) -> Result<Arc<Job>> {
        if let Some(job) = self.jobs.pin().get(&row.id).cloned() {
            return Ok(job);
        }
        if row.finished_at.is_some() {
            return Ok(Arc::new(from_row(row)?));
        }
        let job = self.hold(row)?;
        // Redis may be away; then it is shown as it was written last.
        if let Err(error) = self.fold(&job).await {
            tracing::debug!(%error, live_query = job.id, "a live query is shown as it was written last");
        }
        Ok(job)
    }

    /// A job in memory, or one that ended before the start.
    async fn find(&self, id: i64) -> Result<Arc<Job>> {
        if let Some(job) = self.jobs.pin().get(&id).cloned() {
            return Ok(job);
        }
        let not_found = || Error::NotFound { kind: "Live query", key: format!("with id={id}") };
        let row = store::live_queries::by_id(self.store.reader(), id).await?.ok_or_else(not_found)?;
        self.recall(row).await
    }
}

fn from_row(row: Model) -> Result<Job> {
    let states = States::from_bytes(&row.states).ok_or_else(|| store::Error::Corrupt {
        table: "live_queries",
        key: row.id.to_string(),
        reason: "its states cannot be read".to_owned(),
    })?;
    Ok(Job::new(row, states))
}

impl From<BusError> for Error {
    fn from(error: BusError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
