//! Where log lines go. A sink says "durable" or says why not; nothing in between.

mod file;
mod stdout;

use std::future::Future;
use std::pin::Pin;

pub use file::{FileSink, Rotation};
pub use stdout::StdoutSink;

/// Why lines were not kept.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);

/// A destination of log lines.
pub trait Sink: std::fmt::Debug + Send + Sync {
    /// Keeps whole lines, each ending in a newline. On `Ok` they are durable (as far as the sink can promise it, see its
    /// own words); on `Err` none of them is there and none will be. Dropping the future does not take the lines back.
    fn append(&self, lines: Vec<u8>) -> Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + '_>>;

    /// Opens the destination anew, after somebody has moved it away.
    fn reopen(&self);
}
