use std::future::Future;
use std::time::Duration;

use super::{Error, Result};

/// Runs work on the database with a timeout.
///
/// # Errors
/// [`Error::Unavailable`] when the time is up. The database may still be rolling back what was begun.
pub async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Unavailable(format!("the database did not answer within {} ms", limit.as_millis()))),
    }
}
