//! The threads on which the work of operators' requests runs, never on those that answer agents.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::answer;
use crate::config;
use crate::fleet::{Error, Result};
use crate::pool::{LARGE, Pool, PoolEntry};
use crate::telemetry::Metrics;
use crate::under_way::{WaitsFor, waiting_for};

/// Longest time of a change in the queue. Nobody may wait for it any more after that, and what its caller may do is as of the
/// beginning.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The pool of operators. Clones are one.
#[derive(Debug, Clone)]
pub(super) struct OperatorPool {
    pool: Pool,
    /// Room for changes. They wait for the database and for each other, so one thread and half of the queue are left to
    /// those who read.
    changes: Arc<Semaphore>,
    queued_changes: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

impl OperatorPool {
    pub fn new(config: &config::Server, metrics: Arc<Metrics>) -> Self {
        let threads = config.operator_threads;
        let pool = Pool::new("operators", threads, Some(config.operator_queue), &metrics);
        let changes = threads.saturating_sub(1).clamp(1, Semaphore::MAX_PERMITS);
        let queued_changes = (changes + config.operator_queue.div_ceil(2)).min(Semaphore::MAX_PERMITS);
        let [changes, queued_changes] = [changes, queued_changes].map(|permits| Arc::new(Semaphore::new(permits)));
        Self { pool, changes, queued_changes, metrics }
    }

    /// Takes a place in the queue.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the queue is full.
    pub fn enter(&self) -> Result<PoolEntry> {
        self.pool.enter().ok_or_else(|| self.queue_is_full("as many requests wait for their turn as"))
    }

    fn queue_is_full(&self, what: &str) -> Error {
        self.metrics.limit_hit("operator_queue");
        Error::Unavailable(format!("{what} server.operator_queue allows"))
    }

    /// Makes a change.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the queue is full, or its half that changes may take, or the change has waited for
    /// [`LONGEST_WAIT`]; and the errors of the change.
    pub async fn change<T, F>(&self, work: impl FnOnce() -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>>,
    {
        let (since, metrics) = (Instant::now(), Arc::clone(&self.metrics));
        let queued = Arc::clone(&self.queued_changes).try_acquire_owned();
        let queued = queued.map_err(|_| self.queue_is_full("changes take half of what"))?;
        let entry = self.enter()?;
        let acquired = Arc::clone(&self.changes).acquire_owned();
        let change = waiting_for(WaitsFor::ChangeQueue, acquired).await.map_err(internal)?;
        let work = move || async move {
            if since.elapsed() > LONGEST_WAIT {
                metrics.limit_hit("operator_queue");
                return Err(Error::Unavailable(
                    "nothing was changed: the request was in the queue for too long".to_owned(),
                ));
            }
            let done = work().await;
            drop((change, queued));
            done
        };
        run(entry, work).await
    }

    /// Reads a body of so many bytes: here if that is small.
    pub async fn read_body<T: Send + 'static>(
        &self,
        bytes: usize,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        if bytes <= LARGE { Ok(read()) } else { self.enter()?.run(read).await.map_err(internal) }
    }
}

/// Runs work in a place of a pool, until it is done.
pub(super) async fn run<T, F>(entry: PoolEntry, work: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let runtime = Handle::current();
    entry.run(move || runtime.block_on(work())).await.map_err(internal)?
}

/// The text of an answer.
pub(super) fn write(body: &impl Serialize) -> Result<String> {
    answer::text(body).map_err(internal)
}

pub(super) fn internal(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Internal(error.into())
}
