//! The lock that makes nodes keep batches of one host and stream one after the other.
//!
//! The lock and the hashes of the last batch are in one key in Redis, so that whoever gets the lock also learns what was
//! kept last. A node renews the lock while the disk works; a node that dies loses it by timeout. Without an answer of
//! Redis there is no lock ([`BatchLock::Unavailable`]): lines are kept, and a repeat at another node may stand twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::replay::REPEATED_WITHIN;
use super::{LastBatch, LogStream};
use crate::bus::{BATCH_LOCK_RENEWED_EVERY, BatchLockReply, SharedBatches};

/// How long a batch waits for the lock while another node holds it. After that the batch is refused and the agent sends it
/// again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Pause between two attempts to take the lock.
const PAUSE: Duration = Duration::from_millis(50);

/// The batch locks of all nodes.
#[derive(Debug)]
pub struct Sharing(pub Arc<SharedBatches>);

/// The outcome of an attempt to take the lock.
#[derive(Debug)]
pub(super) enum BatchLock {
    /// This node holds the lock; `end` must follow.
    Held { last: Option<LastBatch> },
    /// Redis does not answer.
    Unavailable,
    /// Another node held the lock for too long.
    Busy,
}

impl Sharing {
    pub(super) async fn begin(&self, host: i64, stream: LogStream) -> BatchLock {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.0.begin(host, stream.letter()).await {
                BatchLockReply::Held { last } => {
                    let last = last.map(|(hashes, accepted_at)| LastBatch::of(hashes, accepted_at));
                    return BatchLock::Held { last: last.filter(|last| !last.is_empty()) };
                }
                BatchLockReply::Unknown => return BatchLock::Unavailable,
                BatchLockReply::Busy if Instant::now() >= deadline => return BatchLock::Busy,
                BatchLockReply::Busy => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Renews the lock until the work is done, however long the disk takes.
    pub(super) async fn hold<T>(&self, host: i64, stream: LogStream, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(BATCH_LOCK_RENEWED_EVERY) => drop(self.0.begin(host, stream.letter()).await),
            }
        }
    }

    /// Releases the lock; `kept` is the batch, unless it was refused. Returns whether other nodes can see it.
    pub(super) async fn end(&self, host: i64, stream: LogStream, kept: Option<&LastBatch>) -> bool {
        let kept = kept.map(|batch| (batch.hashes(), batch.accepted_at()));
        self.0.end(host, stream.letter(), kept, REPEATED_WITHIN).await
    }
}
