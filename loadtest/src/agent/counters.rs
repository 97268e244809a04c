//! What an agent has done so far, for assertions and displays.

use super::{log_buffer::LineKind, request::Door, verdict::Verdict};

/// Exchanges with one door of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DoorCounters {
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
    doors: [DoorCounters; Door::ALL.len()],
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
    /// Exchanges with one door.
    #[must_use]
    pub fn door(&self, door: Door) -> DoorCounters {
        self.doors[door as usize]
    }

    /// Requests sent to all doors.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.doors.iter().map(|door| door.requests).sum()
    }

    /// Answers of all doors that dropped the node key.
    #[must_use]
    pub fn node_invalid(&self) -> u64 {
        self.doors.iter().map(|door| door.node_invalid).sum()
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

    pub(super) fn sent(&mut self, door: Door) {
        self.doors[door as usize].requests += 1;
    }

    pub(super) fn judged(&mut self, door: Door, verdict: &Verdict) {
        let door = &mut self.doors[door as usize];
        match verdict {
            Verdict::Success(_) => door.successes += 1,
            Verdict::Failure(_) => door.failures += 1,
            Verdict::NodeInvalid => door.node_invalid += 1,
        }
    }
}
