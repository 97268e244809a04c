//! Carrying an agent's requests to the server.

mod direct;
mod http1;
mod tls;

use std::{future::Future, time::Duration};

use bytes::Bytes;

pub use direct::Direct;
pub use http1::{RawResponse, read_raw, read_response};
pub use tls::{Trust, client_config};

use crate::agent::{Outcome, Request, Thread};

/// A complete answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status code, for inspection: agents ignore it.
    pub status: u16,
    /// Headers in the order of the wire.
    pub headers: Vec<(String, String)>,
    /// Body without transfer coding, and without compression if the request allowed it.
    pub body: Bytes,
}

impl Response {
    /// The first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The time given for the request passed.
    #[error("the request timed out")]
    Timeout,
    /// The connection failed before a complete answer, or the answer broke a limit of the agent.
    #[error("{0}")]
    Broken(String),
}

impl From<std::io::Error> for TransportError {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// Why a transport cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address is not `http://host[:port]` or `https://host[:port]`.
    #[error("not a server address: {0}")]
    Address(String),
    /// The certificates cannot be read.
    #[error("cannot use the server certificates: {0}")]
    Certificates(String),
}

/// A way to the server.
pub trait Transport: Send + Sync {
    /// Sends one request of a thread and waits at most `within` for the complete answer.
    ///
    /// Dropping the future abandons the request; the server may or may not have seen it.
    fn send(
        &self,
        thread: Thread,
        request: &Request,
        within: Duration,
    ) -> impl Future<Output = Result<Response, TransportError>> + Send;
}

/// Result of a request as the agent sees it.
#[must_use]
pub fn outcome(result: &Result<Response, TransportError>) -> Outcome {
    match result {
        Ok(response) => Outcome::Answer(response.body.clone()),
        Err(TransportError::Timeout) => Outcome::Timeout,
        Err(TransportError::Broken(reason)) => Outcome::Broken(reason.clone()),
    }
}
