//! The model of an agent. It performs no input or output and owns no clock.
//!
//! A driver asks each [`Thread`] for its [`Next`] step, sends what it is given, reports the [`Outcome`], and calls
//! [`Agent::tick`] about once a second to run what the schedule says.

mod calendar;
pub mod chance;
mod config;
mod counters;
mod decorations;
mod differential;
mod distributed;
pub mod document;
mod enroll;
mod flags;
mod identity;
mod json;
mod lines;
mod log_buffer;
mod logger;
mod options;
mod own_tables;
mod request;
mod schedule;
mod scheduler;
mod shared;
mod simulated;
mod step;
mod verdict;
mod version;
mod worker;

use std::{fmt, sync::Arc};

pub use calendar::{calendar_time, civil};
pub use counters::{Counters, EndpointCounters, LineCounters};
pub use distributed::LiveResult;
pub use flags::{Flags, Paths};
pub use identity::{Hardware, Identity, OsVersion, Platform};
pub use json::push_row as distributed_row;
pub use log_buffer::LineKind;
pub use request::{AgentEndpoint, Next, Outcome, REQUEST_DEADLINE_MS, Request, Thread};
pub use schedule::splayed_s;
pub use step::ExchangeStep;
pub use verdict::Verdict;
pub use version::Version;
pub use worker::Done;

use self::{
    config::ConfigState, decorations::Decorations, distributed::Live, log_buffer::LogBuffer, logger::Delivery,
    own_tables::OwnView, schedule::Schedule, worker::Worker,
};
use crate::tables::{Context, Cost, Row, Tables};

/// Is called for every log line, to account for what was produced and what the server accepted.
pub trait Observer: Send {
    /// A line entered the buffer.
    fn line_produced(&mut self, _kind: LineKind, _line: &[u8]) {}

    /// The server accepted a line.
    fn line_acknowledged(&mut self, _kind: LineKind, _line: &[u8]) {}
}

/// Says whether running this SQL gets the agent's process killed, as a watchdog would.
pub type Killer = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The running process; replaced when it is killed.
#[derive(Clone, Copy, Debug)]
struct Process {
    pid: u32,
    start_time_s: u64,
}

/// One agent: what osqueryd keeps on disk and in memory.
pub struct Agent {
    identity: Arc<Identity>,
    version: Version,
    /// As given on the command line; a new process starts from these.
    command_line: Arc<Flags>,
    flags: Arc<Flags>,
    tables: Box<dyn Tables>,
    node_key: String,
    process: Process,
    workers: [Worker; 3],
    /// The thread that is enrolling; the others wait for it.
    enrolling: Option<Thread>,
    config: ConfigState,
    schedule: Schedule,
    decorations: Decorations,
    last_tick_s: u64,
    logs: LogBuffer,
    delivery: Delivery,
    live: Live,
    counters: Counters,
    observer: Option<Box<dyn Observer>>,
    killer: Option<Killer>,
    stands_still: bool,
}

impl Agent {
    /// The release of osquery.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// An agent whose process starts now and that has never enrolled.
    #[must_use]
    pub fn new(
        identity: impl Into<Arc<Identity>>,
        flags: impl Into<Arc<Flags>>,
        tables: Box<dyn Tables>,
        now_ms: u64,
    ) -> Self {
        let (identity, flags) = (identity.into(), flags.into());
        let version = Version::parse(&identity.osquery_version);
        let mut agent = Self {
            version,
            command_line: Arc::clone(&flags),
            flags,
            tables,
            node_key: String::new(),
            process: Process { pid: 0, start_time_s: now_ms / 1000 },
            workers: [Worker::due(now_ms), Worker::off(), Worker::off()],
            enrolling: None,
            config: ConfigState::default(),
            schedule: Schedule::default(),
            decorations: Decorations::default(),
            last_tick_s: now_ms / 1000,
            logs: LogBuffer::default(),
            delivery: Delivery::default(),
            live: Live::default(),
            counters: Counters::default(),
            observer: None,
            killer: None,
            stands_still: false,
            identity,
        };
        agent.new_process(now_ms);
        agent
    }

