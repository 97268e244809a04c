//! Node keys and hosts in memory. A check-in looks up the SHA-256 of its key here; only a key that was not shown since
//! the start is looked up in the database (`look_up`), and one that the database certainly does not know (`confirm`) is
//! remembered for ten seconds. Keys are random and never come back, so an unknown key remembered that long cannot become wrong.
//!
//! The host is marked as seen in memory, which is shared and stored by pages (`seen`). A check-in with nothing to do runs
//! no SQL.

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::assignment::Assignments;
use super::by_id::HostsById;
use super::follow::OVERLAP;
use super::seen::SeenTimes;
use super::{Assignment, Host, Hosts, NodeKey};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::lock::lock;
use crate::store::node_keys::KeyHash;
use crate::store::{self, entity};

/// How long a key that the database did not know is refused without asking again.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// Most unknown keys remembered. A flood of made-up keys costs lookups, not memory.
const MAX_UNKNOWN: usize = 100_000;

/// How long a deleted host is kept out of memory: longer than any lookup that began before can take.
pub(super) const GONE_FOR: Duration = Duration::from_secs(600);

/// Node keys and hosts that have checked in since the start, by hash of the key.
#[derive(Debug, Default)]
pub struct HostIndex {
    keys: papaya::HashMap<KeyHash, KeyEntry>,
    pub(super) hosts: HostsById,
    unknown: papaya::HashMap<KeyHash, Moment>,
    /// Deleted hosts, and until when they are remembered. Host ids are not used again.
    gone: papaya::HashMap<i64, Moment>,
    /// Hosts whose keys have changed, and until when a plain reading may still show their keys as they were.
    doubted: papaya::HashMap<i64, Moment>,
    /// When hosts were last seen, those too that have not checked in here.
    pub(super) seen: Arc<SeenTimes>,
    pub(super) assignments: Assignments,
    /// Hosts whose keys are to be counted again.
    uncounted: Mutex<BTreeSet<i64>>,
    /// Counts calls of `doubt`, so that a lookup notices one in the meantime.
    key_changes: AtomicU64,
    /// Counts changes of hosts that are to be read again, for the same reason.
    host_changes: AtomicU64,
}

/// What was known of changes before the database was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChangeMark {
    pub keys: u64,
    pub hosts: u64,
}

/// A valid node key. In the map itself, so that a check-in finds all that it needs of a key in one place.
#[derive(Debug)]
pub(super) struct KeyEntry {
    pub host: Arc<Host>,
    created_at: Moment,
    first_used: AtomicI64,
    used: AtomicI64,
    written_used: AtomicI64,
}

impl KeyEntry {
    fn new(row: &entity::node_keys::Model, host: Arc<Host>) -> Self {
        let used = row.used_at.unwrap_or(Moment::NEVER).0;
        Self {
            host,
            created_at: row.created_at,
            first_used: AtomicI64::new(row.first_used_at.or(row.used_at).unwrap_or(Moment::NEVER).0),
            used: AtomicI64::new(used),
            written_used: AtomicI64::new(used),
        }
    }

    /// Takes over a use that another node has written.
    fn was_used_before(&self, row: &entity::node_keys::Model) {
        let used = row.used_at.unwrap_or(Moment::NEVER);
        self.used.fetch_max(used.0, Ordering::Relaxed);
        self.use_was_written(used);
    }

    pub fn mark_used(&self, now: Moment) {
        if self.used.fetch_max(now.0, Ordering::Relaxed) == Moment::NEVER.0 {
            self.first_used.store(now.0, Ordering::Relaxed);
        }
    }

