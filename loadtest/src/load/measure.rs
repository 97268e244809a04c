//! Counters and latency histograms.

use std::time::Duration;

use hdrhistogram::{Counter, Histogram};

/// A request that begins so much after it was due is a late start.
pub const LATE: Duration = Duration::from_millis(100);

/// An endpoint of the agent API, as results name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Enrollment.
    Enroll,
    /// Configuration.
    Config,
    /// Asking for work.
    Read,
    /// Answers.
    Write,
    /// Log lines.
    Log,
}

impl Endpoint {
    /// All of them, in the order of results.
    pub const ALL: [Self; 5] = [Self::Enroll, Self::Config, Self::Read, Self::Write, Self::Log];

    /// Its name in results and flags.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["enroll", "config", "read", "write", "log"][self as usize]
    }
}

/// Reasons for which a request counts as failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An answer with `error`.
    Refused,
    /// An answer that says the key is unknown.
    NodeInvalid,
    /// No connection, or it broke.
    Connection,
    /// No answer within 16 s.
    Timeout,
    /// An answer that is empty, no JSON, or not of the shape it should have.
    BadBody,
    /// The config of another host.
    WrongConfig,
    /// Questions meant for another host.
    WrongWork,
}

impl Fault {
    /// All of them, in the order of results.
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::NodeInvalid,
        Self::Connection,
        Self::Timeout,
        Self::BadBody,
        Self::WrongConfig,
        Self::WrongWork,
    ];

    /// Its name in results.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["refused", "node_invalid", "connection", "timeout", "bad_body", "wrong_config", "wrong_work"][self as usize]
    }
}

/// The numbers of one endpoint.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Requests that came to an end.
    pub requests: u64,
    /// Microseconds from when a request was due.
    pub latency: Histogram<u64>,
    /// Microseconds from when it was sent.
    pub service: Histogram<u64>,
    /// Requests that began late, or had not begun when the run was over.
    pub late: u64,
    /// The latest start.
    pub late_max: Duration,
    /// Requests that took too long, from when they were due.
    pub slow: u64,
    /// Beats that were left out because the agent was busy with earlier ones.
    pub missed: u64,
    /// Requests sent again at once because the connection broke.
    pub resent: u64,
    /// Number of requests by fault.
    pub faults: [u64; Fault::ALL.len()],
    /// One exchange of each fault, in words.
    pub examples: [Option<String>; Fault::ALL.len()],
    /// Bytes of requests, heads included, without what TLS adds.
    pub bytes_out: u64,
    /// Bytes of answers, likewise.
    pub bytes_in: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let histogram = || {
            // Grows to the longest time that was seen. Three digits are always allowed.
            #[expect(clippy::expect_used, reason = "the number of digits is a constant")]
            Histogram::new(3).expect("three digits are allowed")
        };
        Self {
            requests: 0,
            latency: histogram(),
            service: histogram(),
            late: 0,
            late_max: Duration::ZERO,
            slow: 0,
            missed: 0,
            resent: 0,
            faults: [0; Fault::ALL.len()],
            examples: Default::default(),
            bytes_out: 0,
            bytes_in: 0,
        }
    }
}

impl Tally {
    /// Exchanges with a fault.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.faults.iter().sum()
    }

    /// Those with this fault.
    #[must_use]
    pub fn faults_of(&self, fault: Fault) -> u64 {
        self.faults[fault as usize]
    }

    /// The part of requests that was slow.
    #[must_use]
    pub fn slow_share(&self) -> f64 {
        share(self.slow, self.requests)
    }

    pub(super) fn fault(&mut self, fault: Fault, example: impl FnOnce() -> String) {
        self.faults[fault as usize] += 1;
        self.examples[fault as usize].get_or_insert_with(example);
    }

    pub(super) fn lateness(&mut self, late_by: Duration) {
        if late_by > LATE {
            self.late += 1;
        }
        self.late_max = self.late_max.max(late_by);
    }

    /// Adds another thread's or phase's numbers.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        // Both have the same bounds, so adding has no way to fail.
        let _ = self.latency.add(&other.latency);
        let _ = self.service.add(&other.service);
        self.late += other.late;
        self.late_max = self.late_max.max(other.late_max);
        self.slow += other.slow;
        self.missed += other.missed;
        self.resent += other.resent;
        for (sum, more) in self.faults.iter_mut().zip(other.faults) {
            *sum += more;
        }
        for (mine, theirs) in self.examples.iter_mut().zip(&other.examples) {
            if mine.is_none() {
                mine.clone_from(theirs);
            }
        }
        self.bytes_out += other.bytes_out;
        self.bytes_in += other.bytes_in;
    }
}

/// A part of a whole; 0 of nothing.
#[must_use]
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Records a time, at least a microsecond. The histogram grows, so that recording has no way to fail.
pub(super) fn record<C: Counter>(histogram: &mut Histogram<C>, took: Duration) {
    let _ = histogram.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1));
}
