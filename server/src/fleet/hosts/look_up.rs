//! Node keys that were not shown since the start are looked up in the database: after a start under load, some thousand in a
//! second. Those that come together are read together, with their hosts.
//!
//! Much can happen between the reading and the moment in which key and host are in memory: a key is retired or moved, a host
//! is deleted, its row or labels change. Whoever changes them notes that first ([`ChangeMark`], `gone`), and looks for them in
//! memory afterwards. Whoever looks up adds to memory first, and sees whether anything was noted since before the reading. So
//! a change is applied by the one or seen by the other.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::confirm::FoundKey;
use super::index::ChangeMark;
use super::{Authenticated, Hosts};
use crate::clock::Moment;
use crate::fleet::batches::{Batches, NoAnswer, Unanswered};
use crate::fleet::{Result, within};
use crate::store::hosts::KnownHost;
use crate::store::node_keys::KeyHash;
use crate::store::{self, Store};

/// Time from one reading to the next, which the keys in between share.
const SPACING: Duration = Duration::from_millis(10);

/// Most keys in one reading.
const BATCH: usize = 256;

/// Most keys that wait to be looked up.
const MAX_WAITING: usize = 20_000;

/// A key as it was read, with its host.
#[derive(Debug, Clone)]
pub(super) struct ReadKey {
    pub found: FoundKey,
    /// Whether the host has no other key.
    pub is_only: bool,
}

/// Keys on their way to be looked up.
#[derive(Debug)]
pub(super) struct KeyLookUps {
    keys: Arc<Batches<KeyHash, Option<ReadKey>>>,
    store: Store,
}

impl KeyLookUps {
    /// One reading takes no longer than `longest`, after which nobody waits for it.
    pub fn new(store: &Store, longest: Duration) -> Self {
        let keys = Batches::new(BATCH, MAX_WAITING, SPACING).ending_after(longest);
        Self { keys: Arc::new(keys), store: store.clone() }
    }

    /// Keys that wait or are being read, and the most they may be.
    pub(super) fn size(&self) -> (usize, usize) {
        self.keys.size()
    }

    /// The key as a plain reading shows it, which begins after this is called.
    async fn read(&self, hash: KeyHash) -> std::result::Result<Option<ReadKey>, NoAnswer> {
        let store = self.store.clone();
        let work = move |batch| {
            let store = store.clone();
            async move {
                read_keys(&store, batch).await;
                Vec::new()
            }
        };
        self.keys.ask(hash, work).await
    }
}

impl Hosts {
    /// Finds the host of a key in the database and takes both into memory.
    pub(super) async fn meet(&self, hash: KeyHash, now: Moment) -> Result<Authenticated> {
        self.metrics.key_lookups.inc();
        let mark = self.index.change_mark();
        let looked_up = async {
            let read = self.look_ups.read(hash).await;
            Ok(read.inspect_err(|reason| self.count_full(*reason))?)
        };
        let read = within(self.config.store_timeout, looked_up).await?;
        self.take_in_met(hash, read, mark, now).await
    }

    /// Counts a key that found too many others waiting for the database.
    pub(super) fn count_full(&self, reason: NoAnswer) {
        if matches!(reason, NoAnswer::Full) {
            self.metrics.limit_hit("waiting_keys");
        }
    }

    /// Takes a key and its host into memory as they were read. `mark` is from before the reading.
    async fn take_in_met(
        &self,
        hash: KeyHash,
        read: Option<ReadKey>,
        mark: ChangeMark,
        now: Moment,
    ) -> Result<Authenticated> {
        let (found, is_only) = match read {
            Some(ReadKey { found: (row, _), .. })
                if !self.store.shows_every_commit() && self.index.is_doubted(row.host_id, now) =>
            {
                (self.confirm(hash).await?, false)
            }
            Some(ReadKey { found, is_only }) => (Some(found), is_only),
            None => (self.confirm_unknown(hash).await?, false),
        };
        let Some((row, known)) = found else {
            self.index.remember_unknown(hash, now);
            return Ok(Authenticated::Unknown);
        };
        // The host has been deleted in the meantime.
        let Some(host) = self.index.add_key(&row, hash, self.index.host(&known)) else {
            self.index.remember_unknown(hash, now);
            return Ok(Authenticated::Unknown);
        };
        // From here on a change finds key and host in memory. One before may have found nothing to apply to.
        let changed = self.index.change_mark();
        if changed.hosts != mark.hosts {
            self.read_again(host.id);
        }
        if changed.keys != mark.keys {
            // The key may have moved to another host: this request is answered as found, the next asks again.
            self.index.forget_key(&hash);
        }
        let idle_since = self.may_be_retired(now);
        // One that was forgotten meanwhile counts as idle.
        let is_idle = || self.index.key(&hash, |key| key.is_idle_since(idle_since)).unwrap_or(true);
        if !is_only && is_idle() && !self.use_again(&hash, now).await? {
            self.index.forget_key(&hash);
            self.index.remember_unknown(hash, now);
            return Ok(Authenticated::Unknown);
        }
        self.index.key(&hash, |key| key.mark_used(now));
        host.mark_seen(now);
        Ok(Authenticated::Host(host))
    }
}

async fn read_keys(store: &Store, batch: Vec<Unanswered<KeyHash, Option<ReadKey>>>) {
    let hashes: BTreeSet<KeyHash> = batch.iter().map(|asked| asked.question).collect();
    match find(store, hashes.into_iter().collect()).await {
        Ok(found) => {
            for asked in batch {
                let read = found.get(&asked.question).cloned();
                // Who has stopped waiting asks again.
                let _ = asked.answer(read);
            }
        }
        // The callers notice that they get no answer.
        Err(error) => tracing::debug!(%error, keys = batch.len(), "node keys not looked up now"),
    }
}

/// Those of these keys that there are, with their hosts.
async fn find(store: &Store, mut hashes: Vec<KeyHash>) -> store::Result<HashMap<KeyHash, ReadKey>> {
    let db = store.reader();
    let (mut found, mut gone) = (HashMap::new(), HashMap::new());
    while !hashes.is_empty() {
        let keys = store::node_keys::by_hashes(db, &hashes).await?;
        let ids: BTreeSet<i64> = keys.iter().map(|key| key.key.host_id).collect();
        let hosts = store::hosts::known_many(db, &ids.into_iter().collect::<Vec<_>>()).await?;
        let hosts: HashMap<i64, KnownHost> = hosts.into_iter().map(|known| (known.host.id, known)).collect();
        hashes.clear();
        for key in keys {
            let (Ok(hash), host_id) = (KeyHash::try_from(key.key.key_hash.as_slice()), key.key.host_id) else {
                continue;
            };
            match hosts.get(&host_id) {
                Some(host) => {
                    found.insert(hash, ReadKey { found: (key.key, host.clone()), is_only: key.is_only });
                }
                // The host went between the two readings: deleted with the key, or after the key was moved to another host.
                None if gone.insert(hash, host_id) != Some(host_id) => hashes.push(hash),
                None => {}
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
#[path = "look_up_tests.rs"]
mod tests;
