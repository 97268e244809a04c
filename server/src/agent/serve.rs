//! Finds the endpoint of a request by its path alone, and serves it before anything else is routed: agents send nearly all
//! requests a server gets, and may put their enroll secret into the query string.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use actix_web::dev::{Payload, Service, ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::Method;
use actix_web::{Error, HttpResponse};
use futures_util::FutureExt as _;
use futures_util::future::{Either, LocalBoxFuture};

use super::request::AgentRequest;
use super::{AgentApi, BASES, answer, carve, config, distributed, enroll, log};
use crate::unread;

/// An endpoint that agents send requests to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AgentPath {
    Enroll,
    Config,
    DistributedRead,
    DistributedWrite,
    Log,
    CarveBegin,
    CarveBlock,
}

impl AgentPath {
    /// The endpoint at a decoded path below `prefix` (`server.url_prefix`).
    fn of(path: &str, prefix: &str) -> Option<Self> {
        let path = path.strip_prefix(prefix)?;
        let name = BASES.iter().find_map(|base| path.strip_prefix(base))?;
        Some(match name {
            "/distributed/read" => Self::DistributedRead,
            "/config" => Self::Config,
            "/log" => Self::Log,
            "/distributed/write" => Self::DistributedWrite,
            "/enroll" => Self::Enroll,
            "/carve/begin" => Self::CarveBegin,
            "/carve/block" => Self::CarveBlock,
            _ => return None,
        })
    }

    // Boxed one by one, so that a request takes the memory of its own endpoint.
    fn answer<'a>(
        self,
        api: &'a AgentApi,
        request: &'a AgentRequest,
        payload: &'a mut Payload,
    ) -> LocalBoxFuture<'a, HttpResponse> {
        match self {
            Self::Enroll => Box::pin(enroll::enroll(api, request, payload)),
            Self::Config => Box::pin(config::config(api, request, payload)),
            Self::DistributedRead => Box::pin(distributed::read(api, request, payload)),
            Self::DistributedWrite => Box::pin(distributed::write(api, request, payload)),
            Self::Log => Box::pin(log::log(api, request, payload)),
            Self::CarveBegin => Box::pin(carve::begin(api, request, payload)),
            Self::CarveBlock => Box::pin(carve::block(api, request, payload)),
        }
    }
}

/// Serves a request of an agent; all others go on to `service`.
pub fn before_routing<S>(
    api: &Arc<AgentApi>,
    prefix: &str,
    request: ServiceRequest,
    service: &S,
) -> impl Future<Output = Result<ServiceResponse, Error>> + use<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse, Error = Error>,
{
    match AgentPath::of(request.match_info().unprocessed(), prefix) {
        Some(path) if request.method() == Method::POST => Either::Left(serve(Arc::clone(api), path, request)),
        _ => Either::Right(service.call(request)),
    }
}

async fn serve(api: Arc<AgentApi>, path: AgentPath, request: ServiceRequest) -> Result<ServiceResponse, Error> {
    let (request, mut payload) = request.into_parts();
    let request = AgentRequest::of(request);
    let answered = AssertUnwindSafe(path.answer(&api, &request, &mut payload)).catch_unwind().await;
    unread::read_rest(&api.lifecycle, payload).await;
    match answered {
        Ok(response) => Ok(ServiceResponse::new(request.into_http(), response)),
        Err(_panic) => {
            tracing::error!(path = request.path(), "a request ran into a fault of the server");
            let is_text = matches!(path, AgentPath::CarveBegin | AgentPath::CarveBlock);
            Err(InternalError::from_response("an endpoint has panicked", answer::fault(is_text)).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_found_below_both_bases_and_the_prefix() {
        for prefix in ["", "/muster"] {
            for base in ["/api/v1/osquery", "/api/osquery"] {
                let found = |name: &str| AgentPath::of(&format!("{prefix}{base}{name}"), prefix);
                assert_eq!(found("/enroll"), Some(AgentPath::Enroll));
                assert_eq!(found("/distributed/read"), Some(AgentPath::DistributedRead));
                assert_eq!(found("/carve/begin"), Some(AgentPath::CarveBegin));
                assert_eq!(found("/carve/block"), Some(AgentPath::CarveBlock));
                for other in ["", "/", "/enroll/", "/enrol", "//enroll", "/Enroll", "/carve"] {
                    assert_eq!(found(other), None, "{other}");
                }
            }
        }
        assert_eq!(AgentPath::of("/api/v1/osquery/enroll", "/muster"), None);
        assert_eq!(AgentPath::of("/muster/api/v1/osquery/enroll", ""), None);
    }
}
