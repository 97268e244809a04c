//! Live queries: durable jobs that ask hosts now and account for every one of them. Watching is a view on a job.
//!
//! # A job
//! The row of a job holds the SQL, the deadline and one compressed bitmap of hosts per state. Every target is in
//! exactly one state, so the counts always add up. [`Job`] holds the same in memory and is the only truth about its
//! targets on this node; a host in memory keeps no copy ([`HostLiveState`]). Each node folds its view of a job from the
//! events on the bus (`fold.rs`), and the leader writes checkpoints of the states and the cost every second. After a
//! restart a job goes on from its checkpoint and its events. The embedded bus makes events of the answers that the
//! checkpoint does not cover, which may take a while; until then the job is resuming, and no host is sent its query.
//!
//! # States of a target
//! ```text
//! start of the job
//!     │
//!     ▼
//! ┌─────────┐   check-in    ┌──────┐
//! │ Pending │ ────────────▶ │ Sent │ ──┬── overdue ───────▶ Suspect, Lost
//! │         │ ◀──────────── │      │   └── too large ─────▶ Failed
//! └─────────┘  retry alone  └──────┘
//!     │                         │
//!     └────────────┬────────────┘
//!                  ├── answer ───────▶ Answered, Failed, Denylisted, Skipped
//!                  ├── host deleted ─▶ Gone
//!                  └── job ends ─────▶ Expired, Cancelled
//! ```
//! Pending and sent targets are open. Every change of a target is one step on the bus, so that of all who try one
//! succeeds, and each step leaves one event, which all nodes fold:
//!
//! | from | to | made by | step | event |
//! |---|---|---|---|---|
//! | – | pending | the node an operator starts the job at (`operate.rs`) | `open` | – |
//! | pending | sent | the node a target checks in at (`questions.rs`) | `claim` | `Sent` |
//! | sent | pending, `retry_alone` | the node a target checks in at, when its answer is overdue for the first time, or was too large together with others | `unclaim` | `Pending` |
//! | pending, sent | answered, failed, denylisted | the node that gets the answer (`answers.rs`) | `answer` | `Settled` |
//! | pending, sent | skipped | the node that gets the answer to the sentinel without one to the query | `answer` | `Settled` |
//! | sent | suspect | the node a target checks in at, when it was sent the query alone and shows a sign of a restart | `answer` | `Settled` |
//! | sent | suspect | the node that gets the answer, when the agent has denylisted the query after it lost an answer (`worker.rs`) | `answer` | `Settled` |
//! | sent | lost | the node a target checks in at, when its answer is overdue for the second time | `answer` | `Settled` |
//! | sent | failed | the node that throws away the answer, when it was alone and too large | `answer` | `Settled` |
//! | pending, sent | gone | the node that deletes the host (`sweep.rs`) | `answer`, without a line | `Settled` |
//! | pending, sent | expired, cancelled | whoever ends the job: the deadline, an operator, the last watcher, harm to hosts (`verdict.rs`) | `close` | `Closed` |
//! | sent | pending | the first node that finds the job missing on the bus | `open` | `Restored` |
//! | sent | pending, `retry_alone` | a node with the embedded bus, at its start | – | – |
//!
//! A final state stays, with two exceptions: `Restored` sets all states to those of the node that made the job anew,
//! which may not have folded the last answers; and after a failover of Redis that lost the newest events, all views begin
//! anew with those that are left. The end of a job is whatever event comes first: the last host that is
//! settled, or `Closed`. Whoever closes a job writes its row; a row that says how a job ended is not written over.
//!
//! # A check-in
//! A check-in of a host that is an open target of no job compares two counts, however many jobs are open. Otherwise the
//! open targets of the host are read from the open jobs (`open_targets.rs`). Live queries never share a read with
//! questions about the host, and at most eight go into one. A job with a discovery query is sent alone, because a
//! discovery query that fails voids the whole read, and with a sentinel that always runs, and runs first. A write with
//! the sentinel and without the query says that the host was skipped; no write says nothing. Agents before 5.8 run
//! everything when no discovery query finds rows, so they need the sentinel anyway, and all versions get the same.
//!
//! An answer is overdue 20 s after the read at the earliest, when the agent reads again: by then it would have repeated
//! its write. An overdue answer is judged by whichever node the host reads from, after that node has folded what the
//! others know. Signs of a restart (a config fetched out of cadence, a new enrollment) are known to the node that saw
//! them: a sign that only another node has seen makes a retry of a suspect, and the host is sent the query once more,
//! alone. Such a retry asks for the agent's worker as well: agents from 5.5 on then refuse a query that stopped the
//! worker, whether any node has seen a sign or not.
//!
//! An answer is never refused for its content. Rows beyond the caps are cut and counted (`retention.rs` bounds the
//! results of all jobs together). A write that is too large to be read is thrown away and counts as failed once it was
//! alone in its read. When an answer cannot be kept the write it came with is refused, but not twice in a row, and what
//! else came with it is kept (`take.rs`). Rows go from the body into the line that is kept without being
//! taken apart (`Row::write_json`): they stay text, made valid where it was not, and count as what is larger, the text
//! that came or the text that is kept. Every 256 KiB other requests go on.
//!
//! # Pace
//! An operator may give a job a rate, pause it and go on (`pace.rs`). Both are decided with each claim on the bus, so they hold
//! for all nodes together.
//!
//! # Care
//! A job with many targets is given to a few canaries first (`canaries.rs`). What its hosts report is watched as long as it goes
//! on (`verdict.rs`): suspects, CPU time on one host, CPU time on all.
//!
//! # Watching
//! The answers of a job are a stream of lines on the bus, each with a cursor. Everybody who watches (the NDJSON stream,
//! the WebSocket, `GET queries/run`) is a [`Follower`]: it reads the next piece when the one before was taken, so
//! answers wait in the stream, and a slow client costs one piece and no agent's time. Hosts are settled after their
//! answers are kept. A follower therefore checks whether the job is over before it reads, and has everything when it
//! then finds nothing.
//!
//! Fleet's campaigns are jobs with an audience (`campaigns.rs`). A lease in the row keeps them open, which nodes with a
//! watcher renew. The [`Attendance`] of a watcher is dropped however the connection ends. When the last watcher at a
//! node goes, the node shortens the lease to 5 s, so that a node with another watcher can renew it; else the campaign
//! ends. A single server ends it at once.
//!
//! # Several nodes
//! Jobs of other nodes are heard of by a notification, or found by reading the open rows every two seconds; views are
//! brought up to date then, too. An answer to a job this node has not heard of is not dropped before the open rows were
//! read anew (`looking.rs`), once for all answers of all writes that wait: ids are not committed in their order, so that
//! no id is too low to be new.
//!
//! A job Redis has lost, because it was restarted or emptied, is [`BusError::Lost`], apart from
//! [`BusError::Unavailable`]. The first node that notices makes it anew from its view. The first event then is
//! `Restored`, with all states in it, and every view goes on from exactly that. Hosts in the state sent become pending
//! rather than lost: nothing refuses the answer that still comes. The answers so far are gone, which
//! `counts.results_lost` says. Cursors and events begin at the time in microseconds, or further on: beyond those given
//! out before.
//!
//! While Redis is away no host is sent a query, no job is started or ended (503), and results cannot be read (503);
//! counts are shown as they were last seen. An agent's write with answers is refused once; the second time they are only
//! counted (`results_lost`) or, if even that cannot be kept, dropped, and the host is retried once Redis is back. Deadlines
//! that pass meanwhile take effect then.
//!
//! The leader removes results that have no room (`retention.rs`). The others find that in the row, or find nothing where
//! their view has answers, when somebody reads there first.

