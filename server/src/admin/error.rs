//! Translates errors to the statuses and bodies that Fleet's clients expect.

use std::time::Duration;

use actix_web::body::BoxBody;
use actix_web::error::JsonPayloadError;
use actix_web::http::header::{ContentType, RETRY_AFTER};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use muster_api::osquery::answer::carve_refused;
use muster_api::rest::{BASES, ErrorBody, FieldError};
use uuid::Uuid;

use super::answer::json;
use super::foreign;
use crate::fleet::Error;

/// A failed operation.
#[derive(Debug)]
pub(super) struct Failed(pub Error);

pub(super) type AdminAnswer = Result<HttpResponse, Failed>;

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self(error)
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Failed {
    /// The status that REST and pages answer with.
    pub(super) fn status_of(error: &Error) -> StatusCode {
        match error {
            Error::NotFound { .. } => StatusCode::NOT_FOUND,
            Error::AlreadyExists { .. } | Error::ChangedMeanwhile(_) | Error::Outdated(_) => StatusCode::CONFLICT,
            Error::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Error::Forbidden | Error::Closed(_) => StatusCode::FORBIDDEN,
            Error::Unauthenticated | Error::NotAdmitted(_) => StatusCode::UNAUTHORIZED,
            Error::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Error::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl ResponseError for Failed {
    fn status_code(&self) -> StatusCode {
        Self::status_of(&self.0)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let base = |reason: &str| vec![FieldError { name: "base".to_owned(), reason: reason.to_owned() }];
        let mut uuid = None;
        let (message, errors) = match &self.0 {
            Error::NotFound { .. } => ("Resource Not Found", base(&self.0.to_string())),
            Error::AlreadyExists { .. } => ("Resource Already Exists", base(&self.0.to_string())),
            Error::ChangedMeanwhile(_) | Error::Outdated(_) => ("Resource Changed", base(&self.0.to_string())),
            Error::Invalid(problems) => (
                "Validation Failed",
                problems.iter().map(|p| FieldError { name: p.path.clone(), reason: p.reason.clone() }).collect(),
            ),
            Error::Forbidden => ("Permission Denied", base("forbidden")),
            Error::Closed(reason) => ("Permission Denied", base(reason)),
            Error::NotAdmitted(reason) => ("Authentication Failed", base(reason)),
            Error::Unauthenticated => ("Authentication Failed", base("Authentication failed")),
            Error::TooMany { .. } => ("Too many requests", base("too many requests; wait and try again")),
            Error::Unavailable(reason) => ("Temporarily Unavailable", base(&format!("{reason}; try again"))),
            Error::Internal(cause) => {
                let id = Uuid::new_v4().to_string();
                tracing::error!(error = cause.as_ref(), uuid = id, "a REST request failed");
                uuid = Some(id);
                ("Unknown Error", base("internal error; the server's log has the cause under this uuid"))
            }
        };
        let mut response = json(self.status_code(), &ErrorBody { uuid, ..ErrorBody::new(message, errors) });
        let retry_after = match &self.0 {
            Error::TooMany { retry_after } => Some(*retry_after),
            Error::Unavailable(_) => Some(Duration::from_secs(1)),
            _ => None,
        };
        if let Some(wait) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, wait.as_secs().max(1).into());
        }
        response
    }
}

fn bad_request(status: StatusCode, reason: String) -> HttpResponse {
    let errors = vec![FieldError { name: "base".to_owned(), reason }];
    json(status, &ErrorBody::new("Bad request", errors))
}

/// Refuses a body that is not the JSON of the operation.
pub(super) fn bad_json(error: JsonPayloadError) -> actix_web::Error {
    let status = match &error {
        JsonPayloadError::Overflow { .. } | JsonPayloadError::OverflowKnownLength { .. } => {
            StatusCode::PAYLOAD_TOO_LARGE
        }
        JsonPayloadError::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        _ => StatusCode::BAD_REQUEST,
    };
    let reason = match &error {
        JsonPayloadError::ContentType => "send the body as Content-Type: application/json".to_owned(),
        error => error.to_string(),
    };
    actix_web::error::InternalError::from_response(error, bad_request(status, reason)).into()
}

/// Refuses a query string or path.
pub(super) fn bad_parameter(reason: impl Into<String>) -> actix_web::Error {
    let reason = reason.into();
    actix_web::error::InternalError::from_response(reason.clone(), bad_request(StatusCode::BAD_REQUEST, reason)).into()
}

/// Answers requests with a path or method that is not part of the API. Agents take any JSON for the success of a block of a carve, so
/// whoever may be one with a mistyped path gets text.
pub(super) async fn no_such_operation(request: HttpRequest) -> HttpResponse {
    let path = request.path();
    if path.contains("carve") && request.method() == Method::POST && !BASES.iter().any(|base| path.contains(base)) {
        let reason = "no such endpoint; check the agent's *_tls_endpoint flags";
        return HttpResponse::NotFound().content_type(ContentType::plaintext()).body(carve_refused(reason));
    }
    let why = foreign::why(request.path()).map(|why| format!(": {why}")).unwrap_or_default();
    let errors = vec![FieldError { name: "base".to_owned(), reason: format!("no such operation{why}") }];
    json(StatusCode::NOT_FOUND, &ErrorBody::new("Resource Not Found", errors))
}

/// Answers what is asked of the wrong address. Not 404, which clients take for an object that is not there.
pub fn not_here(reason: &str) -> HttpResponse {
    let errors = vec![FieldError { name: "base".to_owned(), reason: reason.to_owned() }];
    json(StatusCode::MISDIRECTED_REQUEST, &ErrorBody::new("Misdirected Request", errors))
}
