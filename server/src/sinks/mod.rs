//! Destinations of log lines. A sink answers that all lines of a batch are durable, or that none of them is kept and why.
//!
//! A batch comes as [`LogLines`], in one piece and with the end of each line, so that a sink of records (a topic, a stream)
//! need not look for line ends. A sink does not know hosts and does not drop repeats: `fleet::logs` has done that before.
//! A new sink is a file here, a word of `config::LogPlugin` and an arm in `app::sink`.
//!
//! [`Webhook`] tells others of what happens here.
//!
//! [`CarveStorage`] keeps the contents of carves in the same spirit: it says "durable", or why not, and knows no hosts.

mod carves;
mod file;
mod lines;
mod stdout;
mod webhook;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use anyhow::Context as _;
use muster_tls::TlsPolicy;
use reqwest::Client;

pub use carves::{CarveBucket, CarveFiles, CarveStorage, Put, StorageError};
pub use file::{FileSink, Rotation};
pub use lines::LogLines;
pub use stdout::StdoutSink;
pub use webhook::Webhook;

/// A client for requests to another server, which trusts the certificates in a file, or those of the system. It goes only where it is
/// sent: whatever a request shows is not meant for where an answer leads.
///
/// # Errors
/// When the file cannot be read.
fn http_client(trusted: Option<&Path>, connect_within: Duration, answer_within: Duration) -> anyhow::Result<Client> {
    let tls = trusted.map_or_else(TlsPolicy::platform, TlsPolicy::trusting);
    Client::builder()
        .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(connect_within)
        .timeout(answer_within)
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(tls.client_config()?)
        .build()
        .context("cannot prepare TLS")
}

/// Why lines were not kept.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct SinkError(pub String);

/// A destination of log lines. See the module for what a batch is.
pub trait Sink: std::fmt::Debug + Send + Sync {
    /// The word of settings and metrics for this kind of sink.
    fn name(&self) -> &'static str;

    /// Keeps whole lines, each ending in a newline. On `Ok` they are durable, as far as the sink can promise it (see its
    /// documentation); on `Err` none of them is kept, now or later. Dropping the future does not take the lines back.
    fn append(&self, lines: LogLines) -> Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + '_>>;

    /// Whether appends can succeed at all before a restart.
    ///
    /// # Errors
    /// Why not.
    fn check(&self) -> Result<(), SinkError>;

    /// Opens the destination again, after the operator has moved it away.
    fn reopen(&self);
}
