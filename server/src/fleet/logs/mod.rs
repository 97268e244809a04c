//! Agents' log lines: kept before they are acknowledged, and kept once.
//!
//! A batch is one log request of a host. Its lines go to the sink of their stream, and the request is answered only when
//! the sink has said that they are durable. When an answer is lost, the agent sends the same lines again with newer ones
//! behind them; the node remembers the lines of the last accepted batch of each host and stream as hashes and drops the
//! repeats ([`replay`]). Both streams are apart, and batches of one host and stream are kept one after the other. What a
//! node remembers outlives a graceful stop ([`over_stop`]).
//!
//! With several nodes the repeat may arrive at another one. A batch lock in Redis, one per host and stream, makes them
//! take turns and carries the hashes of the last batch ([`batch_lock`]); a batch waits for Redis once, and is answered
//! before it is unlocked. A node to which the batches of a host keep coming takes a lease on them ([`leases`]) and asks
//! Redis no more until another node has one. Without Redis a node keeps the lines all the same and remembers that the
//! others do not know the batch: a line twice is better than a line lost.
//!
//! Limits: bytes waiting for the disk (`osquery.max_log_in_flight`), hashes of one batch and of all hosts. A batch over
//! the hash limits is kept and not remembered. All limits count in `muster_limit_hits_total`.

mod batch_lock;
mod claim;
mod host_log;
mod leases;
mod over_stop;
mod release;
mod replay;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use tokio::sync::{Semaphore, oneshot};

pub use batch_lock::Sharing;
pub use host_log::HostLog;
pub use leases::LEASES_RENEWED_EVERY;

use self::claim::{BatchClaim, BatchFate};
use self::host_log::Candidates;
use self::leases::Leases;
use self::over_stop::Restored;
use self::replay::{Hashed, LastBatch, LineHasher};
use super::hosts::Host;
use super::{Error, Result};
use crate::clock::{Clock, Moment};
pub use crate::sinks::LogLines;
use crate::sinks::Sink;
pub use crate::sinks::SinkError;
use crate::store::Store;
use crate::telemetry::{LogMetrics, Metrics};
use crate::under_way::{WaitsFor, waiting_for};

/// Line hashes remembered over all hosts: 32 million, 256 MiB.
const MAX_REMEMBERED: usize = 32 << 20;

/// One of an agent's two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogStream {
    /// Rows of scheduled queries.
    Result,
    /// What the agent says about itself.
    Status,
}

impl LogStream {
    const ALL: [Self; 2] = [Self::Result, Self::Status];

    /// Its letter in Redis and in the database.
    fn letter(self) -> &'static str {
        match self {
            Self::Result => "r",
            Self::Status => "s",
        }
    }

    fn of(letter: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.letter() == letter)
    }

    /// The word of agents and metrics for it.
    fn label(self) -> &'static str {
        match self {
            Self::Result => "result",
            Self::Status => "status",
        }
    }

    /// The members whose values differ between lines of different runs of a query, or of different seconds.
    fn told_apart_by(self) -> &'static [&'static str] {
        match self {
            Self::Result => &["unixTime", "counter"],
            Self::Status => &["unixTime"],
        }
    }
}

/// Line hashes remembered of one batch, 64 times what stock agents send, so that no host uses up the room of all.
const MAX_REMEMBERED_PER_BATCH: usize = 64 * 1024;

/// The reason of a refusal that only a fault of the server explains, as metrics name it.
const FAULT: &str = "fault";

/// Bytes of a batch above which a thread of its own hashes and compares it.
const LARGE: usize = 1 << 20;

/// Where lines go.
#[derive(Debug)]
pub struct Sinks {
    pub results: Arc<dyn Sink>,
    pub statuses: Arc<dyn Sink>,
}

/// Takes log lines to their sinks.
#[derive(Debug)]
pub struct Logs {
    sinks: Sinks,
    in_flight: Arc<Semaphore>,
    max_in_flight: usize,
    remembered: Arc<AtomicUsize>,
    hasher: LineHasher,
    restored: Restored,
    sharing: Option<Sharing>,
    leases: Leases,
    store: Store,
    clock: Clock,
    metrics: Arc<Metrics>,
    results_metrics: LogMetrics,
    statuses_metrics: LogMetrics,
}

