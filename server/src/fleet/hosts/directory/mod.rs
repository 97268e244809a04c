//! Every host of the fleet in memory, by column: what hosts are picked, ordered and counted by. Lists, counts, searches and
//! targets are answered from here without a statement; a page of a list then reads exactly its own rows.
//!
//! Loaded at the start in pages, while the node already serves; kept current by the feed of host changes and by this
//! node's own changes, and compared with the database all the time (`super::compare`). Changes only queue up, so nobody
//! who makes one waits for a reader; a task applies them, and a reader applies those that wait before it reads. Readers
//! of a large fleet work on threads of their own.

mod alike;
mod census;
mod cohorts;
mod first;
mod groups;
mod order;
mod pick;
mod shared;
mod slots;
mod spread;
mod states;
mod tables;
mod targets;
#[cfg(test)]
mod tests;
mod text;

pub use alike::{AlikeHosts, LabelMoves};
pub use census::Census;
pub use cohorts::SideHosts;
pub use groups::AskableHost;
pub use pick::HostsSummary;
pub(super) use pick::{HostPick, PickedHost};
pub use spread::SpreadGroup;
pub(super) use spread::in_turn;
pub use targets::{OnlineTally, TargetGroups};

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, Semaphore, watch};

use self::tables::Tables;
use super::index::GONE_FOR;
use super::seen::SeenTimes;
use crate::fleet::{Error, Result};
use crate::lock::lock;
use crate::store::directory::DirectoryHost;

/// How long a request waits until all hosts are here.
const LOADED_WITHIN: Duration = Duration::from_secs(10);

/// Fleets up to this size are read on the thread that asks.
pub(super) const FEW: usize = 10_000;

/// Readers of a large fleet that work at one time; others wait for their turn.
const READERS: usize = 2;

/// Changes that are applied before readers get their turn.
const APPLIED_AT_ONCE: usize = 1_000;

/// All hosts.
#[derive(Debug)]
pub struct Directory {
    tables: RwLock<Tables>,
    queue: Mutex<ChangeQueue>,
    /// Signals changes that wait.
    changed: Notify,
    is_loaded: watch::Sender<bool>,
    size: AtomicUsize,
    /// The highest id of a host so far.
    newest: AtomicI64,
    readers: Arc<Semaphore>,
    seen: Arc<SeenTimes>,
}

/// Changes in the order in which they came.
#[derive(Debug, Default)]
struct ChangeQueue {
    changes: VecDeque<Change>,
    /// Deleted hosts, and since when: what was read of them before is not put back.
    gone: HashMap<i64, Instant>,
    /// Changes since a page of the database began to be read, if one is.
    since_reading: Option<ChangedSince>,
}

/// Hosts and labels that are newer than a page that is being read.
#[derive(Debug, Default)]
struct ChangedSince {
    hosts: HashSet<i64>,
    labels: BTreeSet<i64>,
}

/// A change of hosts.
#[derive(Debug)]
enum Change {
    Put(Box<DirectoryHost>),
    Removed(i64),
    LabelsDropped(BTreeSet<i64>),
    /// All hosts have been read.
    Loaded,
}

impl ChangeQueue {
    fn put(&mut self, host: DirectoryHost) {
        if self.gone.contains_key(&host.row.id) {
            return;
        }
        if let Some(since) = &mut self.since_reading {
            since.hosts.insert(host.row.id);
        }
        self.changes.push_back(Change::Put(Box::new(host)));
    }

    fn remove(&mut self, id: i64) {
        self.gone.insert(id, Instant::now());
        if let Some(since) = &mut self.since_reading {
            since.hosts.insert(id);
        }
        self.changes.push_back(Change::Removed(id));
    }
}

impl Directory {
    /// `seen` is where last-seen times are.
    pub(super) fn new(seen: Arc<SeenTimes>) -> Self {
        Self {
            tables: RwLock::default(),
            queue: Mutex::default(),
            changed: Notify::new(),
            is_loaded: watch::Sender::new(false),
            size: AtomicUsize::new(0),
            newest: AtomicI64::new(0),
            readers: Arc::new(Semaphore::new(READERS)),
            seen,
        }
    }

    /// Takes over hosts as the database has them.
    pub(crate) fn put(&self, hosts: impl IntoIterator<Item = DirectoryHost>) {
        let mut queue = lock(&self.queue);
        for host in hosts {
            self.newest.fetch_max(host.row.id, Ordering::Relaxed);
            queue.put(host);
        }
        drop(queue);
        self.changed.notify_one();
    }

    /// Removes hosts that were deleted. What was read of them before does not bring them back.
    pub(super) fn remove(&self, ids: impl IntoIterator<Item = i64>) {
        let mut queue = lock(&self.queue);
        ids.into_iter().for_each(|id| queue.remove(id));
        drop(queue);
        self.changed.notify_one();
    }

    pub(super) fn drop_labels(&self, ids: &BTreeSet<i64>) {
        let mut queue = lock(&self.queue);
        if let Some(since) = &mut queue.since_reading {
            since.labels.extend(ids);
        }
        queue.changes.push_back(Change::LabelsDropped(ids.clone()));
        drop(queue);
        self.changed.notify_one();
    }

