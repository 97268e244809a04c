//! Work on large bodies, away from the threads that answer agents.

use std::sync::Arc;

use actix_web::http::StatusCode;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::answer::Refusal;

/// Bodies above this size are inflated, parsed and copied on threads of their own: a worker takes some milliseconds for
/// so much, and serves its other requests meanwhile.
pub(super) const LARGE: usize = 1 << 20;

/// Large bodies worked on at one time for each processor. More than one, because some wait for the database or the bus.
const AT_ONE_TIME: usize = 2;

/// Runs work on large bodies. Those that wait are bounded by `osquery.max_bodies_in_flight`, and each by
/// `osquery.answer_timeout`.
#[derive(Debug, Clone)]
pub(super) struct Heavy(Arc<Semaphore>);

impl Heavy {
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(AT_ONE_TIME * processors)))
    }

    /// Does work on a body of so many bytes: here if that is small.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        if bytes <= LARGE { Ok(work()) } else { self.off_the_workers(work).await }
    }

    /// Waits for work that also waits, on a thread of its own. It goes on when the request ends.
    pub(super) async fn run_waiting<T: Send + 'static, W: Future<Output = T>>(
        &self,
        work: impl FnOnce() -> W + Send + 'static,
    ) -> Result<T, Refusal> {
        self.off_the_workers(|| Handle::current().block_on(work())).await
    }

    async fn off_the_workers<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let failed = || Refusal::Error(StatusCode::INTERNAL_SERVER_ERROR, "internal error".to_owned());
        let permit = Arc::clone(&self.0).acquire_owned().await.map_err(|_| failed())?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        done.await.map_err(|_| failed())
    }
}
