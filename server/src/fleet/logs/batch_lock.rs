//! The lock that makes nodes keep batches of one host and stream one after the other.
//!
//! The lock and the hashes of the last batch are in one key in Redis, so that whoever gets the lock also learns what was
//! kept last. A node renews the lock while the disk works; a node that dies loses it by timeout. Instead of giving it up, a
//! node may turn it into a lease ([`super::leases`]), which others then ask for. Without an answer of Redis there is no lock
//! ([`BatchLock::Unavailable`]): lines are kept, and a repeat at another node may stand twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::LogStream;
use super::replay::{LastBatch, REPEATED_WITHIN};
use crate::bus::{AfterBatch, BATCH_LOCK_RENEWED_EVERY, BatchLockReply, LeaseReply, SharedBatches};

/// How long a batch waits for the lock while another node holds it. After that the batch is refused and the agent sends it
/// again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Pause after the first attempt to take the lock. Each further one is longer by as much.
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
    /// The agent waits no more.
    GivenUp,
}

impl Sharing {
    /// Takes the lock. `is_given_up` says whether the agent has gone: it may have sent the batch again, to a node that gets
    /// the lock first, and a batch that comes behind its own repeat looks new.
    pub(super) async fn begin(&self, host: i64, stream: LogStream, is_given_up: impl Fn() -> bool) -> BatchLock {
        let deadline = Instant::now() + PATIENCE;
        let (mut ended, mut pause) = (None, PAUSE);
        loop {
            match self.0.begin(host, stream.letter(), ended.as_ref()).await {
                BatchLockReply::Held { last } => {
                    if is_given_up() {
                        self.end(host, stream, None, AfterBatch::Free).await;
                        return BatchLock::GivenUp;
                    }
                    let last = last.map(|(hashes, accepted_at)| LastBatch::of(hashes, accepted_at));
                    return BatchLock::Held { last: last.filter(|last| !last.is_empty()) };
                }
                BatchLockReply::Unknown => return BatchLock::Unavailable,
                BatchLockReply::Leased(lease) => match self.0.leases.want(&lease, host, stream.letter()).await {
                    LeaseReply::Told => {}
                    LeaseReply::Unknown => return BatchLock::Unavailable,
                    // It may be another one by now, which is then asked for in its turn.
                    LeaseReply::Ended if ended.as_ref() != Some(&lease) => {
                        ended = Some(lease);
                        continue;
                    }
                    LeaseReply::Ended => {}
                },
                BatchLockReply::Busy => {}
            }
            if Instant::now() >= deadline {
                return BatchLock::Busy;
            }
            tokio::time::sleep(pause).await;
            pause += PAUSE;
            if is_given_up() {
                return BatchLock::GivenUp;
            }
        }
    }

    /// Renews the lock until the work is done, however long the disk takes.
    pub(super) async fn hold<T>(&self, host: i64, stream: LogStream, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(BATCH_LOCK_RENEWED_EVERY) => drop(self.0.begin(host, stream.letter(), None).await),
            }
        }
    }

    /// Gives up the lock or a lease, or takes a lease; `kept` is the batch, unless it was refused. Returns whether other nodes
    /// can see it.
    pub(super) async fn end(&self, host: i64, stream: LogStream, kept: Option<&LastBatch>, after: AfterBatch) -> bool {
        let kept = kept.map(|batch| (batch.hashes(), batch.accepted_at()));
        self.0.end(host, stream.letter(), kept, REPEATED_WITHIN, after).await
    }
}
