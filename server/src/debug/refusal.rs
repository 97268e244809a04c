//! Refusals: a JSON object with `error`, and the status that Fleet's clients expect.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::RETRY_AFTER;
use actix_web::{HttpResponse, ResponseError};
use serde_json::json;

use crate::fleet::Error;

/// Why an item is not shown.
#[derive(Debug)]
pub(super) enum DebugRefusal {
    /// Who asks may not, or the product refuses.
    Fleet(Error),
    /// The request is for another node.
    OtherNode { here: String },
    /// Nothing of the kind exists here, such as InnoDB's status with SQLite.
    NotHere(String),
    /// A parameter is wrong.
    BadParameter(String),
    /// Another caller does the same, which one may at a time.
    Busy { reason: String, retry_after: Duration },
}

pub(super) type DebugAnswer = Result<HttpResponse, DebugRefusal>;

impl From<Error> for DebugRefusal {
    fn from(error: Error) -> Self {
        Self::Fleet(error)
    }
}

impl std::fmt::Display for DebugRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fleet(Error::Unauthenticated) => f.write_str("Please authenticate"),
            Self::Fleet(Error::Forbidden) => f.write_str("/debug is for users with the role admin"),
            Self::Fleet(error) => error.fmt(f),
            Self::OtherNode { here } => write!(f, "this is the node {here}; ask again to reach another one"),
            Self::NotHere(reason) | Self::BadParameter(reason) | Self::Busy { reason, .. } => f.write_str(reason),
        }
    }
}

impl ResponseError for DebugRefusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Fleet(Error::Unauthenticated) => StatusCode::UNAUTHORIZED,
            Self::Fleet(Error::Forbidden) => StatusCode::FORBIDDEN,
            Self::Fleet(Error::NotFound { .. }) => StatusCode::NOT_FOUND,
            Self::Fleet(Error::TooMany { .. }) | Self::Busy { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Fleet(Error::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Fleet(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::OtherNode { .. } => StatusCode::MISDIRECTED_REQUEST,
            Self::NotHere(_) => StatusCode::NOT_IMPLEMENTED,
            Self::BadParameter(_) => StatusCode::BAD_REQUEST,
        }
    }

    fn error_response(&self) -> HttpResponse {
        if let Self::Fleet(Error::Internal(cause)) = self {
            tracing::error!(error = cause.as_ref(), "a debug request failed");
        }
        let mut answer = HttpResponse::build(self.status_code());
        let wait = match self {
            Self::Fleet(Error::TooMany { retry_after }) | Self::Busy { retry_after, .. } => Some(*retry_after),
            Self::Fleet(Error::Unavailable(_)) => Some(Duration::from_secs(1)),
            _ => None,
        };
        if let Some(wait) = wait {
            answer.insert_header((RETRY_AFTER, wait.as_secs().max(1)));
        }
        answer.json(json!({ "error": self.to_string() }))
    }
}
