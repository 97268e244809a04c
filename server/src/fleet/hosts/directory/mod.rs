//! Every host of the fleet in memory, by column: what hosts are picked, ordered and counted by. Lists, counts, searches and
//! targets are answered from here without a statement; a page of a list then reads exactly its own rows.
//!
//! Loaded at the start in pages, while the node already serves; kept current by the feed of host changes and by this
//! node's own changes. Changes never wait for a reader: they queue up, and whoever takes the lock next applies them.

mod load;
mod order;
mod pick;
mod tables;
#[cfg(test)]
mod tests;
mod text;
mod words;

pub(super) use pick::{HostPick, PickedHost};
pub use pick::{OnlineTally, TargetGroups};

use std::collections::{BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use self::tables::Tables;
use crate::fleet::{Error, Result};
use crate::lock::lock;
use crate::store::directory::DirectoryHost;
use crate::store::hosts::AgentIntervals;

/// How long a request waits for the directory to be loaded after the start.
const LOADED_WITHIN: Duration = Duration::from_secs(10);

/// All hosts.
#[derive(Debug)]
pub struct Directory {
    tables: RwLock<Tables>,
    queue: Mutex<Vec<Change>>,
    loading: Mutex<Option<Loading>>,
    is_loaded: watch::Sender<bool>,
}

/// What happened to hosts.
#[derive(Debug)]
enum Change {
    Put(DirectoryHost),
    Removed(i64),
    Intervals(i64, AgentIntervals),
    LabelsDropped(BTreeSet<i64>),
    /// A host as a page of the load shows it.
    Loaded(DirectoryHost),
    /// The load has read every host.
    LoadEnded,
}

/// A load that is under way.
#[derive(Debug, Default)]
struct Loading {
    /// Hosts that were changed meanwhile: what a page shows of them may be older.
    changed: HashSet<i64>,
    found: HashSet<i64>,
}

impl Default for Directory {
    fn default() -> Self {
        Self {
            tables: RwLock::default(),
            queue: Mutex::default(),
            loading: Mutex::default(),
            is_loaded: watch::Sender::new(false),
        }
    }
}

impl Directory {
    /// Takes over hosts as the database has them.
    pub fn put(&self, hosts: impl IntoIterator<Item = DirectoryHost>) {
        self.change(hosts.into_iter().map(Change::Put));
    }

    pub fn remove(&self, ids: impl IntoIterator<Item = i64>) {
        self.change(ids.into_iter().map(Change::Removed));
    }

    pub fn set_intervals(&self, ids: impl IntoIterator<Item = i64>, intervals: AgentIntervals) {
        self.change(ids.into_iter().map(|id| Change::Intervals(id, intervals)));
    }

    pub fn drop_labels(&self, ids: &BTreeSet<i64>) {
        self.change([Change::LabelsDropped(ids.clone())]);
    }

    /// The number of hosts.
    pub fn len(&self) -> usize {
        self.read(|tables| usize::try_from(tables.hosts.len()).unwrap_or(usize::MAX))
    }

    /// Waits until all hosts are here.
    ///
    /// # Errors
    /// When the load takes longer than a request waits.
    pub async fn loaded(&self) -> Result<()> {
        let mut is_loaded = self.is_loaded.subscribe();
        match tokio::time::timeout(LOADED_WITHIN, is_loaded.wait_for(|is_loaded| *is_loaded)).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Error::Unavailable("the server still reads its hosts after the start".to_owned())),
        }
    }

    /// Reads all changes and then the hosts.
    fn read<T>(&self, read: impl FnOnce(&Tables) -> T) -> T {
        if !lock(&self.queue).is_empty() {
            let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
            self.apply(&mut tables);
        }
        read(&self.tables.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, changes: impl IntoIterator<Item = Change>) {
        lock(&self.queue).extend(changes);
        // Somebody who reads now leaves them to whoever comes next.
        if let Ok(mut tables) = self.tables.try_write() {
            self.apply(&mut tables);
        }
    }

    fn apply(&self, tables: &mut Tables) {
        // In the order in which they came: changes that come meanwhile stay in the queue.
        let changes = std::mem::take(&mut *lock(&self.queue));
        let mut loading = lock(&self.loading);
        for change in changes {
            match change {
                Change::Put(host) => {
                    if let Some(loading) = &mut *loading {
                        loading.changed.insert(host.row.id);
                    }
                    tables.put(&host);
                }
                Change::Removed(id) => {
                    if let Some(loading) = &mut *loading {
                        loading.changed.insert(id);
                    }
                    tables.remove(id);
                }
                Change::Intervals(id, intervals) => tables.set_intervals(id, intervals),
                Change::LabelsDropped(ids) => tables.drop_labels(&ids),
                Change::Loaded(host) => {
                    if let Some(loading) = &mut *loading {
                        loading.found.insert(host.row.id);
                        if !loading.changed.contains(&host.row.id) {
                            tables.put(&host);
                        }
                    }
                }
                Change::LoadEnded => {
                    let Some(ended) = loading.take() else { continue };
                    let is_gone = |id: &i64| !ended.found.contains(id) && !ended.changed.contains(id);
                    let gone: Vec<i64> = tables.hosts.iter().map(|slot| tables.id(slot)).filter(is_gone).collect();
                    gone.into_iter().for_each(|id| tables.remove(id));
                    self.is_loaded.send_replace(true);
                }
            }
        }
    }
}
