//! Log lines about refused requests. An agent says little of why it was refused, so the server's log must.

use actix_web::http::StatusCode;

use super::AgentApi;
use super::request::{AgentRequest, Sender};

/// Longest name of a host and longest path in a line, in characters.
const MAX_TEXT: usize = 100;

/// Logs a refusal, unless one of this endpoint and status was logged a moment ago.
pub(super) fn refused(api: &AgentApi, request: &AgentRequest, handler: &'static str, status: StatusCode, reason: &str) {
    let Some(left_out) = api.fleet.refusals.pass((handler, status.as_u16()), api.fleet.clock.now()) else { return };
    let address = api.keepalive.proxies.client(request).map(tracing::field::display);
    let status = status.as_u16();
    // Debug, because agents choose these texts.
    match request.sender() {
        Some(Sender::Host(host_id)) => {
            tracing::warn!(handler, status, ?reason, address, host_id, left_out, "request of an agent refused");
        }
        Some(Sender::Claims(host)) => {
            tracing::warn!(handler, status, ?reason, address, host = ?cut(&host), left_out, "request of an agent refused");
        }
        // Not the query, which may hold an enroll secret.
        None => {
            let path = cut(request.path());
            tracing::warn!(handler, status, ?reason, address, ?path, left_out, "request of an agent refused");
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
