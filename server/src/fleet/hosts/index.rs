use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use super::follow::BATCH;
use super::{Assignment, Host, Hosts, NodeKey};
use crate::bus::ChangeEvent;
use crate::clock::Moment;
use crate::fleet::{Result, within};
use crate::lock::lock;
use crate::store::node_keys::KeyHash;
use crate::store::{self, entity};

/// For so long a key the database did not know is not asked for again.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// Unknown keys remembered at most; a flood of made-up keys costs lookups, never memory.
const MAX_UNKNOWN: usize = 100_000;

/// For so long a deleted host is kept out of memory: longer than any look-up that has found it before can take.
const GONE_FOR: Duration = Duration::from_secs(600);

/// Node keys and hosts that have checked in since the start, by hash of the key.
#[derive(Debug, Default)]
pub struct HostIndex {
    keys: papaya::HashMap<KeyHash, Arc<KeyEntry>>,
    hosts: papaya::HashMap<i64, Arc<Host>>,
    unknown: papaya::HashMap<KeyHash, Moment>,
    /// Deleted hosts, until when they are remembered. Their ids are not used again.
    gone: papaya::HashMap<i64, Moment>,
    /// How often keys of hosts were doubted.
    key_changes: AtomicU64,
}

/// A node key that is good.
#[derive(Debug)]
pub(super) struct KeyEntry {
    pub hash: KeyHash,
    pub host: Arc<Host>,
    first_used: AtomicI64,
    used: AtomicI64,
    written_used: AtomicI64,
}

impl KeyEntry {
    fn new(row: &entity::node_keys::Model, hash: KeyHash, host: Arc<Host>) -> Self {
        let used = row.used_at.unwrap_or(Moment::NEVER).0;
        Self {
            hash,
            host,
            first_used: AtomicI64::new(row.first_used_at.or(row.used_at).unwrap_or(Moment::NEVER).0),
            used: AtomicI64::new(used),
            written_used: AtomicI64::new(used),
        }
    }

    fn mark_used(&self, now: Moment) {
        if self.used.fetch_max(now.0, Ordering::Relaxed) == Moment::NEVER.0 {
            self.first_used.store(now.0, Ordering::Relaxed);
        }
    }

    pub fn first_used(&self) -> Moment {
        Moment(self.first_used.load(Ordering::Relaxed))
    }

    pub fn used(&self) -> Moment {
        Moment(self.used.load(Ordering::Relaxed))
    }

    pub fn written_used(&self) -> Moment {
        Moment(self.written_used.load(Ordering::Relaxed))
    }

    pub fn use_was_written(&self, moment: Moment) {
        self.written_used.fetch_max(moment.0, Ordering::Relaxed);
    }
}

/// Who a node key belongs to.
#[derive(Debug)]
pub enum Authenticated {
    Host(Arc<Host>),
    /// The database has said that there is no such key.
    Unknown,
}

impl HostIndex {
    /// Hosts that have checked in since the start.
    pub fn all(&self) -> Vec<Arc<Host>> {
        self.hosts.pin().values().cloned().collect()
    }

    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    pub(super) fn all_keys(&self) -> Vec<Arc<KeyEntry>> {
        self.keys.pin().values().cloned().collect()
    }

    pub fn get(&self, host_id: i64) -> Option<Arc<Host>> {
        self.hosts.pin().get(&host_id).cloned()
    }

    /// The shared host of this id, made or brought up to date.
    pub(super) fn host(&self, known: &store::hosts::KnownHost) -> Arc<Host> {
        let hosts = self.hosts.pin();
        let host = hosts.get_or_insert_with(known.host.id, || Arc::new(Host::new(known)));
        host.refresh(known);
        Arc::clone(host)
    }

    /// Takes a key into memory; `None` if its host has been deleted since the database was asked.
    pub(super) fn add_key(
        &self,
        row: &entity::node_keys::Model,
        hash: KeyHash,
        host: Arc<Host>,
    ) -> Option<Arc<KeyEntry>> {
        let host_id = host.id;
        self.unknown.pin().remove(&hash);
        let key = Arc::clone(self.keys.pin().get_or_insert_with(hash, || Arc::new(KeyEntry::new(row, hash, host))));
        if self.gone.pin().contains_key(&host_id) {
            self.forget_key(&hash);
            self.hosts.pin().remove(&host_id);
            return None;
        }
        Some(key)
    }

    pub(super) fn forget_key(&self, hash: &KeyHash) {
        self.keys.pin().remove(hash);
    }

    /// The keys of some hosts, which may be theirs no more.
    pub(super) fn doubted_keys(&self, host_ids: &BTreeSet<i64>) -> Vec<Arc<KeyEntry>> {
        // Before they are listed: a look-up that is under way adds its key first and looks here then.
        self.key_changes.fetch_add(1, Ordering::SeqCst);
        self.keys.pin().values().filter(|key| host_ids.contains(&key.host.id)).cloned().collect()
    }

    /// Forgets hosts that have been deleted, with all their keys.
    pub(super) fn forget_hosts(&self, host_ids: BTreeSet<i64>, now: Moment) {
        if host_ids.is_empty() {
            return;
        }
        // Before the keys go: a look-up that is under way adds its key first and looks here then.
        for host_id in &host_ids {
            self.gone.pin().insert(*host_id, now.plus(GONE_FOR));
        }
        self.keys.pin().retain(|_, key| !host_ids.contains(&key.host.id));
        for host_id in &host_ids {
            self.hosts.pin().remove(host_id);
        }
    }

