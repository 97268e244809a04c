use std::borrow::Cow;
use std::error::Error as _;
use std::pin::Pin;

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::ContentType;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use muster_api::osquery::{ReadError, answer};
use tokio::time::Instant;

use super::in_time::{CutShort, in_time};
use super::request::AgentRequest;
use super::{AgentApi, certificate, refusal_log};
use crate::fleet::Error;
use crate::telemetry::{HandlerMetrics, Metrics};
use crate::under_way::Ongoing;

/// Why a request of an agent is refused.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The database has confirmed that the node key does not exist. The agent enrolls again.
    InvalidKey(Cow<'static, str>),
    /// The agent keeps its data and tries again.
    Error(StatusCode, String),
    /// As above, for a fault of the server, of which agents need not know more.
    Fault(Error),
}

pub(super) type AgentAnswer = Result<Bytes, Refusal>;

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Invalid(problems) => {
                let reason = problems.first().map_or_else(|| error.to_string(), |problem| problem.reason.clone());
                return Self::Error(StatusCode::BAD_REQUEST, reason);
            }
            Error::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Error::Forbidden | Error::Closed(_) | Error::Unauthenticated | Error::NotAdmitted(_) => {
                StatusCode::FORBIDDEN
            }
            Error::AlreadyExists { .. } | Error::ChangedMeanwhile(_) | Error::Outdated(_) => StatusCode::CONFLICT,
            Error::NotFound { .. } => StatusCode::NOT_FOUND,
            Error::Internal(_) => return Self::Fault(error),
        };
        Self::Error(status, error.to_string())
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Self::Error(StatusCode::BAD_REQUEST, error.to_string())
    }
}

/// How an endpoint says no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefusalForm {
    /// As JSON with `error`, which agents take for a failure.
    Json,
    /// As text: agents take any JSON for success here.
    Text,
    /// As text if the agent is to try again at once. JSON with `error` makes it give up.
    TextIfForNow,
}

impl RefusalForm {
    fn is_text(self, status: StatusCode) -> bool {
        match self {
            Self::Json => false,
            Self::Text => true,
            Self::TextIfForNow => {
                status.is_server_error()
                    || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status)
            }
        }
    }
}

/// An endpoint of agents, and its counters.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    /// As metrics and log lines name it.
    pub name: &'static str,
    refusals: RefusalForm,
    metrics: HandlerMetrics,
}

impl Endpoint {
    pub(super) fn new(name: &'static str, metrics: &Metrics) -> Self {
        Self { name, refusals: RefusalForm::Json, metrics: metrics.handler(name) }
    }

    pub(super) fn refusing(self, refusals: RefusalForm) -> Self {
        Self { refusals, ..self }
    }
}

/// Runs `work` and answers within `osquery.answer_timeout`, or with a refusal. Counts the request. Endpoints pin what they
/// give it, which would be copied from hand to hand otherwise.
pub(super) async fn answer(
    api: &AgentApi,
    request: &AgentRequest,
    endpoint: &Endpoint,
    work: Pin<&mut impl Future<Output = AgentAnswer>>,
) -> HttpResponse<BoxBody> {
    let start = Instant::now();
    #[cfg(feature = "planted-faults")]
    api.planted.delay().await;
    let under_way = Ongoing::of_agent(endpoint.name, start.into_std());
    let outcome = match certificate::refusal(api, request) {
        Some(refusal) => Ok(Err(refusal)),
        None => under_way.run(in_time(&api.lifecycle, start + api.answer_timeout, work)).await,
    };
    let _entered = under_way.enter();
    let outcome = outcome.unwrap_or_else(|reason| {
        let (limit, reason) = match reason {
            CutShort::Late => ("answer_timeout", "not done in time; try again"),
            CutShort::Hurried => ("shutdown_timeout", "the server is stopping; try again"),
        };
        api.metrics.limit_hit(limit);
        Err(Refusal::Error(StatusCode::SERVICE_UNAVAILABLE, reason.to_owned()))
    });
    let (status, content_type, body) = match outcome {
        Ok(body) => (StatusCode::OK, ContentType::json(), body),
        Err(refusal) => refuse(api, request, endpoint, &refusal),
    };
    endpoint.metrics.answered(status.as_str(), start.elapsed(), request.bytes_read());
    endpoint.metrics.sent(body.len() as u64);
    let mut response = HttpResponse::build(status);
    response.content_type(content_type);
    if !api.keepalive.keeps(request.peer_addr()) {
        response.force_close();
    }
    response.body(body)
}

/// The status, type and body of a refusal, which is logged.
fn refuse(
    api: &AgentApi,
    request: &AgentRequest,
    endpoint: &Endpoint,
    refusal: &Refusal,
) -> (StatusCode, ContentType, Bytes) {
    let log = |status, reason: &str| refusal_log::refused(api, request, endpoint.name, status, reason);
    let (status, reason, json) = match refusal {
        Refusal::InvalidKey(reason) => {
            log(StatusCode::UNAUTHORIZED, reason);
            (StatusCode::UNAUTHORIZED, reason.clone().into_owned(), answer::invalid_key(reason))
        }
        Refusal::Error(status, reason) => {
            log(*status, reason);
            (*status, reason.clone(), answer::refused(reason))
        }
        Refusal::Fault(error) => {
            let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            log(StatusCode::INTERNAL_SERVER_ERROR, &cause);
            (StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), answer::refused(&error.to_string()))
        }
    };
    if endpoint.refusals.is_text(status) {
        return (status, ContentType::plaintext(), answer::carve_refused(&reason).into());
    }
    (status, ContentType::json(), json.into())
}

/// The answer to a request that ran into a fault of the server. `is_text` if JSON would be taken for success.
pub(super) fn fault(is_text: bool) -> HttpResponse<BoxBody> {
    let mut response = HttpResponse::InternalServerError();
    if is_text {
        return response.content_type(ContentType::plaintext()).body(answer::carve_refused("internal error"));
    }
    response.content_type(ContentType::json()).body(answer::refused("internal error"))
}

/// A refusal for a path that nobody serves. Agents take any JSON for the success of a block of a carve, so whoever may mean that path
/// gets text.
fn refused_where_nobody_is(request: &HttpRequest, reason: &str) -> (ContentType, Vec<u8>) {
    if request.path().contains("carve") {
        return (ContentType::plaintext(), answer::carve_refused(reason));
    }
    (ContentType::json(), answer::refused(reason))
}

/// Answers a path or method that no agent uses.
pub(super) async fn no_such_endpoint(api: web::Data<AgentApi>, request: HttpRequest) -> HttpResponse<BoxBody> {
    let reason = "no such endpoint; check the agent's *_tls_endpoint flags, and that it sends POST";
    let (kind, body) = refused_where_nobody_is(&request, reason);
    refusal_log::refused(&api, &AgentRequest::of(request), "no_such_endpoint", StatusCode::NOT_FOUND, reason);
    HttpResponse::NotFound().content_type(kind).force_close().body(body)
}

/// Answers agents that ask where they are not served.
pub(super) fn elsewhere(
    reason: &str,
) -> impl Fn(web::Data<AgentApi>, HttpRequest) -> std::future::Ready<HttpResponse<BoxBody>> + Clone + use<> {
    let reason: std::sync::Arc<str> = reason.into();
    move |api, request| {
        let status = StatusCode::MISDIRECTED_REQUEST;
        let (kind, body) = refused_where_nobody_is(&request, &reason);
        refusal_log::refused(&api, &AgentRequest::of(request), "elsewhere", status, &reason);
        let mut response = HttpResponse::build(status);
        std::future::ready(response.content_type(kind).force_close().body(body))
    }
}
