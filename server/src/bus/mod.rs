//! What nodes share: open live queries (which hosts were claimed and have answered, and the answers in order), and
//! notifications that make the others look again.
//!
//! A job on the bus is two logs and a set of host states. Each step (`claim`, `unclaim`, `answer`, `pace`, `close`) is atomic,
//! so that of all who try one succeeds, and a step that succeeds appends one event. Every node folds the events of a
//! job into its own view, in the one order of the bus; the node that made the step does so, too. A caller whose reply
//! is lost therefore need not know whether its step succeeded: the event says so. A single server with the embedded bus
//! goes the same way.
//!
//! A job is named by its [`JobKey`], never by its id alone, because ids come again after an older copy of the database
//! was restored.
//!
//! - [`MemoryBus`] is the embedded bus. It keeps the answers of a job in one append-only file, whose offsets are the
//!   cursors, so that whoever comes late or comes back misses nothing. Claims and events are in memory and gone after a
//!   restart; the answers that the checkpoint does not cover are events again.
//! - [`RedisShare`] is the bus of several nodes. Each step is one script. The keys of a job have one hash tag
//!   (`{muster:live:ID}`), so they lie on one node of a Redis cluster: `meta`, `events`, `lines`, and pages of 32,768
//!   hosts with two bits for each, 8 KiB a page. `meta` says which job they are of, and every script compares that:
//!   what an earlier job with the same id has left counts as not there, and `open` replaces it. So nodes of the version
//!   before, which know ids alone, share open jobs with the others during an upgrade. The id of a line in `lines` is
//!   where it ends, counted in bytes: a cursor is an offset here too, and a read of so many bytes is one range. Redis
//!   forgets a job by itself a day after the server should have.

mod counted;
mod event;
mod job_key;
mod memory;
mod notifier;
mod pace;
mod redis;

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use roaring::RoaringTreemap;
use tokio::sync::watch;
use tokio::time::Instant;

pub use counted::Counted;
pub use event::{EventPiece, EventPosition, JobChange, JobEvent};
pub use job_key::JobKey;
pub use memory::MemoryBus;
pub use notifier::{ChangeEvent, ChangeEvents, LocalNotifier, MAX_MESSAGE, NodeMessages, Notifier};
pub use pace::{Claim, LivePace};
pub use redis::{
    AfterBatch, BATCH_LOCK_RENEWED_EVERY, BatchLease, BatchLockReply, FoundKeys, LeaseReply, LinkMetrics, LiveStreams,
    OfServer, RedisDiagnostics, RedisFacts, RedisShare, SharedBatches, SlowCommand, TERM_LASTS,
    examine as examine_redis,
};

use crate::clock::Moment;

/// Why something could not be shared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The bus does not answer. Try again later; whether the step was done is not known.
    #[error("{0}")]
    Unavailable(String),
    /// This node had no room to ask the bus. Try again later; nothing was done, and nothing may be thrown away for it.
    #[error("{0}")]
    Busy(String),
    /// The bus answers other steps and has not answered this one, or had less time for it than a step may take. Try again
    /// later, a few times; whether the step was done is not known.
    #[error("{0}")]
    Slow(String),
    /// The bus works and does not know the job, or no longer does. Opening the job from its checkpoint makes it anew.
    #[error("live query {0} is not on the bus")]
    Lost(i64),
}

pub type BusFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BusError>> + Send + 'a>>;

/// The start of a job that the bus does not have.
#[derive(Debug, Clone)]
pub enum Start {
    /// No host is claimed or settled.
    New,
    /// These hosts are settled: they are neither claimed nor heard again. Cursors and positions of events lie beyond
    /// those that were given out before, so that whoever goes on from one misses nothing; the first event is
    /// [`JobChange::Restored`] with this note.
    /// A bus that keeps answers and no events makes events of the answers behind the first `covered` bytes.
    Checkpoint { settled: RoaringTreemap, note: Vec<u8>, covered: u64 },
    /// As for a checkpoint, of a job that is over: nobody reads its events any more, and none are made of answers.
    Over { settled: RoaringTreemap, note: Vec<u8> },
}

/// The outcome of opening a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// The bus did not have the job; this caller has made it.
    Made,
    /// The bus has the job, with whatever has happened to it.
    Found,
}

/// Whole lines of a stream, and the cursor to go on from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Piece {
    pub lines: Vec<ResultLine>,
    pub next: u64,
}

