use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;

use super::{LogLines, Sink, SinkError};

/// Writes lines to the standard output, for containers whose runtime collects it. Durable means no more than handed over
/// and flushed: what the reader of the pipe does with the lines cannot be seen.
#[derive(Debug, Default)]
pub struct StdoutSink;

impl Sink for StdoutSink {
    fn name(&self) -> &'static str {
        "stdout"
    }

    fn append(&self, lines: LogLines) -> Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + '_>> {
        Box::pin(async move {
            let written = tokio::task::spawn_blocking(move || {
                let mut out = std::io::stdout().lock();
                out.write_all(lines.as_bytes()).and_then(|()| out.flush())
            })
            .await;
            match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(SinkError(format!("writing to stdout failed: {error}"))),
                Err(_) => Err(SinkError("writing to stdout was cut short".to_owned())),
            }
        })
    }

    fn check(&self) -> Result<(), SinkError> {
        Ok(())
    }

    fn reopen(&self) {}
}
