//! What nodes share: live queries while they go on (who has been asked, who has answered, the answers in order), and
//! a event that tells the others to look again.

mod counted;
mod event;
mod memory;
mod notifier;
mod redis;

use std::future::Future;
use std::pin::Pin;

use roaring::RoaringTreemap;
use tokio::sync::watch;

pub use counted::Counted;
pub use event::{JobChange, JobEvent};
pub use memory::MemoryBus;
pub use notifier::{ChangeEvent, ChangeEvents, LocalNotifier, Notifier};
pub use redis::{BatchLockReply, LinkMetrics, RedisShare, SharedBatches, TURN_RENEWED_EVERY};

use crate::clock::Moment;

/// Why something could not be shared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// Try again later; nothing is known of what became of it.
    #[error("{0}")]
    Unavailable(String),
    /// The bus works and does not know the job (any more). Opening it from its checkpoint makes it anew.
    #[error("live query {0} is not on the bus")]
    Lost(i64),
}

pub type BusFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BusError>> + Send + 'a>>;

/// Where a job begins that the bus does not have.
#[derive(Debug, Clone)]
pub enum Start {
    /// With nobody asked.
    New,
    /// After these hosts, which are neither asked nor heard again, have been settled. Its cursors and events lie beyond
    /// those that were given out before, so that who goes on from one misses nothing; the first event is
    /// [`JobChange::Restored`] with this note.
    Checkpoint { settled: RoaringTreemap, note: Vec<u8> },
}

/// What became of opening a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// There was none; nobody else has made it.
    Made,
    /// It was there, with whatever has happened to it.
    Found,
}

/// Whole lines of a stream, and where to go on.
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

/// Promises of every implementation; `contract_tests` holds them to it.
///
/// - `claim` succeeds for one caller on one node only, until `unclaim`, and for nobody after an answer.
/// - `answer` takes the first answer of a host and no other, and appends it whole.
/// - after `close` there are no more claims and no more answers.
/// - `read` gives lines in the order they were appended, each under the same cursor every time.
/// - a job the bus does not have is [`BusError::Lost`], never mistaken for one without answers.
pub trait LiveBus: std::fmt::Debug + Send + Sync {
    /// Makes or finds a job. Of several nodes that open it at one time, one makes it.
    fn open(&self, job: i64, start: Start) -> BusFuture<'_, Opened>;
    /// Whether the caller may ask this host now. The rest is for [`JobChange::Sent`].
    fn claim(&self, job: i64, host: i64, at: Moment, is_alone: bool) -> BusFuture<'_, bool>;
    /// Gives a claim up, so that the host can be asked again. False when the host was not claimed.
    fn unclaim(&self, job: i64, host: i64) -> BusFuture<'_, bool>;
    /// Settles a host, unless it is settled already, and appends its answer; an empty one only settles. `note` is for
    /// [`JobChange::Settled`].
    fn answer(&self, job: i64, host: i64, line: Vec<u8>, note: Vec<u8>) -> BusFuture<'_, bool>;
    /// Ends claims and answers; `note` is for [`JobChange::Closed`]. True for the first who does it.
    fn close(&self, job: i64, note: Vec<u8>) -> BusFuture<'_, bool>;
    /// What has happened behind a position, in its order and at most [`EVENTS_AT_ONCE`]; none when there is no more.
    /// A bus of one process tells what has happened since it was opened, and forgets what it was asked to go beyond.
    fn events(&self, job: i64, after: u64) -> BusFuture<'_, Vec<JobEvent>>;
    /// Lines behind `cursor` of about `max_bytes`, at least one if there is one.
    fn read(&self, job: i64, cursor: u64, max_bytes: usize) -> BusFuture<'_, Piece>;
    /// Follows the end of the stream, whichever node appends. `None` for a job that was not opened here.
    fn watch(&self, job: i64) -> Option<watch::Receiver<u64>>;
    /// Bytes of the answers that are kept, as far as this node has heard.
    fn length(&self, job: i64) -> u64;
    /// Forgets a job and its answers.
    fn remove(&self, job: i64) -> BusFuture<'_, ()>;
}

/// Events given at one time.
pub const EVENTS_AT_ONCE: usize = 10_000;

#[cfg(test)]
pub(crate) mod contract_tests;