    /// The key was neither given out nor used here since a moment, so that it may be retired any time.
    pub fn is_idle_since(&self, moment: Moment) -> bool {
        self.created_at.max(self.used()) < moment
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

/// The hash of a key in memory, and the id of its host.
pub(super) type KeyOwner = (KeyHash, i64);

/// The owner of a node key.
#[derive(Debug)]
pub enum Authenticated {
    Host(Arc<Host>),
    /// The database has confirmed that there is no such key.
    Unknown,
}

impl HostIndex {
    /// For a reading of keys and hosts that is about to begin: another mark afterwards says that it may be outdated.
    pub(super) fn change_mark(&self) -> ChangeMark {
        let [keys, hosts] = [&self.key_changes, &self.host_changes].map(|count| count.load(Ordering::SeqCst));
        ChangeMark { keys, hosts }
    }

    /// Notes that hosts have changed, before any of them is looked for here. A concurrent lookup adds its host first and takes
    /// the mark afterwards, so its host is either found here or seen to be outdated there.
    pub(super) fn hosts_have_changed(&self) {
        self.host_changes.fetch_add(1, Ordering::SeqCst);
    }

    /// Hosts that have checked in since the start.
    pub fn all(&self) -> Vec<Arc<Host>> {
        self.hosts.all()
    }

    /// Hosts that were deleted lately.
    pub fn gone(&self) -> Vec<i64> {
        self.gone.pin().keys().copied().collect()
    }

    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// What `of` makes of the keys in memory, without those of which it makes nothing.
    pub(super) fn keys<T>(&self, of: impl Fn(KeyHash, &KeyEntry) -> Option<T>) -> Vec<T> {
        self.keys.pin().iter().filter_map(|(hash, key)| of(*hash, key)).collect()
    }

    /// What `of` makes of a key, if it is in memory.
    pub(super) fn key<T>(&self, hash: &KeyHash, of: impl FnOnce(&KeyEntry) -> T) -> Option<T> {
        self.keys.pin().get(hash).map(of)
    }

    pub fn get(&self, host_id: i64) -> Option<Arc<Host>> {
        self.hosts.get(host_id)
    }

    /// The shared host with this id, created or brought up to date.
    pub(super) fn host(&self, known: &store::hosts::KnownHost) -> Arc<Host> {
        let id = known.host.id;
        let new = || Host::new(known, &self.assignments, self.seen.page_of(id));
        let host = self.hosts.get_or_insert_with(id, new);
        host.refresh(known, &self.assignments);
        host
    }

    /// Takes a key into memory; `None` if its host has been deleted since the database was asked. Gives the host of the key
    /// that is in memory now.
    pub(super) fn add_key(&self, row: &entity::node_keys::Model, hash: KeyHash, host: Arc<Host>) -> Option<Arc<Host>> {
        let host_id = host.id;
        self.unknown.pin().remove(&hash);
        let keys = self.keys.pin();
        let entry = || KeyEntry::new(row, Arc::clone(&host));
        let mut key = keys.get_or_insert_with(hash, entry);
        if key.host.id != host_id {
            // The key has moved to another host. If it is the other way round, the caller finds that the key has changed.
            keys.insert(hash, entry());
            key = keys.get_or_insert_with(hash, entry);
        }
        key.was_used_before(row);
        let host = Arc::clone(&key.host);
        if self.gone.pin().contains_key(&host_id) {
            self.forget_key(&hash);
            self.hosts.remove(host_id);
            return None;
        }
        self.doubt_key_count([host_id]);
        Some(host)
    }

    /// Notes hosts that may have other keys than before.
    pub(super) fn doubt_key_count(&self, host_ids: impl IntoIterator<Item = i64>) {
        let held = host_ids.into_iter().filter_map(|id| self.get(id));
        let mut uncounted = lock(&self.uncounted);
        for host in held {
            host.has_one_key.store(false, Ordering::Relaxed);
            uncounted.insert(host.id);
        }
    }

    /// The hosts whose keys are to be counted; see [`HostIndex::have_one_key`].
    pub(super) fn take_uncounted(&self) -> Vec<i64> {
        std::mem::take(&mut *lock(&self.uncounted)).into_iter().collect()
    }

    /// Notes that of the hosts that were taken, all but `several` have one key. Those that were doubted again since stay in
    /// doubt.
    pub(super) fn have_one_key(&self, counted: &[i64], several: &BTreeSet<i64>) {
        let uncounted = lock(&self.uncounted);
        let sure = counted.iter().filter(|id| !several.contains(id) && !uncounted.contains(id));
        for host in sure.filter_map(|id| self.get(*id)) {
            host.has_one_key.store(true, Ordering::Relaxed);
        }
    }

    pub(super) fn forget_key(&self, hash: &KeyHash) {
        self.keys.pin().remove(hash);
    }

    /// Forgets keys of these hosts that were moved or deleted; the next request with one asks the database.
    pub(super) fn forget_changed(
        &self,
        host_ids: &BTreeSet<i64>,
        hashes: impl IntoIterator<Item = KeyHash>,
        now: Moment,
    ) {
        self.doubt(host_ids, now);
        hashes.into_iter().for_each(|hash| self.forget_key(&hash));
    }

    /// The keys in memory of hosts whose keys have changed in the database.
    pub(super) fn doubted_keys(&self, host_ids: &BTreeSet<i64>, now: Moment) -> Vec<KeyOwner> {
        self.doubt(host_ids, now);
        self.keys(|hash, key| host_ids.contains(&key.host.id).then_some((hash, key.host.id)))
    }

    /// Notes that plain readings may show the keys of these hosts as they were.
    fn doubt(&self, host_ids: &BTreeSet<i64>, now: Moment) {
        for host_id in host_ids {
            self.doubted.pin().insert(*host_id, now.plus(OVERLAP));
        }
        // Counted before the keys are listed or forgotten. A concurrent lookup adds its key first and reads the counter
        // afterwards, so its key is either found here or seen to be doubtful there.
        self.key_changes.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn is_doubted(&self, host_id: i64, now: Moment) -> bool {
        self.doubted.pin().get(&host_id).is_some_and(|until| *until > now)
    }

    /// Forgets hosts that have been deleted, with all their keys.
    pub(super) fn forget_hosts(&self, host_ids: BTreeSet<i64>, now: Moment) {
        if host_ids.is_empty() {
            return;
        }
        // Noted before the keys are removed. A concurrent lookup adds its key first and looks into `gone` afterwards,
        // so its key is removed either here or there.
        for host_id in &host_ids {
            self.gone.pin().insert(*host_id, now.plus(GONE_FOR));
        }
        self.keys.pin().retain(|_, key| !host_ids.contains(&key.host.id));
        for host_id in &host_ids {
            self.hosts.remove(*host_id);
        }
    }

    pub(super) fn remember_unknown(&self, hash: KeyHash, now: Moment) {
        let unknown = self.unknown.pin();
        if unknown.len() >= MAX_UNKNOWN {
            unknown.clear();
        }
        unknown.insert(hash, now.plus(UNKNOWN_FOR));
    }

    /// Forgets unknown keys, and deleted and doubted hosts, whose time is up.
    pub fn sweep(&self, now: Moment) {
        self.unknown.pin().retain(|_, until| *until > now);
        self.doubted.pin().retain(|_, until| *until > now);
        self.gone.pin().retain(|_, until| *until > now);
    }
}

impl Hosts {
    /// Finds the host of a node key and marks it as seen. Reads the database only for a key that was not shown before.
    ///
    /// # Errors
    /// When the database is needed and does not answer. That says nothing about the key, and must not make the agent
    /// enroll again.
    pub async fn authenticate(&self, node_key: &str) -> Result<Authenticated> {
        if node_key.is_empty() {
            return Ok(Authenticated::Unknown);
        }
        let hash = NodeKey::hash(node_key);
        let now = self.clock.now();
        if let Some(key) = self.index.keys.pin().get(&hash)
            && (key.host.has_one_key.load(Ordering::Relaxed) || !key.is_idle_since(self.may_be_retired(now)))
        {
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

    /// Notes that a host has fetched its config.
    pub fn config_fetched(&self, host: &Host) {
        host.config_fetched(self.clock.now());
        // Another node has asked it about labels since, so it has packs to come.
        let asked_at = host.labels_asked_at();
        if self.schedule.plan().may_exclude_unknown(asked_at) && host.refresh_state.labels_asked_at() > asked_at {
            self.read_again(host.id);
        }
    }

    /// The distinct assignments of the hosts in memory.
    pub fn assignments(&self) -> HashSet<Arc<Assignment>> {
        let assignments = self.index.hosts.each(|host| Some(Arc::clone(&host.assignment.load().assignment)));
        assignments.into_iter().collect()
    }

    /// Removes deleted labels from the hosts in memory.
    pub fn drop_labels(&self, label_ids: &BTreeSet<i64>) {
        if label_ids.is_empty() {
            return;
        }
        self.directory.drop_labels(label_ids);
        self.index.hosts_have_changed();
        for host in self.index.all() {
            host.assignment.rcu(|assignment| {
                let (dropped, kept): (Vec<i64>, Vec<i64>) =
                    assignment.label_ids.iter().partition(|id| label_ids.contains(id));
                if dropped.is_empty() {
                    return Arc::clone(assignment);
                }
                let kept = Assignment {
                    platform: assignment.platform.clone(),
                    label_ids: kept.into(),
                    ..Assignment::default()
                };
                self.index.assignments.share(kept)
            });
        }
    }
}