mod answers;
mod campaigns;
mod canaries;
#[cfg(test)]
mod checkin_cost_tests;
mod collect;
mod cost;
mod fold;
mod follow;
#[cfg(test)]
mod given_up_tests;
mod host_state;
mod job;
mod jobs;
mod looking;
mod notes;
mod open_targets;
mod operate;
mod pace;
mod progress;
mod questions;
mod retention;
mod selection;
mod snapshot;
mod states;
mod sweep;
mod take;
mod targets;
mod verdict;
mod worker;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, AtomicU32};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};

pub use answers::{Brief, show as show_line};
pub use campaigns::Attendance;
pub use follow::Follower;
pub use host_state::{Announced, HostLiveState};
pub use job::Job;
pub use notes::note_of;
pub use operate::Ask;
pub use pace::PaceChange;
pub use questions::{PREFIX, SENTINEL};
pub use selection::{ALL_HOSTS, Selection};
pub use take::LiveWrite;
pub use targets::NO_HOSTS;
pub use worker::{WORKER, Worker};

use self::campaigns::Campaigns;
use self::looking::Looks;
use self::retention::KeptResults;
use super::carves::CarveRequests;
use super::guard::TableGuard;
use super::hosts::Hosts;
use super::schedule::Schedule;
use super::{Error, Node, Result};
pub use crate::bus::ResultLine;
use crate::bus::{BusError, LiveBus, Notifier};
use crate::clock::Clock;
use crate::config;
use crate::store::{self, Store};
use crate::telemetry::Metrics;

