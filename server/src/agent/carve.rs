//! Carving is not there: agents that try it are told so, and the log says which.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use muster_api::osquery::node_key;

use super::answer::{Refusal, answer};
use super::node_key::identify;
use super::{AgentApi, body};

/// A whole fleet may carve at once: one line of the log stands for the attempts of so long.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Writes to the log that carving was tried.
#[derive(Debug)]
pub(super) struct CarveLog {
    limiter: DefaultDirectRateLimiter,
    left_out: AtomicU64,
}

impl Default for CarveLog {
    fn default() -> Self {
        let quota = Quota::with_period(LOG_EVERY).unwrap_or_else(|| Quota::per_minute(NonZeroU32::MIN));
        Self { limiter: RateLimiter::direct(quota), left_out: AtomicU64::new(0) }
    }
}

impl CarveLog {
    fn note(&self, host_id: i64) {
        if self.limiter.check().is_err() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        tracing::warn!(
            host_id,
            left_out,
            "an agent tried to carve files, which this server does not take; its query found rows, but no file will come. \
             Start agents with --disable_carver=true"
        );
    }
}

/// Refuses a carve.
pub(super) async fn begin(api: web::Data<AgentApi>, request: HttpRequest, mut payload: web::Payload) -> HttpResponse {
    answer(&api, &request, "carve_begin", async {
        let body = body::read(&api, &request, &mut payload, api.caps.config).await?;
        let host = identify(&api, &request, node_key(&body.bytes)?.as_deref()).await?;
        api.carve_log.note(host.id);
        let reason =
            "carving is not there: this server takes no carved files; start the agent with --disable_carver=true";
        Err(Refusal::Error(StatusCode::NOT_IMPLEMENTED, reason.to_owned()))
    })
    .await
}