impl Logs {
    /// Takes over what the node remembered when it stopped. The sinks must be open, so that no other process uses them.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn load(
        sinks: Sinks,
        max_in_flight_bytes: usize,
        sharing: Option<Sharing>,
        store: Store,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self> {
        let max_in_flight = max_in_flight_bytes.min(Semaphore::MAX_PERMITS);
        let hasher = LineHasher::stored(&store, clock.now()).await?;
        let restored = Restored::take(&store, clock.now()).await?;
        let log_metrics = |sink: &dyn Sink, stream: LogStream| metrics.log(sink.name(), stream.label());
        Ok(Self {
            results_metrics: log_metrics(&*sinks.results, LogStream::Result),
            statuses_metrics: log_metrics(&*sinks.statuses, LogStream::Status),
            sinks,
            in_flight: Arc::new(Semaphore::new(max_in_flight)),
            max_in_flight,
            remembered: Arc::default(),
            hasher,
            restored,
            sharing,
            leases: Leases::default(),
            store,
            clock,
            metrics,
        })
    }

    /// Bytes of lines that wait for the disk, and the most they may be.
    pub(super) fn bytes_in_flight(&self) -> (usize, usize) {
        (self.max_in_flight.saturating_sub(self.in_flight.available_permits()), self.max_in_flight)
    }

    /// Whether lines of this stream can be taken to their sink at all.
    ///
    /// # Errors
    /// Why only a restart helps.
    pub fn check(&self, stream: LogStream) -> std::result::Result<(), SinkError> {
        self.sink(stream).check()
    }

    /// Keeps the lines of one request, each once. `Ok` means that all of them are durable. Once this node may
    /// keep them, it runs to its end even when the caller stops waiting, so that a repeat of the request finds out what
    /// became of the first.
    ///
    /// # Errors
    /// When a sink cannot keep them, or too much is waiting for the disk; then none of the new lines is kept and the
    /// agent still has all of them.
    pub async fn accept(self: &Arc<Self>, host: Arc<Host>, stream: LogStream, lines: LogLines) -> Result<()> {
        let permits = u32::try_from(lines.total_bytes().min(self.max_in_flight)).unwrap_or(u32::MAX);
        let Ok(permit) = self.in_flight.clone().try_acquire_many_owned(permits) else {
            self.metrics.limit_hit("max_log_in_flight");
            self.metrics_of(stream).refused("max_log_in_flight");
            return Err(Error::Unavailable("too many log lines are waiting for the disk".to_owned()));
        };
        let logs = Arc::clone(self);
        let (answer, answered) = oneshot::channel();
        tokio::spawn(async move {
            logs.keep(&host, stream, lines, answer).await;
            drop(permit);
        });
        answered.await.map_err(|error| Error::Internal(Box::new(error)))?
    }

    /// Answers as soon as the lines are durable or refused. What other nodes need to know follows.
    async fn keep(&self, host: &Host, stream: LogStream, lines: LogLines, answer: oneshot::Sender<Result<()>>) {
        let lines = match self.hashed(lines).await {
            Ok(lines) => lines,
            Err(error) => {
                self.metrics_of(stream).refused(FAULT);
                return say(answer, Err(error));
            }
        };
        // One batch per host and stream at a time: a repeat waits here until the first has been kept or refused.
        let mut log = host.log(stream).lock().await;
        if log.last.is_empty()
            && let Some(restored) = self.restored.of(host.id, stream, self.clock.now())
        {
            self.remember(&mut log, restored);
            // What other nodes know may be older.
            log.is_unshared = true;
        }
        let claim = match self.claim(host.id, stream, &mut log, || answer.is_closed()).await {
            Ok(claim) => claim,
            Err(error) => return say(answer, Err(error)),
        };
        let fate = match self.keep_claimed(host, stream, lines, &claim, &mut log).await {
            Ok(kept) => {
                say(answer, Ok(()));
                kept
            }
            Err(error) => {
                say(answer, Err(error));
                BatchFate::Refused
            }
        };
        self.end_claim(host.id, stream, claim, fate, &mut log).await;
    }