/// A line without its newline, and the cursor behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultLine {
    pub cursor: u64,
    pub text: Vec<u8>,
}

impl ResultLine {
    /// The host that has answered.
    pub fn host(&self) -> Option<u64> {
        host_of(&self.text)
    }
}

/// The host of a line, which begins with it.
fn host_of(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(b"{\"host_id\":")?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

/// Promises of every implementation; `contract_tests` holds them to it.
///
/// - `claim` succeeds for one caller on one node only, until `unclaim`, and for nobody after an answer.
/// - no more claims succeed than the pace of the job allows, over all nodes.
/// - `answer` takes the first answer of a host and no other, and appends it whole.
/// - after `close` there are no more claims and no more answers.
/// - `read` gives lines in the order they were appended, each under the same cursor every time.
/// - a job the bus does not have is [`BusError::Lost`], never mistaken for one without answers.
pub trait LiveBus: std::fmt::Debug + Send + Sync {
    /// Asks the bus whether it answers, without a job and without a change.
    fn ping(&self) -> BusFuture<'_, ()>;
    /// Makes or finds a job. Of several nodes that open it at one time, one makes it.
    fn open(&self, job: JobKey, start: Start) -> BusFuture<'_, Opened>;
    /// Claims a host that is pending, as far as the pace allows it at `at`. `at` and `is_alone` are for
    /// [`JobChange::Sent`].
    fn claim(&self, job: JobKey, host: i64, at: Moment, is_alone: bool, is_canary: bool) -> BusFuture<'_, Claim>;
    /// Sets the pace of a job that is open, unless it has one that was set later ([`JobChange::Paced`]). True if it took
    /// effect. From then on no claim succeeds that it does not allow.
    fn pace(&self, job: JobKey, pace: LivePace) -> BusFuture<'_, bool>;
    /// Gives up the claim of a host, so that it is pending again ([`JobChange::Pending`]). False when the host was not
    /// claimed.
    fn unclaim(&self, job: JobKey, host: i64) -> BusFuture<'_, bool>;
    /// Settles a host, unless it is settled already, and appends its answer; an empty one only settles. `note` is for
    /// [`JobChange::Settled`]. An answer that has to wait here for others, and could not be kept by `by` any more, is
    /// [`BusError::Busy`].
    fn answer(&self, job: JobKey, host: i64, line: Bytes, note: Vec<u8>, by: Instant) -> BusFuture<'_, bool>;
    /// Ends claims and answers; `note` is for [`JobChange::Closed`]. True for the first caller.
    fn close(&self, job: JobKey, note: Vec<u8>) -> BusFuture<'_, bool>;
    /// Events behind a position, in their order and at most [`EVENTS_AT_ONCE`]. A bus of
    /// several nodes gives them from the start when the event at that position is not the one the caller has read. A bus
    /// of one process has the events since it was opened, never from the start, and forgets those up to `after`.
    fn events(&self, job: JobKey, after: EventPosition) -> BusFuture<'_, EventPiece>;
    /// Lines behind `cursor` of about `max_bytes`, at least one if there is one.
    fn read(&self, job: JobKey, cursor: u64, max_bytes: usize) -> BusFuture<'_, Piece>;
    /// Follows the end of the stream, whichever node appends. `None` for a job that was not opened here.
    fn watch(&self, job: JobKey) -> Option<watch::Receiver<u64>>;
    /// Bytes of the answers that are kept, as far as this node has heard.
    fn length(&self, job: JobKey) -> u64;
    /// Forgets a job and its answers.
    fn remove(&self, job: JobKey) -> BusFuture<'_, ()>;
    /// The jobs of which this node holds something since it opened them.
    fn held(&self) -> HashSet<JobKey>;
    /// Forgets what this node holds of jobs, and nothing that is shared or kept.
    fn let_go(&self, jobs: &HashSet<JobKey>);
    /// Forgets jobs that are not among `known` and have had no answer since `before`: those that a restored copy of the
    /// database does not know. Redis forgets them by itself.
    fn forget_others(&self, known: HashSet<JobKey>, before: Moment) -> BusFuture<'_, ()>;
}

/// Most events of one call.
const EVENTS_AT_ONCE: usize = 10_000;

/// By how much the clocks of nodes and of Redis may differ.
const CLOCKS_DIFFER_US: u64 = 10_000_000;

#[cfg(test)]
pub(crate) mod contract_tests;
