//! Work on large bodies, away from the threads that answer agents.

use std::sync::Arc;

use actix_web::http::StatusCode;
use tokio::sync::Semaphore;

use super::answer::Refusal;

/// Bodies above this size are inflated, parsed and copied on threads of their own: a worker takes some milliseconds for
/// so much, and serves its other requests meanwhile.
pub(super) const LARGE: usize = 1 << 20;

/// Runs work on large bodies that waits for nothing but a processor, as many at one time as there are processors. Those
/// that wait are bounded by `osquery.max_bodies_in_flight`, and each by `osquery.answer_timeout`.
#[derive(Debug, Clone)]
pub(super) struct Heavy(Arc<Semaphore>);

impl Heavy {
    pub(super) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(processors)))
    }

    /// Does work on a body of so many bytes: here if that is small.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        if bytes <= LARGE {
            return Ok(work());
        }
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
