//! Threads for long work, so that none of it runs on the threads that answer agents.

use std::sync::Arc;

use prometheus::IntGauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;

use crate::telemetry::Metrics;
use crate::under_way::{Ongoing, WaitsFor, waiting_for};

/// Bodies above this size are parsed and copied in a pool: a worker takes some milliseconds for so much, and serves its
/// other requests meanwhile.
pub(crate) const LARGE: usize = 1 << 20;

/// A bounded number of threads with a bounded queue before them. Clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    threads: Arc<Semaphore>,
    entries: Arc<Semaphore>,
    busy: IntGauge,
    waiting: IntGauge,
}

/// A place in the queue of a pool. Dropping it leaves the queue.
#[derive(Debug)]
pub(crate) struct PoolEntry {
    pool: Pool,
    entry: OwnedSemaphorePermit,
    waiting: GaugeGuard,
}

/// One more in a gauge, until it is dropped.
#[derive(Debug)]
struct GaugeGuard(IntGauge);

impl GaugeGuard {
    fn of(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Pool {
    /// A pool under this name in the metrics. `queue` is the most work that waits; `None` if something else bounds it.
    pub fn new(name: &str, threads: usize, queue: Option<usize>, metrics: &Metrics) -> Self {
        let threads = threads.clamp(1, Semaphore::MAX_PERMITS);
        metrics.pool_threads.with_label_values(&[name]).set(i64::try_from(threads).unwrap_or(i64::MAX));
        let entries = queue.unwrap_or(Semaphore::MAX_PERMITS).saturating_add(threads).min(Semaphore::MAX_PERMITS);
        Self {
            threads: Arc::new(Semaphore::new(threads)),
            entries: Arc::new(Semaphore::new(entries)),
            busy: metrics.pool_busy.with_label_values(&[name]),
            waiting: metrics.pool_waiting.with_label_values(&[name]),
        }
    }

    /// Takes a place in the queue; `None` if it is full.
    pub fn enter(&self) -> Option<PoolEntry> {
        let entry = Arc::clone(&self.entries).try_acquire_owned().ok()?;
        Some(PoolEntry { pool: self.clone(), entry, waiting: GaugeGuard::of(&self.waiting) })
    }
}

impl PoolEntry {
    /// Does the work on a thread of the pool, when one is free. The thread counts as busy until the work is done, even if
    /// nobody waits for it any more.
    ///
    /// # Errors
    /// When the work panics, or the process ends before it begins.
    pub async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
        let Self { pool, entry, waiting } = self;
        // Nobody closes the semaphore.
        let thread = waiting_for(WaitsFor::PoolThread, Arc::clone(&pool.threads).acquire_owned()).await.ok();
        drop(waiting);
        let busy = GaugeGuard::of(&pool.busy);
        let under_way = Ongoing::current();
        let working = tokio::task::spawn_blocking(move || {
            let entered = under_way.as_ref().map(Ongoing::enter);
            let done = work();
            drop(entered);
            drop((busy, thread, entry));
            done
        });
        working.await
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    /// The gauges of a pool: busy and waiting.
    fn gauges(pool: &Pool) -> (i64, i64) {
        (pool.busy.get(), pool.waiting.get())
    }

    #[tokio::test]
    async fn a_pool_has_so_many_threads_and_places_and_no_more() {
        let pool = Pool::new("test", 2, Some(1), &Metrics::new().unwrap());
        let mut works = Vec::new();
        for _ in 0..3 {
            let (end, ended) = oneshot::channel::<()>();
            let working = tokio::spawn(pool.enter().unwrap().run(move || ended.blocking_recv()));
            works.push((working, end));
            tokio::task::yield_now().await;
        }
        assert_eq!(gauges(&pool), (2, 1));
        assert!(pool.enter().is_none(), "the queue is full");
        // Whoever does not wait any more leaves the queue.
        let (third, _) = works.pop().unwrap();
        third.abort();
        assert!(third.await.unwrap_err().is_cancelled());
        assert_eq!(gauges(&pool), (2, 0));
        let entry = pool.enter().unwrap();
        assert!(pool.enter().is_none());
        for (working, end) in works {
            end.send(()).unwrap();
            working.await.unwrap().unwrap().unwrap();
        }
        assert_eq!(entry.run(|| 7).await.unwrap(), 7);
        assert_eq!(gauges(&pool), (0, 0));
    }

    #[tokio::test]
    async fn work_that_panics_gives_its_thread_back() {
        let pool = Pool::new("test", 1, Some(0), &Metrics::new().unwrap());
        assert!(pool.enter().unwrap().run(|| panic!("a fault")).await.unwrap_err().is_panic());
        assert_eq!(gauges(&pool), (0, 0));
        assert_eq!(pool.enter().unwrap().run(|| 7).await.unwrap(), 7);
    }
}
