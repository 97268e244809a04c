//! Live queries: durable jobs that ask hosts now and account for every one of them. Watching is a view on a job.

mod answers;
mod campaigns;
mod collect;
mod follow;
mod job;
mod operate;
mod questions;
mod selection;
mod states;
mod sweep;
mod targets;
mod turns;

use std::sync::Arc;

use tokio::sync::Semaphore;

pub use answers::{Brief, show as show_line};
pub use campaigns::Attendance;
pub use follow::Follower;
pub use job::Job;
pub use operate::Ask;
pub use questions::{PREFIX, SENTINEL};
pub use selection::{ALL_HOSTS, Selection};
pub use targets::NO_HOSTS;
pub use turns::Turns;

use self::campaigns::Campaigns;
use self::states::States;
use super::hosts::Hosts;
use super::schedule::Schedule;
use super::{Error, Result};
pub use crate::bus::Line;
use crate::bus::{BusError, LiveBus, Start};
use crate::clock::Clock;
use crate::config;
use crate::store::entity::live_queries::Model;
use crate::store::{self, Store};
use crate::telemetry::Metrics;

/// Everything about live queries.
#[derive(Debug)]
pub struct Live {
    store: Store,
    bus: Arc<dyn LiveBus>,
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
    /// One permit per byte of answers that are collected in memory.
    collecting: Arc<Semaphore>,
}

/// What the service is made of.
#[derive(Debug)]
pub struct Parts {
    pub store: Store,
    pub bus: Arc<dyn LiveBus>,
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
        let Parts { store, bus, clock, config, hosts, schedule, metrics } = parts;
        let live = Self {
            followers: Arc::new(Semaphore::new(config.max_followers.min(Semaphore::MAX_PERMITS))),
            jobs: papaya::HashMap::new(),
            checkpointing: tokio::sync::Mutex::default(),
            campaigns: Campaigns::default(),
            collecting: Arc::new(Semaphore::new(config.max_rest_results.0.min(Semaphore::MAX_PERMITS))),
            store,
            bus,
            clock,
            config,
            hosts,
            schedule,
            metrics,
        };
        for row in store::live_queries::open(live.store.reader()).await? {
            let (id, watched_until) = (row.id, row.watched_until);
            let taken_up = match live.restore(row).await {
                Ok(job) => live.take_up(&job).await,
                Err(error) => Err(error),
            };
            match taken_up {
                Ok(()) => {
                    if let Some(until) = watched_until {
                        live.campaigns.took_up(id, until);
                    }
                    tracing::info!(live_query = id, "a live query goes on");
                }
                // The bus may be away at the start; everything else must not wait for it.
                Err(error @ Error::Unavailable(_)) => {
                    tracing::warn!(%error, live_query = id, "a live query cannot be taken up now");
                }
                Err(error) => return Err(error),
            }
        }
        live.end_unwatched(live.clock.now()).await?;
        Ok(live)
    }

    /// A job from its row, with its stream open.
    async fn restore(&self, row: Model) -> Result<Arc<Job>> {
        let job = from_row(row)?;
        self.bus.open(job.id, Start::Checkpoint { settled: job.settled_hosts() }).await?;
        let job = Arc::new(job);
        self.jobs.pin().insert(job.id, Arc::clone(&job));
        Ok(job)
    }

    /// Brings a job up to its answers, which may be newer than the checkpoint, and lets hosts that were asked and owe an
    /// answer be asked again.
    async fn take_up(&self, job: &Job) -> Result<()> {
        let now = self.clock.now();
        let mut cursor = 0;
        loop {
            let piece = self.bus.read(job.id, cursor, answers::READ_BYTES).await?;
            if piece.lines.is_empty() {
                break;
            }
            cursor = piece.next;
            for line in &piece.lines {
                if let Ok(answer) = answers::parse(line) {
                    job.settled(&answer, answer.stats.map(answers::cost), now);
                }
            }
        }
        for host in job.hosts(muster_api::rest::TargetState::Sent) {
            job.again(host);
        }
        Ok(())
    }

    fn open_jobs(&self) -> Vec<Arc<Job>> {
        self.jobs.pin().values().filter(|job| job.is_open()).cloned().collect()
    }

    /// A job in memory, or as its row tells. Of one that is over nothing but the row is needed until it is followed.
    async fn recall(&self, row: Model) -> Result<Arc<Job>> {
        if let Some(job) = self.jobs.pin().get(&row.id).cloned() {
            return Ok(job);
        }
        if row.finished_at.is_some() { Ok(Arc::new(from_row(row)?)) } else { self.restore(row).await }
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