    /// Begins the reading of a page of the database: what changes from now on is newer than the page.
    pub(super) fn begin_page(&self) {
        let mut queue = lock(&self.queue);
        queue.since_reading = Some(ChangedSince::default());
        queue.gone.retain(|_, since| since.elapsed() < GONE_FOR);
    }

    /// Takes over the page whose reading was begun: its hosts, and those that it lacks because they are gone. Returns the
    /// latter, without those that have changed since.
    pub(super) fn end_page(&self, hosts: Vec<DirectoryHost>, mut gone: BTreeSet<i64>) -> BTreeSet<i64> {
        let mut queue = lock(&self.queue);
        let Some(since) = queue.since_reading.take() else { return BTreeSet::new() };
        gone.retain(|id| !since.hosts.contains(id));
        for mut host in hosts.into_iter().filter(|host| !since.hosts.contains(&host.row.id)) {
            self.newest.fetch_max(host.row.id, Ordering::Relaxed);
            host.label_ids.retain(|id| !since.labels.contains(id));
            queue.put(host);
        }
        gone.iter().for_each(|id| queue.remove(*id));
        drop(queue);
        self.changed.notify_one();
        gone
    }

    /// Notes that the hosts here may be old ones: readers wait until all have been read again.
    pub(super) fn is_out_of_date(&self) {
        self.is_loaded.send_replace(false);
    }

    /// Notes that all hosts have been read.
    ///
    /// # Errors
    /// When the work fails.
    pub(super) async fn has_loaded(self: &Arc<Self>) -> Result<()> {
        lock(&self.queue).changes.push_back(Change::Loaded);
        self.work(Self::apply).await
    }

    /// The number of hosts, as far as changes are applied.
    pub fn len(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// The highest id of a host so far.
    pub(super) fn newest(&self) -> i64 {
        self.newest.load(Ordering::Relaxed)
    }

    /// Whether all hosts are here.
    pub fn is_loaded(&self) -> bool {
        *self.is_loaded.borrow()
    }

    /// Waits until all hosts are here, after the start and after the node was cut off for long.
    ///
    /// # Errors
    /// When that takes longer than a request waits.
    pub async fn loaded(&self) -> Result<()> {
        if self.is_loaded() {
            return Ok(());
        }
        let mut is_loaded = self.is_loaded.subscribe();
        match tokio::time::timeout(LOADED_WITHIN, is_loaded.wait_for(|is_loaded| *is_loaded)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Error::Unavailable(
                "the server reads all hosts, after its start or after it was cut off; try again soon".to_owned(),
            )),
        }
    }

    /// Applies changes as they come. Runs until it is dropped.
    pub async fn apply_changes(self: &Arc<Self>) {
        loop {
            self.changed.notified().await;
            if let Err(error) = self.work(Self::apply).await {
                tracing::error!(%error, "changes of hosts were not applied");
            }
        }
    }

    /// Reads the hosts, with every change so far, once all are here.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Tables, &SeenTimes) -> T + Send + 'static,
    ) -> Result<T> {
        self.loaded().await?;
        self.read_what_is_here(read).await
    }

    /// As [`Directory::read`], even while hosts are being loaded.
    async fn read_what_is_here<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Tables, &SeenTimes) -> T + Send + 'static,
    ) -> Result<T> {
        let read = move |this: &Self| {
            this.apply();
            read(&this.tables.read().unwrap_or_else(PoisonError::into_inner), &this.seen)
        };
        self.work(read).await
    }

    /// Works here if there are few hosts, and else on a thread of its own.
    async fn work<T: Send + 'static>(self: &Arc<Self>, work: impl FnOnce(&Self) -> T + Send + 'static) -> Result<T> {
        if self.len() <= FEW {
            return Ok(work(self));
        }
        let internal = |error: Box<dyn std::error::Error + Send + Sync>| Error::Internal(error);
        let permit = Arc::clone(&self.readers).acquire_owned().await.map_err(|error| internal(error.into()))?;
        let this = Arc::clone(self);
        let worked = tokio::task::spawn_blocking(move || {
            let outcome = work(&this);
            drop(permit);
            outcome
        });
        worked.await.map_err(|error| internal(error.into()))
    }

    /// Applies the changes that wait.
    fn apply(&self) {
        loop {
            if lock(&self.queue).changes.is_empty() {
                return;
            }
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            // Taken with the tables locked, so that changes are applied in the order in which they came.
            let some: Vec<Change> = {
                let changes = &mut lock(&self.queue).changes;
                let count = changes.len().min(APPLIED_AT_ONCE);
                changes.drain(..count).collect()
            };
            some.into_iter().for_each(|change| self.apply_one(&mut tables, change));
            tables.orders.drop_unused();
            self.size.store(usize::try_from(tables.hosts.len()).unwrap_or(usize::MAX), Ordering::Relaxed);
        }
    }

    fn apply_one(&self, tables: &mut Tables, change: Change) {
        match change {
            Change::Put(host) => tables.put(&host),
            Change::Removed(id) => tables.remove(id),
            Change::LabelsDropped(ids) => tables.drop_labels(&ids),
            Change::Loaded => drop(self.is_loaded.send_replace(true)),
        }
    }
}