    async fn keep_claimed(
        &self,
        host: &Host,
        stream: LogStream,
        lines: Hashed,
        claim: &BatchClaim,
        log: &mut HostLog,
    ) -> Result<BatchFate> {
        let now = self.clock.now();
        let all = lines.len() as u64;
        let mut batch = lines.accepted(now);
        let new_lines = without_repeats(lines, log.known(claim.shared()), stream, now).await;
        let new_lines = new_lines.inspect_err(|_| self.metrics_of(stream).refused(FAULT))?;
        let (count, bytes) = (new_lines.len() as u64, new_lines.total_bytes() as u64);
        if batch.len() > MAX_REMEMBERED_PER_BATCH {
            batch = LastBatch::default();
        }
        let append = self.append(host, stream, new_lines);
        match (&self.sharing, claim) {
            (Some(sharing), BatchClaim::Locked { .. }) => sharing.hold(host.id, stream, append).await?,
            _ => append.await?,
        }
        log.is_unshared = self.sharing.is_some();
        self.metrics_of(stream).acknowledged(count, all - count, bytes);
        Ok(self.remember(log, batch).map_or(BatchFate::Kept, BatchFate::KeptUnremembered))
    }

    /// Hashes large batches on a thread of its own, so that other requests are not held up.
    async fn hashed(&self, lines: LogLines) -> Result<Hashed> {
        let hasher = self.hasher;
        if lines.total_bytes() <= LARGE {
            return Ok(Hashed::of(lines, hasher));
        }
        let hashed = tokio::task::spawn_blocking(move || Hashed::of(lines, hasher)).await;
        hashed.map_err(|error| Error::Internal(Box::new(error)))
    }

    async fn append(&self, host: &Host, stream: LogStream, lines: LogLines) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        let appended = waiting_for(WaitsFor::LogSink, self.sink(stream).append(lines)).await;
        self.metrics_of(stream).append_seconds.observe(start.elapsed());
        appended.map_err(|error| {
            self.metrics_of(stream).refused("sink");
            // The sink has logged where and why; agents need not know.
            tracing::debug!(%error, host_id = host.id, "log lines refused");
            Error::Unavailable("the log lines could not be kept".to_owned())
        })
    }

    fn metrics_of(&self, stream: LogStream) -> &LogMetrics {
        match stream {
            LogStream::Result => &self.results_metrics,
            LogStream::Status => &self.statuses_metrics,
        }
    }

    fn sink(&self, stream: LogStream) -> &Arc<dyn Sink> {
        match stream {
            LogStream::Result => &self.sinks.results,
            LogStream::Status => &self.sinks.statuses,
        }
    }

    /// Remembers the batch in place of the last one. Gives it back when all hosts together hold too many hashes.
    fn remember(&self, log: &mut HostLog, batch: LastBatch) -> Option<LastBatch> {
        let refused = log.remember(batch, &self.remembered, MAX_REMEMBERED);
        if refused.is_some() {
            self.metrics.limit_hit("remembered_log_lines");
        }
        refused
    }

    /// Uses up the room for hashes.
    #[cfg(test)]
    pub fn remember_no_more(&self) {
        self.remembered.store(MAX_REMEMBERED + 1, std::sync::atomic::Ordering::Relaxed);
    }

    /// Opens the destinations again.
    pub fn reopen(&self) {
        self.sinks.results.reopen();
        self.sinks.statuses.reopen();
    }
}

/// Answers whoever waits, unless that one has gone.
fn say(answer: oneshot::Sender<Result<()>>, outcome: Result<()>) {
    let _ = answer.send(outcome);
}

/// Compares large batches on a thread of its own, so that other requests are not held up.
async fn without_repeats(lines: Hashed, known: Candidates<'_>, stream: LogStream, now: Moment) -> Result<LogLines> {
    if lines.total_bytes() <= LARGE {
        return Ok(lines.without_repeats(known, stream, now));
    }
    let known = known.map(|last| last.cloned());
    let compare = move || lines.without_repeats(known.each_ref().map(Option::as_ref), stream, now);
    let new_lines = tokio::task::spawn_blocking(compare).await;
    new_lines.map_err(|error| Error::Internal(Box::new(error)))
}
