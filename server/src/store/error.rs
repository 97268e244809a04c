use sea_orm::sqlx;
use sea_orm::{DbErr, RuntimeErr, SqlErr};

use super::dialect::SQLITE_BUSY;

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another row has that unique value already.
    #[error("conflict: {0}")]
    Conflict(String),
    /// Somebody else holds what is needed; trying again may help.
    #[error("the database is busy")]
    Busy(#[source] DbErr),
    /// The database does not answer.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// A row cannot be what it should be.
    #[error("{table} {key}: {reason}")]
    Corrupt { table: &'static str, key: String, reason: String },
    #[error("the database refused a statement")]
    Db(#[source] DbErr),
}

pub type Result<T> = std::result::Result<T, Error>;

/// What a transaction can fail with.
pub trait WriteError: From<Error> {
    /// The transaction lost against another and may win when it is tried again.
    fn is_lost_race(&self) -> bool;
}

impl WriteError for Error {
    fn is_lost_race(&self) -> bool {
        // A busy SQLite file has been waited for already, by its busy time-out.
        false
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if let Some(SqlErr::UniqueConstraintViolation(message)) = error.sql_err() {
            return Self::Conflict(message);
        }
        match &error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Self::Unavailable(error.to_string()),
            DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause)) => {
                match cause.as_ref() {
                    sqlx::Error::Database(cause)
                        if cause
                            .code()
                            .and_then(|code| code.parse::<i32>().ok())
                            .is_some_and(|code| code & 0xff == SQLITE_BUSY) =>
                    {
                        Self::Busy(error)
                    }
                    sqlx::Error::PoolTimedOut
                    | sqlx::Error::PoolClosed
                    | sqlx::Error::Io(_)
                    | sqlx::Error::WorkerCrashed => Self::Unavailable(error.to_string()),
                    _ => Self::Db(error),
                }
            }
            _ => Self::Db(error),
        }
    }
}
