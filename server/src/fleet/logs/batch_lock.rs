//! The lock that makes nodes keep batches of one host and stream one after the other.
//!
//! The lock and the hashes of the last batch are in one key in Redis, so that whoever gets the lock also learns what was
//! kept last. A node renews the lock while the disk works; a node that dies loses it by timeout. Without an answer of
//! Redis there is no lock ([`BatchLock::Unavailable`]): lines are kept, and a repeat at another node may stand twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::random;
use serde_json::json;

use super::{LastBatch, LineHasher, LogStream};
use crate::bus::{BATCH_LOCK_RENEWED_EVERY, BatchLockReply, SharedBatches};
use crate::clock::Clock;
use crate::fleet::Result;
use crate::store::{Store, settings};

/// How long a batch waits for the lock while another node holds it. After that the batch is refused and the agent sends it
/// again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Pause between two attempts to take the lock.
const PAUSE: Duration = Duration::from_millis(50);

/// The batch locks of all nodes, and the key under which all of them hash lines.
#[derive(Debug)]
pub struct Sharing {
    pub(super) batches: Arc<SharedBatches>,
    pub(super) hasher: LineHasher,
}

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
    /// Uses the key the first node has put into the database.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn new(batches: Arc<SharedBatches>, store: &Store, clock: &Clock) -> Result<Self> {
        let stored = async || -> Result<Option<(u64, u64)>> {
            let value = settings::get(store.reader(), settings::LOG_HASH_KEY).await?;
            Ok(value.and_then(|value| serde_json::from_value(value).ok()))
        };
        let key = match stored().await? {
            Some(key) => key,
            None => {
                let key: (u64, u64) = (random(), random());
                let now = clock.now();
                let outcome =
                    store.write(async |tx| settings::set(tx, settings::LOG_HASH_KEY, &json!(key), now).await).await;
                // why read again: two nodes may start at one time, and both must use the key that is stored.
                match (stored().await?, outcome) {
                    (Some(key), _) => key,
                    (None, Err(error)) => return Err(error.into()),
                    (None, Ok(())) => key,
                }
            }
        };
        Ok(Self { batches, hasher: LineHasher::with_key(key) })
    }

    pub(super) async fn begin(&self, host: i64, stream: LogStream) -> BatchLock {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.batches.begin(host, name(stream)).await {
                BatchLockReply::Held { last } => {
                    return BatchLock::Held { last: (!last.is_empty()).then(|| LastBatch::of(last)) };
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
                () = tokio::time::sleep(BATCH_LOCK_RENEWED_EVERY) => drop(self.batches.begin(host, name(stream)).await),
            }
        }
    }

    /// Releases the lock; `kept` is the batch, unless it was refused. Returns whether other nodes can see it.
    pub(super) async fn end(&self, host: i64, stream: LogStream, kept: Option<&LastBatch>) -> bool {
        self.batches.end(host, name(stream), kept.map(LastBatch::hashes)).await
    }
}

fn name(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Result => "r",
        LogStream::Status => "s",
    }
}
