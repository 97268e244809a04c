//! What nodes agree on before one of them keeps a batch of log lines.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::random;
use serde_json::json;

use super::{LastBatch, LineHasher, LogStream};
use crate::bus::{BatchLockReply, SharedBatches, TURN_RENEWED_EVERY};
use crate::clock::Clock;
use crate::fleet::Result;
use crate::store::{Store, settings};

/// How long a batch waits for one of the same host that another node is about to keep; then the agent sends it again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What nodes share about log batches; all of them hash lines under the same key.
#[derive(Debug)]
pub struct Sharing {
    pub(super) batches: Arc<SharedBatches>,
    pub(super) hasher: LineHasher,
}

/// The lock to keep a batch.
#[derive(Debug)]
pub(super) enum BatchLock {
    /// Nobody else keeps one; `end` must follow.
    Held { last: Option<LastBatch> },
    /// Nobody can be asked.
    Unavailable,
    /// Another node took too long.
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
                // Another node may have been first, before or after.
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

    /// Keeps a lock until the work is done, however long the disk takes.
    pub(super) async fn hold<T>(&self, host: i64, stream: LogStream, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(TURN_RENEWED_EVERY) => drop(self.batches.begin(host, name(stream)).await),
            }
        }
    }

    /// Ends a lock; `kept` is the batch, unless it was refused. Says whether the others know of it.
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
