//! Work on large bodies, away from the threads that answer agents.

use actix_web::http::StatusCode;

use super::answer::Refusal;
pub(super) use crate::pool::LARGE;
use crate::pool::Pool;
use crate::telemetry::Metrics;

/// Runs work on large bodies that waits for nothing but a processor, as many at one time as there are processors. Those
/// that wait are bounded by `osquery.max_bodies_in_flight`, and each by `osquery.answer_timeout`.
#[derive(Debug, Clone)]
pub(super) struct Heavy(Pool);

impl Heavy {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Pool::new("agents", processors, None, metrics))
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
        self.0.enter().ok_or_else(failed)?.run(work).await.map_err(|_| failed())
    }
}
