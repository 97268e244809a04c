use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;

use super::AgentApi;
use super::answer::Refusal;
use super::request::{AgentRequest, Sender};
use crate::fleet::hosts::{Authenticated, Host};

/// The key in the `Authorization` header, which agents send from 5.23 on.
pub(super) fn in_header(request: &HttpRequest) -> Option<&str> {
    let (scheme, key) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("NodeKey").then_some(key.trim())
}

/// Finds the host of a request by the key in the body, or by the one in the header if the body has none.
pub(super) async fn authenticate(
    api: &AgentApi,
    in_header: Option<&str>,
    in_body: Option<&str>,
) -> Result<Arc<Host>, Refusal> {
    let key = in_body.filter(|key| !key.is_empty()).or(in_header).unwrap_or_default();
    if key.is_empty() {
        return Err(Refusal::InvalidKey("authentication error: missing node key".into()));
    }
    match api.fleet.hosts.authenticate(key).await? {
        Authenticated::Host(host) => Ok(host),
        Authenticated::Unknown => Err(Refusal::InvalidKey("authentication error: invalid node key".into())),
    }
}

/// As [`authenticate`], and notes the host for the log line of a refusal.
pub(super) async fn identify(
    api: &AgentApi,
    request: &AgentRequest,
    in_body: Option<&str>,
) -> Result<Arc<Host>, Refusal> {
    let host = authenticate(api, in_header(request), in_body).await?;
    if !request.is_from_a_host() {
        api.metrics.checkins.inc();
    }
    request.is_from(Sender::Host(host.id));
    Ok(host)
}

/// Whether the header tells the sender, who is noted then. Refuses a request whose header has an unknown key before its
/// body is read.
pub(super) async fn is_header_known(api: &AgentApi, request: &AgentRequest) -> Result<bool, Refusal> {
    let is_there = in_header(request).is_some();
    if is_there {
        identify(api, request, None).await?;
    }
    Ok(is_there)
}
