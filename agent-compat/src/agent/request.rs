//! Requests of an agent, and the threads that make them.

use std::sync::Arc;

use bytes::Bytes;

/// Timeout of one request, its immediate repetition included, in milliseconds.
pub const REQUEST_DEADLINE_MS: u64 = 16_000;

/// The kinds of request an agent makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AgentEndpoint {
    /// Asks for a node key.
    Enroll,
    /// Fetches the configuration.
    Config,
    /// Delivers log lines.
    Log,
    /// Asks for live queries.
    DistributedRead,
    /// Delivers results of live queries.
    DistributedWrite,
}

impl AgentEndpoint {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Enroll, Self::Config, Self::Log, Self::DistributedRead, Self::DistributedWrite];
}

/// One POST request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Endpoint of the request.
    pub endpoint: AgentEndpoint,
    /// Path on the server.
    pub path: Arc<str>,
    /// Headers in the order of the wire, without `Host` and `Content-Length`, which the transport adds.
    pub headers: Vec<(&'static str, String)>,
    /// Body.
    pub body: Bytes,
    /// When the agent gives up, Unix time in milliseconds.
    pub deadline_ms: u64,
}

/// Result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The body of a complete answer, whatever its status.
    Answer(Bytes),
    /// The deadline passed.
    Timeout,
    /// The connection failed before a complete answer.
    Broken(String),
}

/// The threads of an agent that talk to the server. Each does one thing at a time, independently of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Thread {
    /// Refreshes the configuration.
    Config,
    /// Delivers log lines.
    Logger,
    /// Serves live queries.
    Distributed,
}

impl Thread {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Config, Self::Logger, Self::Distributed];
}

/// Next step of a thread.
#[derive(Clone, Debug)]
pub enum Next {
    /// Send this and report the outcome.
    Send(Request),
    /// Ask again at this time, Unix milliseconds, or after any other thread reported an outcome. `u64::MAX`: only then.
    WaitUntil(u64),
}