    fn remember_unknown(&self, hash: KeyHash, now: Moment) {
        let unknown = self.unknown.pin();
        if unknown.len() >= MAX_UNKNOWN {
            unknown.clear();
        }
        unknown.insert(hash, now.plus(UNKNOWN_FOR));
    }

    /// Drops unknown keys that may be asked for again, and deleted hosts nobody can come with any more.
    pub fn sweep(&self, now: Moment) {
        self.unknown.pin().retain(|_, until| *until > now);
        self.gone.pin().retain(|_, until| *until > now);
    }
}

impl Hosts {
    /// Finds the host of a node key and marks it seen. In memory, but for the first time a key is shown.
    ///
    /// # Errors
    /// When the database is needed and does not answer: that says nothing about the key.
    pub async fn authenticate(&self, node_key: &str) -> Result<Authenticated> {
        if node_key.is_empty() {
            return Ok(Authenticated::Unknown);
        }
        let hash = NodeKey::hash(node_key);
        let now = self.clock.now();
        if let Some(key) = self.index.keys.pin().get(&hash) {
            key.mark_used(now);
            key.host.mark_seen(now);
            return Ok(Authenticated::Host(Arc::clone(&key.host)));
        }
        if self.index.unknown.pin().get(&hash).is_some_and(|until| *until > now) {
            return Ok(Authenticated::Unknown);
        }
        // Boxed, because every request would otherwise carry room for it.
        Box::pin(self.meet(hash, now)).await
    }

    /// Finds the host of a key that has not been shown here before.
    async fn meet(&self, hash: KeyHash, now: Moment) -> Result<Authenticated> {
        self.metrics.key_lookups.inc();
        let key_changes = self.index.key_changes.load(Ordering::SeqCst);
        let found = within(self.config.store_timeout, self.look_up(&hash)).await?;
        let Some((row, known)) = found else {
            self.index.remember_unknown(hash, now);
            return Ok(Authenticated::Unknown);
        };
        // Its host has been deleted meanwhile.
        let Some(key) = self.index.add_key(&row, hash, self.index.host(&known)) else {
            self.index.remember_unknown(hash, now);
            return Ok(Authenticated::Unknown);
        };
        if self.index.key_changes.load(Ordering::SeqCst) != key_changes {
            // It may be another host's by now: this request is answered as it was found, the next looks again.
            self.index.forget_key(&hash);
        }
        // A change between the reading and now has found no host in memory to tell.
        self.mark_stale([key.host.id]);
        key.mark_used(now);
        key.host.mark_seen(now);
        Ok(Authenticated::Host(Arc::clone(&key.host)))
    }

    /// Notes that a host has fetched its config.
    pub fn config_fetched(&self, host: &Host) {
        host.config_fetched(self.clock.now());
    }

    /// The distinct assignments of the hosts in memory.
    pub fn assignments(&self) -> HashSet<Arc<Assignment>> {
        self.index.hosts.pin().values().map(|host| host.assignment.load_full()).collect()
    }

    async fn look_up(&self, hash: &KeyHash) -> Result<Option<(entity::node_keys::Model, store::hosts::KnownHost)>> {
        let db = self.store.reader();
        let mut found = store::node_keys::by_hash(db, hash).await?;
        while let Some(row) = found {
            if let Some(known) = store::hosts::known(db, row.host_id).await? {
                return Ok(Some((row, known)));
            }
            // Its host went between the two readings: deleted with the key, or the key was given to another host first.
            found = store::node_keys::by_hash(db, hash).await?.filter(|now| now.host_id != row.host_id);
        }
        Ok(None)
    }

    /// Takes labels that are no more off the hosts in memory.
    pub fn drop_labels(&self, label_ids: &BTreeSet<i64>) {
        if label_ids.is_empty() {
            return;
        }
        for host in self.index.all() {
            host.assignment.rcu(|assignment| {
                let (dropped, kept): (Vec<i64>, Vec<i64>) =
                    assignment.label_ids.iter().partition(|id| label_ids.contains(id));
                if dropped.is_empty() {
                    return Arc::clone(assignment);
                }
                Arc::new(Assignment { platform: assignment.platform.clone(), label_ids: kept.into() })
            });
        }
    }

    /// Notes hosts whose row or labels were changed here, and tells other nodes.
    pub fn have_changed(&self, host_ids: impl IntoIterator<Item = i64>) {
        self.mark_stale(host_ids);
        self.notifier.publish(ChangeEvent::Hosts);
    }

    /// Notes hosts whose labels or platform in the database may be others than in memory.
    pub fn mark_stale(&self, host_ids: impl IntoIterator<Item = i64>) {
        lock(&self.stale).extend(host_ids);
    }

    /// Brings the noted hosts in memory up to date with the database. One caller at a time, so that an older reading
    /// never lands on top of a newer one.
    ///
    /// # Errors
    /// When the database does not answer; what is left is done by the next call.
    pub async fn refresh_stale(&self) -> Result<()> {
        let _guard = self.refreshing.lock().await;
        loop {
            // Taken off before they are read: whoever notes one meanwhile has it read once more.
            let batch: Vec<i64> = {
                let mut stale = lock(&self.stale);
                let rest = stale.iter().nth(BATCH).copied();
                let rest = rest.map(|first| stale.split_off(&first)).unwrap_or_default();
                std::mem::replace(&mut *stale, rest).into_iter().collect()
            };
            if batch.is_empty() {
                return Ok(());
            }
            let held: Vec<i64> = batch.into_iter().filter(|id| self.index.get(*id).is_some()).collect();
            if let Err(error) = self.refresh_all(&held).await {
                self.mark_stale(held);
                return Err(error);
            }
        }
    }
}
