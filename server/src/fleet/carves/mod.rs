//! Carves: files that agents send, in blocks.
//!
//! The database knows which blocks are kept; the blocks themselves are in the [`CarveStorage`]. A block is durable there
//! before the database knows of it, and the database knows of it before it is acknowledged. A carve is complete in the
//! transaction of its last block, so no crash leaves one that only looks complete.

mod begin;
mod contents;
mod ending;
mod keep;
mod notice;
mod operate;
mod received;
mod requests;
mod session;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;

pub use self::begin::NewCarve;
pub use self::contents::CarveContents;
pub use self::keep::CarvedBlock;
pub use self::notice::carve_notice;
pub use self::operate::{CarveFilter, CarveSort};
pub use self::requests::{CarveOrigin, CarveRequests, named_carves, scheduled_carves};
pub use self::session::CarveSession;
use super::{Error, Result};
use crate::clock::{Clock, Moment};
use crate::config;
use crate::sinks::{CarveStorage, StorageError};
use crate::store::Store;
use crate::telemetry::Metrics;

/// Blocks that are being kept at one time: each takes a connection to the database and a thread for the disk.
const AT_ONCE: usize = 8;

/// Sessions that are not found and are looked up once more at one time, in a way that shows every commit.
const CONFIRMED_AT_ONCE: usize = 4;

/// Who reads a carve in many requests, as one who goes on after an interruption does, is told once in so long.
const READING: Duration = Duration::from_secs(3600);

/// The carves of all hosts.
#[derive(Debug)]
pub struct Carves {
    store: Store,
    /// `None` if operators have named no place for contents.
    storage: Option<Arc<dyn CarveStorage>>,
    clock: Clock,
    config: config::Carves,
    /// How long a request of an agent waits for the database.
    store_timeout: Duration,
    metrics: Arc<Metrics>,
    keeping: Semaphore,
    confirming: Semaphore,
    /// When users were last told to read a carve.
    readings: Mutex<HashMap<(i64, i64), Moment>>,
    pub requests: Arc<CarveRequests>,
    /// The last contents that were looked at in search of those that no row holds.
    looked_at: Mutex<String>,
}

impl Carves {
    pub fn new(
        store: Store,
        storage: Option<Arc<dyn CarveStorage>>,
        clock: Clock,
        config: config::Carves,
        store_timeout: Duration,
        requests: Arc<CarveRequests>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let [keeping, confirming] = [AT_ONCE, CONFIRMED_AT_ONCE].map(Semaphore::new);
        Self {
            store,
            storage,
            clock,
            config,
            store_timeout,
            metrics,
            keeping,
            confirming,
            readings: Mutex::default(),
            requests,
            looked_at: Mutex::default(),
        }
    }

    /// Writes which queries have asked for carves.
    ///
    /// # Errors
    /// When the database does not answer; the next call tries again.
    pub async fn write_requests(&self) -> Result<()> {
        self.requests.write().await
    }

    fn storage(&self) -> Result<&Arc<dyn CarveStorage>> {
        self.storage.as_ref().ok_or_else(|| {
            let reason =
                "this server has no place for carves: set carves.dir to a folder that all nodes share, or s3.bucket";
            Error::invalid("carve", reason)
        })
    }

    /// A refusal that names a setting, whose limit was reached.
    fn over(&self, limit: &str, reason: String) -> Error {
        self.metrics.limit_hit(&format!("carve_{limit}"));
        Error::invalid("carve", format!("{reason} (carves.{limit})"))
    }
}

/// Agents send again what could not be kept.
fn unavailable(error: StorageError) -> Error {
    tracing::warn!(%error, "the contents of a carve cannot be kept or read");
    Error::Unavailable("the contents of carves cannot be written or read".to_owned())
}
