use std::time::Duration;

use crate::store;

/// Why an operation failed, by what the caller can do next.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object does not exist, or the caller may not see it.
    #[error("{kind} {key} was not found in the datastore")]
    NotFound { kind: &'static str, key: String },
    /// Another object has the name.
    #[error("{kind} {name} already exists in the datastore")]
    AlreadyExists { kind: &'static str, name: String },
    /// The contents are invalid; each problem has its path.
    #[error("validation failed: {}", .0.first().map_or_else(String::new, ToString::to_string))]
    Invalid(Vec<Problem>),
    /// The object is not as the caller has seen it.
    #[error("somebody else has changed {0} meanwhile")]
    ChangedMeanwhile(&'static str),
    /// What was planned would change something else by now; says what.
    #[error("{0}")]
    Outdated(String),
    #[error("forbidden")]
    Forbidden,
    /// Nobody may change anything now; says why.
    #[error("{0}")]
    Closed(String),
    #[error("authentication failed")]
    Unauthenticated,
    /// The credential is known, but not good any more; the text says why.
    #[error("{0}")]
    NotAdmitted(String),
    /// Too many requests; try again later.
    #[error("too many requests")]
    TooMany { retry_after: Duration },
    /// A component does not answer; try again later.
    #[error("{0}; try again")]
    Unavailable(String),
    /// A fault of the server.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

pub type Result<T> = std::result::Result<T, Error>;

/// One problem and its path, such as `documents[2].spec.name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub path: String,
    pub reason: String,
}

impl Problem {
    pub fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path, self.reason)
    }
}

impl Error {
    pub fn invalid(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid(vec![Problem::new(path, reason)])
    }

    /// There is no `kind` of this id.
    pub fn no_such(kind: &'static str, id: i64) -> Self {
        Self::NotFound { kind, key: format!("with id={id}") }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        match error {
            store::Error::Busy(_) => Self::Unavailable("the database is busy".to_owned()),
            store::Error::Unavailable(reason) => {
                tracing::error!(%reason, "the database does not answer");
                Self::Unavailable("the database is unavailable".to_owned())
            }
            other => Self::Internal(Box::new(other)),
        }
    }
}

impl store::WriteError for Error {}

/// Fails if there are problems.
pub(super) fn none_of(problems: Vec<Problem>) -> Result<()> {
    if problems.is_empty() { Ok(()) } else { Err(Error::Invalid(problems)) }
}
