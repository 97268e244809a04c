//! Log lines about refused requests. An agent says little of why it was refused, so the server's log must.

use actix_web::HttpMessage as _;
use actix_web::HttpRequest;
use actix_web::http::StatusCode;

use super::AgentApi;

/// Longest name of a host and longest path in a line, in characters.
const MAX_TEXT: usize = 100;

/// The sender of a request, as far as it is known.
#[derive(Debug, Clone)]
pub(super) enum Sender {
    Host(i64),
    /// What an agent that enrolls says it is.
    Claims(String),
}

impl Sender {
    /// Notes who sent a request, for the line about its refusal.
    pub fn note(self, request: &HttpRequest) {
        request.extensions_mut().insert(self);
    }
}

/// Whether a node key has told already who sent the request.
pub(super) fn is_sender_known(request: &HttpRequest) -> bool {
    matches!(request.extensions().get::<Sender>(), Some(Sender::Host(_)))
}

/// Logs a refusal, unless one of this endpoint and status was logged a moment ago.
pub(super) fn refused(api: &AgentApi, request: &HttpRequest, handler: &'static str, status: StatusCode, reason: &str) {
    let Some(left_out) = api.fleet.refusals.pass((handler, status.as_u16()), api.fleet.clock.now()) else { return };
    let address = api.keepalive.proxies.client(request).map(tracing::field::display);
    let status = status.as_u16();
    let extensions = request.extensions();
    // Debug, because agents choose these texts.
    match extensions.get::<Sender>() {
        Some(Sender::Host(host_id)) => {
            tracing::warn!(handler, status, ?reason, address, host_id, left_out, "request of an agent refused");
        }
        Some(Sender::Claims(host)) => {
            tracing::warn!(handler, status, ?reason, address, host = ?cut(host), left_out, "request of an agent refused");
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
