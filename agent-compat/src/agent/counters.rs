//! Counters of what an agent did, for assertions and displays.

use super::{log_buffer::LineKind, request::AgentEndpoint, verdict::Verdict};

/// Exchanges with one endpoint of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointCounters {
    /// Requests handed out for sending, immediate repetitions included.
    pub requests: u64,
    /// Answers judged a success.
    pub successes: u64,
    /// Answers judged a failure, and requests that got none.
    pub failures: u64,
    /// Answers that dropped the node key.
    pub node_invalid: u64,
}

/// Log lines of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LineCounters {
    /// Lines put into the buffer.
    pub produced: u64,
    /// Lines that the server accepted.
    pub acknowledged: u64,
    /// Lines lost because the buffer was full.
    pub purged: u64,
    /// Lines dropped unsent because they were too long or not JSON.
    pub dropped: u64,
}

/// Counts since the agent was created; a restart of its process does not reset them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    endpoints: [EndpointCounters; AgentEndpoint::ALL.len()],
    /// Successful enrollments.
    pub enrollments: u64,
    /// Result lines.
    pub results: LineCounters,
    /// Status lines.
    pub statuses: LineCounters,
    /// Configurations whose bytes differed from the one before.
    pub configs_applied: u64,
    /// When the latest configuration was accepted, Unix time in milliseconds.
    pub last_config_ms: Option<u64>,
    /// Scheduled queries run.
    pub scheduled_runs: u64,
    /// Live queries run.
    pub live_runs: u64,
    /// Times the process was killed and started again.
    pub restarts: u64,
}

impl Counters {
    /// Exchanges with one endpoint.
    #[must_use]
    pub fn endpoint(&self, endpoint: AgentEndpoint) -> EndpointCounters {
        self.endpoints[endpoint as usize]
    }

    /// Requests sent to all endpoints.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.endpoints.iter().map(|endpoint| endpoint.requests).sum()
    }

    /// Answers of all endpoints that dropped the node key.
    #[must_use]
    pub fn node_invalid(&self) -> u64 {
        self.endpoints.iter().map(|endpoint| endpoint.node_invalid).sum()
    }

    /// Lines of one kind.
    #[must_use]
    pub fn lines(&self, kind: LineKind) -> LineCounters {
        match kind {
            LineKind::Result => self.results,
            LineKind::Status => self.statuses,
        }
    }

    pub(super) fn lines_mut(&mut self, kind: LineKind) -> &mut LineCounters {
        match kind {
            LineKind::Result => &mut self.results,
            LineKind::Status => &mut self.statuses,
        }
    }

    pub(super) fn sent(&mut self, endpoint: AgentEndpoint) {
        self.endpoints[endpoint as usize].requests += 1;
    }

    pub(super) fn judged(&mut self, endpoint: AgentEndpoint, verdict: &Verdict) {
        let endpoint = &mut self.endpoints[endpoint as usize];
        match verdict {
            Verdict::Success(_) => endpoint.successes += 1,
            Verdict::Failure(_) => endpoint.failures += 1,
            Verdict::NodeInvalid => endpoint.node_invalid += 1,
        }
    }
}
