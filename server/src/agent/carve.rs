//! Carving is not there: agents that try it are told so, and the log says which.

use std::pin::pin;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use muster_api::osquery::node_key;

use super::answer::{Refusal, answer};
use super::node_key::identify;
use super::request::AgentRequest;
use super::{AgentApi, body};

/// A whole fleet may carve at once: one line of the log stands for the attempts of so long.
pub(super) const LOG_EVERY: Duration = Duration::from_secs(10);

/// Refuses a carve.
pub(super) async fn begin(api: &AgentApi, request: &AgentRequest, payload: &mut Payload) -> HttpResponse {
    let work = pin!(async {
        let body = body::read(api, request, payload, api.caps.config).await?;
        let host = identify(api, request, node_key(&body.bytes)?.as_deref()).await?;
        if let Some(left_out) = api.carve_log.pass((), api.fleet.clock.now()) {
            tracing::warn!(
                host_id = host.id,
                left_out,
                "an agent tried to carve files, which this server does not take; its query found rows, but no file will \
                 come. Start agents with --disable_carver=true"
            );
        }
        let reason =
            "carving is not there: this server takes no carved files; start the agent with --disable_carver=true";
        Err(Refusal::Error(StatusCode::NOT_IMPLEMENTED, reason.to_owned()))
    });
    answer(api, request, &api.endpoints.carve_begin, work).await
}