/// Everything about live queries.
#[derive(Debug)]
pub struct Live {
    store: Store,
    bus: Arc<dyn LiveBus>,
    notifier: Arc<dyn Notifier>,
    node: Arc<Node>,
    clock: Clock,
    config: config::Live,
    hosts: Arc<Hosts>,
    schedule: Arc<Schedule>,
    carve_requests: Arc<CarveRequests>,
    guard: Arc<TableGuard>,
    metrics: Arc<Metrics>,
    /// Open jobs, and those that ended since the start and are still kept.
    jobs: papaya::HashMap<i64, Arc<Job>>,
    /// The open ones of `jobs` in the order of their ids, for check-ins. A job that has ended may stay listed for a
    /// while.
    listed: ArcSwap<Vec<Arc<Job>>>,
    checkpointing: tokio::sync::Mutex<()>,
    /// One permit per follower.
    followers: Arc<Semaphore>,
    campaigns: Campaigns,
    /// A sweep that must not wait for its time.
    must_sweep: Notify,
    /// Signals that a job was announced to the hosts it waits for.
    has_announced: Notify,
    kept: KeptResults,
    /// One permit per byte of answers that are collected in memory.
    collecting: Arc<Semaphore>,
    looks: Looks,
    /// Runs the tasks that many requests share, away from the threads that answer agents.
    runtime: Handle,
    answer_timeout: Duration,
    store_timeout: Duration,
    /// How many polls are still to look for rows that a start which was given up may have left.
    unheld: AtomicU32,
    /// When jobs of other nodes were last looked for.
    followed_at: AtomicI64,
    /// Deleted hosts that jobs may still wait for.
    gone: Mutex<BTreeSet<i64>>,
}

/// The parts of [`Live`].
#[derive(Debug)]
pub struct Parts {
    pub store: Store,
    pub bus: Arc<dyn LiveBus>,
    pub notifier: Arc<dyn Notifier>,
    pub node: Arc<Node>,
    pub clock: Clock,
    pub config: config::Live,
    /// How long an agent waits for an answer.
    pub answer_timeout: Duration,
    pub store_timeout: Duration,
    pub hosts: Arc<Hosts>,
    pub schedule: Arc<Schedule>,
    pub carve_requests: Arc<CarveRequests>,
    pub guard: Arc<TableGuard>,
    pub metrics: Arc<Metrics>,
}

impl Live {
    /// Takes up the jobs that were open when the server stopped, as of their last checkpoint. The bus is not asked here:
    /// [`Live::look`] does that while the server serves. Tasks run on the runtime that this is called on.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn load(parts: Parts) -> Result<Self> {
        let Parts {
            store,
            bus,
            notifier,
            node,
            clock,
            config,
            answer_timeout,
            store_timeout,
            hosts,
            schedule,
            carve_requests,
            guard,
            metrics,
        } = parts;
        let live = Self {
            followers: Arc::new(Semaphore::new(config.max_followers.min(Semaphore::MAX_PERMITS))),
            jobs: papaya::HashMap::new(),
            listed: ArcSwap::default(),
            checkpointing: tokio::sync::Mutex::default(),
            campaigns: Campaigns::default(),
            must_sweep: Notify::new(),
            has_announced: Notify::new(),
            kept: KeptResults::default(),
            collecting: Arc::new(Semaphore::new(config.max_rest_results.0.min(Semaphore::MAX_PERMITS))),
            looks: Looks::default(),
            runtime: Handle::current(),
            answer_timeout,
            store_timeout,
            unheld: AtomicU32::new(0),
            followed_at: AtomicI64::new(0),
            gone: Mutex::default(),
            store,
            bus,
            notifier,
            node,
            clock,
            config,
            hosts,
            schedule,
            carve_requests,
            guard,
            metrics,
        };
        for row in store::live_queries::open(live.store.reader()).await? {
            live.hold_readable(row);
        }
        Ok(live)
    }
}

impl Live {
    /// Open jobs, and all jobs in memory.
    pub(super) fn jobs_in_memory(&self) -> (usize, usize) {
        (self.open_jobs().len(), self.jobs.pin().len())
    }

    /// Those who watch jobs, and the most who may.
    pub(super) fn watching(&self) -> (usize, usize) {
        let most = self.config.max_followers.min(Semaphore::MAX_PERMITS);
        (most.saturating_sub(self.followers.available_permits()), most)
    }
}

impl From<BusError> for Error {
    fn from(error: BusError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
