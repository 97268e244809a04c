use sea_orm::DbErr;

use super::dialect::{Failure, failure};

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another row has that unique value already.
    #[error("conflict: {0}")]
    Conflict(String),
    /// Somebody else holds what is needed; trying again may help.
    #[error("the database is busy")]
    Busy(#[source] DbErr),
    /// The database does not answer, or takes no writes.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// A row cannot be what it should be.
    #[error("{table} {key}: {reason}")]
    Corrupt { table: &'static str, key: String, reason: String },
    #[error("the database refused a statement")]
    Db(#[source] DbErr),
}

impl Error {
    /// Whether one of several rows of the transaction may be to blame, so that the others can be written without it.
    pub fn may_be_of_one_row(&self) -> bool {
        match self {
            Self::Conflict(_) | Self::Corrupt { .. } | Self::Db(_) => true,
            Self::Busy(cause) => failure(cause) != Some(Failure::Busy),
            Self::Unavailable(_) => false,
        }
    }
}

pub type Result<T> = std::result::Result<T, Error>;

/// What a transaction can fail with.
pub trait WriteError: From<Error> {
    /// The transaction lost against another and may win when it is tried again. What the database itself said so of is
    /// tried again in any case.
    fn is_lost_race(&self) -> bool {
        false
    }
}

impl WriteError for Error {
    fn is_lost_race(&self) -> bool {
        matches!(self, Self::Busy(cause) if failure(cause) == Some(Failure::LostRace))
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        match failure(&error) {
            Some(Failure::Duplicate) => Self::Conflict(error.to_string()),
            Some(Failure::LostRace | Failure::LockWait | Failure::Busy) => Self::Busy(error),
            Some(Failure::ReadOnly | Failure::Unavailable) => Self::Unavailable(error.to_string()),
            None => Self::Db(error),
        }
    }
}