    /// Sets the observer of log lines.
    pub fn observe(&mut self, observer: Box<dyn Observer>) {
        self.observer = Some(observer);
    }

    /// Sets which SQL kills the process; `None` for none.
    pub fn set_killer(&mut self, killer: Option<Killer>) {
        self.killer = killer;
    }

    /// Sets whether the schedule stands still: the agent checks in, and runs no scheduled query.
    pub fn set_stands_still(&mut self, stands_still: bool) {
        self.stands_still = stands_still;
    }

    /// Identity of this agent.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The flags in force.
    #[must_use]
    pub fn flags(&self) -> &Flags {
        &self.flags
    }

    /// Counts since the agent was made.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The node key to keep for a later run; `None` while there is none.
    #[must_use]
    pub fn export_key(&self) -> Option<&str> {
        (!self.node_key.is_empty()).then_some(self.node_key.as_str())
    }

    /// Starts from a node key of an earlier run. An empty key means none.
    pub fn import_key(&mut self, key: impl Into<String>) {
        self.node_key = key.into();
    }

    /// `osquery_info.config_hash`: empty until the first configuration.
    #[must_use]
    pub fn config_hash(&self) -> &str {
        &self.config.hash
    }

    /// Log lines not yet accepted.
    #[must_use]
    pub fn buffered_lines(&self) -> usize {
        self.logs.len()
    }

    /// The process is killed and started again: memory is lost, the database stays.
    pub fn restart(&mut self, now_ms: u64) {
        self.counters.restarts += 1;
        self.new_process(now_ms);
        self.flags = Arc::clone(&self.command_line);
        self.enrolling = None;
        self.config = ConfigState::default();
        self.decorations = Decorations::default();
        self.schedule.restart(self.version);
        self.logs.restart();
        self.delivery = Delivery::default();
        self.live.restart();
        self.last_tick_s = now_ms / 1000;
        for (worker, thread) in self.workers.iter_mut().zip(Thread::ALL) {
            worker.restart((thread == Thread::Config).then_some(now_ms));
        }
    }

    /// Stores a result line as if a scheduled query had produced it. Lines that are not JSON are dropped when sent.
    pub fn push_result_line(&mut self, line: impl Into<Box<[u8]>>, now_ms: u64) {
        self.push_foreign(LineKind::Result, line.into(), now_ms);
    }

    /// Stores a status line as if the agent had written it. Lines that are not JSON are dropped when sent.
    pub fn push_status_line(&mut self, line: impl Into<Box<[u8]>>, now_ms: u64) {
        self.push_foreign(LineKind::Status, line.into(), now_ms);
    }

    fn push_foreign(&mut self, kind: LineKind, line: Box<[u8]>, now_ms: u64) {
        // The agent does not look at the encoding of strings, only at the grammar.
        let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&String::from_utf8_lossy(&line)).is_ok();
        self.push_line(kind, line, now_ms, is_json);
    }

    fn push_line(&mut self, kind: LineKind, line: Box<[u8]>, now_ms: u64, is_json: bool) {
        self.counters.lines_mut(kind).produced += 1;
        if let Some(observer) = &mut self.observer {
            observer.line_produced(kind, &line);
        }
        self.logs.push(kind, line, now_ms / 1000, is_json);
    }

    /// Runs SQL on the tables of this host. The error is the message that the agent would report.
    pub fn ask(&mut self, sql: &str, now_ms: u64) -> (Result<Vec<Row>, String>, Cost) {
        let own = OwnView {
            identity: &self.identity,
            version: self.version,
            process: self.process,
            config: &self.config,
            schedule: &self.schedule,
            flags: &self.flags,
        };
        let context = Context { now_ms, identity: &self.identity, own: &own };
        let rows = self.tables.query(sql, &context);
        (rows, self.tables.last_cost())
    }

    fn new_process(&mut self, now_ms: u64) {
        let start_time_s = now_ms / 1000;
        let pid = 300 + chance::below(self.identity.seed, start_time_s ^ self.counters.restarts, 30_000);
        self.process = Process { pid: u32::try_from(pid).unwrap_or(1), start_time_s };
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("host_identifier", &self.identity.host_identifier)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
