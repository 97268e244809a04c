/// The part of the server's errors that its connections give.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    #[error("{0}")]
    Unavailable(String),
    #[error("{0}")]
    Busy(String),
    #[error("{0}")]
    Slow(String),
}
