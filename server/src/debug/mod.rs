//! What operators ask of a node that is in trouble: profiles, what each request waits for, errors, the state of caches, the
//! database and Redis. For admins, who may ask a bounded number of times a minute; what takes the processor long is done in a
//! pool. No answer contains a secret. Fleet's paths answer with what is nearest.

mod activity;
mod caller;
mod catalog;
mod command_line;
mod cpu_profile;
mod database;
mod heap;
mod logs;
mod long_answer;
mod node_state;
mod params;
mod proc;
mod quotas;
mod redis;
mod refusal;
mod runtime;
mod settings;
mod threads;

use std::sync::Arc;

use actix_web::dev::Service as _;
use actix_web::web::{self, ServiceConfig};
use tokio::sync::Semaphore;

use self::quotas::UserQuotas;
use self::refusal::DebugRefusal;
use crate::clock::Moment;
use crate::config::Config;
use crate::fleet::{Error, Fleet};
use crate::pool::{Pool, PoolEntry};
use crate::telemetry::Metrics;

/// Threads for the work of these requests.
const THREADS: usize = 2;

/// Requests that wait for a thread.
const QUEUE: usize = 16;

/// Says of an answer what it does not show.
const NOTE_HEADER: &str = "muster-note";

/// The state that the handlers share.
#[derive(Debug, Clone)]
pub struct DebugApi {
    fleet: Fleet,
    metrics: Arc<Metrics>,
    config: Arc<Config>,
    pool: Pool,
    /// The right to look up names of functions, which takes memory for the program's debug information.
    symbols: Arc<Semaphore>,
    quotas: Arc<UserQuotas>,
    started_at: Moment,
}

impl DebugApi {
    pub fn new(fleet: Fleet, metrics: Arc<Metrics>, config: &Config) -> Self {
        let pool = Pool::new("debug", THREADS, Some(QUEUE), &metrics);
        let started_at = fleet.clock.now();
        let (config, symbols) = (Arc::new(config.clone()), Arc::new(Semaphore::new(1)));
        Self { fleet, metrics, config, pool, symbols, quotas: Arc::default(), started_at }
    }

    /// Takes a place in the queue of the pool.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it is full.
    fn enter(&self) -> Result<PoolEntry, DebugRefusal> {
        let full = || Error::Unavailable("as many debug requests wait as may".to_owned()).into();
        self.pool.enter().ok_or_else(full)
    }

    /// Does work that looks up names of functions on a thread of the pool, one at a time: another thread is left for quick items.
    ///
    /// # Errors
    /// As for [`DebugApi::in_pool`].
    async fn with_symbols<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, DebugRefusal> {
        // Nobody closes the semaphore.
        let permit = Arc::clone(&self.symbols).acquire_owned().await.ok();
        self.in_pool(move || {
            let done = work();
            drop(permit);
            done
        })
        .await
    }

    /// Does work on a thread of the pool.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the queue is full, [`Error::Internal`] when the work panics.
    async fn in_pool<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, DebugRefusal> {
        self.enter()?.run(work).await.map_err(|error| Error::Internal(error.into()).into())
    }
}

/// Adds all items, and the list of them.
pub fn routes(services: &mut ServiceConfig) {
    let scope = web::scope("/debug").wrap_fn(|request, service| {
        let answered = service.call(request);
        async move { answered.await.map(catalog::with_node) }
    });
    services.service(scope.configure(catalog::routes));
}
