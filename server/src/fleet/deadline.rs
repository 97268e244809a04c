use std::future::Future;
use std::time::Duration;

use super::{Error, Result};

/// Gives work on the database so long and no longer.
///
/// # Errors
/// [`Error::Unavailable`] when the time is up; what was begun may still be undone behind the scenes.
pub async fn within<T>(limit: Duration, work: impl Future<Output = Result<T>>) -> Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::Unavailable(format!("the database did not answer within {} ms", limit.as_millis()))),
    }
}
