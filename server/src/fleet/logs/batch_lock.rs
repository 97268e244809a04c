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
use crate::bus::{AfterBatch, BATCH_LOCK_RENEWED_EVERY, BatchLease, BatchLockReply, LeaseReply, SharedBatches};
use crate::clock::Moment;
use crate::under_way::{WaitsFor, waiting_for};

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
    /// Takes the lock; a lease of this node becomes the lock, and Redis learns the batch that was `unshared` until then.
    /// `is_given_up` says whether the agent has gone: it may have sent the batch again, to a node that gets the lock first, and
    /// a batch that comes behind its own repeat looks new.
    pub(super) async fn begin(
        &self,
        host: i64,
        stream: LogStream,
        unshared: Option<&LastBatch>,
        is_given_up: impl Fn() -> bool,
    ) -> BatchLock {
        let deadline = Instant::now() + PATIENCE;
        let mut pause = PAUSE;
        loop {
            match self.try_begin(host, stream, unshared).await {
                Ok(locked) => return locked,
                Err(None) => {}
                Err(Some(lease)) => match self.0.leases.want(&lease, host, stream.letter()).await {
                    LeaseReply::Told => {}
                    // Nobody gives it up before.
                    LeaseReply::Silent { ends_in } => pause = pause.max(ends_in),
                    LeaseReply::Ended => pause = Duration::ZERO,
                    LeaseReply::Unknown => return BatchLock::Unavailable,
                },
            }
            if Instant::now() + pause > deadline {
                return BatchLock::Busy;
            }
            if !pause.is_zero() {
                waiting_for(WaitsFor::BatchLock, tokio::time::sleep(pause)).await;
            }
            pause += PAUSE;
            if is_given_up() {
                return BatchLock::GivenUp;
            }
        }
    }

    /// Tries once to take the lock. Gives the lease of another node, if that is why it is not free.
    pub(super) async fn try_begin(
        &self,
        host: i64,
        stream: LogStream,
        unshared: Option<&LastBatch>,
    ) -> Result<BatchLock, Option<BatchLease>> {
        match self.0.begin(host, stream.letter(), unshared.map(parts), REPEATED_WITHIN).await {
            BatchLockReply::Held { last } => {
                let last = last.map(|(hashes, accepted_at)| LastBatch::of(hashes, accepted_at));
                Ok(BatchLock::Held { last: last.filter(|last| !last.is_empty()) })
            }
            BatchLockReply::Unknown => Ok(BatchLock::Unavailable),
            BatchLockReply::Leased(lease) => Err(Some(lease)),
            BatchLockReply::Busy => Err(None),
        }
    }

    /// Renews the lock until the work is done, however long the disk takes.
    pub(super) async fn hold<T>(&self, host: i64, stream: LogStream, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(BATCH_LOCK_RENEWED_EVERY) => drop(self.0.begin(host, stream.letter(), None, REPEATED_WITHIN).await),
            }
        }
    }

    /// Gives up the lock or a lease, or takes a lease; `kept` is the batch, unless it was refused. Returns whether other nodes
    /// can see it.
    pub(super) async fn end(&self, host: i64, stream: LogStream, kept: Option<&LastBatch>, after: AfterBatch) -> bool {
        self.0.end(host, stream.letter(), kept.map(parts), REPEATED_WITHIN, after).await
    }
}

fn parts(batch: &LastBatch) -> (&[u64], Moment) {
    (batch.hashes(), batch.accepted_at())
}
