//! Confirms that a key is unknown or a host deleted, before anything final is said or done about it.
//!
//! A plain reading of MySQL may lag behind: a proxy reads from replicas, a server of a cluster applies what the others
//! have committed a moment later. A key that another node gave out just now would then look unknown, and its agent would
//! enroll again, and again. A locking reading goes to the server that takes writes and shows what is committed. It is
//! dearer, and anybody can send made-up keys; so keys are confirmed many at a time and not more than so many a second, and
//! the agents of those beyond are told to try again. A key that a plain reading finds is confirmed, too, while its host is
//! doubted: the key may have been moved or deleted a moment ago. SQLite shows everything at once and needs none of this.
//!
//! Keys and hosts are read one after the other and never in one transaction: whoever changes both locks the host first.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::Hosts;
use super::follow::BATCH;
use crate::config;
use crate::fleet::batches::{Batches, Unanswered};
use crate::fleet::{Error, Result, within};
use crate::store::hosts::KnownHost;
use crate::store::node_keys::KeyHash;
use crate::store::{self, Store, entity};

/// Time from one statement to the next, which the keys in between share.
const SPACING: Duration = Duration::from_millis(20);

/// Most keys that wait to be confirmed.
const MAX_WAITING: usize = 5_000;

/// A key and the host it belongs to.
pub(super) type FoundKey = (entity::node_keys::Model, KnownHost);

/// Keys on their way to be confirmed.
#[derive(Debug)]
pub(super) struct Confirmations {
    keys: Arc<Batches<KeyHash, Option<FoundKey>>>,
    limit: DefaultDirectRateLimiter,
}

impl Confirmations {
    pub fn new(config: &config::Osquery) -> Self {
        let per_second = NonZeroU32::new(config.key_confirmations_per_second).unwrap_or(NonZeroU32::MIN);
        Self {
            keys: Arc::new(Batches::new(BATCH, MAX_WAITING, SPACING)),
            limit: RateLimiter::direct(Quota::per_second(per_second)),
        }
    }
}

impl Hosts {
    /// Looks for a key that a plain reading did not find. `None` if there certainly is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] beyond the limit, or when the database does not answer. That says nothing about the key.
    pub(super) async fn confirm_unknown(&self, hash: KeyHash) -> Result<Option<FoundKey>> {
        if self.store.shows_every_commit() {
            return Ok(None);
        }
        if self.confirmations.limit.check().is_err() {
            self.metrics.limit_hit("key_confirmations_per_second");
            return Err(Error::Unavailable("too many unknown node keys at one time".to_owned()));
        }
        self.confirm(hash).await
    }

    /// Looks for a key that a plain reading found as it may have been a moment ago. `None` if there certainly is none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the database does not answer, or the host of the key went meanwhile.
    pub(super) async fn confirm(&self, hash: KeyHash) -> Result<Option<FoundKey>> {
        let store = self.store.clone();
        let work = move |batch| {
            let store = store.clone();
            async move {
                confirm_keys(&store, batch).await;
                Vec::new()
            }
        };
        let confirmed = async {
            let confirmed = self.confirmations.keys.ask(hash, work).await;
            Ok(confirmed.inspect_err(|reason| self.count_full(*reason))?)
        };
        within(self.config.store_timeout, confirmed).await
    }

    /// Those of these hosts that certainly are not there any more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(super) async fn confirm_deleted(&self, mut missing: BTreeSet<i64>) -> Result<BTreeSet<i64>> {
        if missing.is_empty() || self.store.shows_every_commit() {
            return Ok(missing);
        }
        let ids: Vec<i64> = missing.iter().copied().collect();
        for batch in ids.chunks(BATCH) {
            for there in store::hosts::confirmed(&self.store, batch).await? {
                missing.remove(&there);
            }
        }
        Ok(missing)
    }
}

async fn confirm_keys(store: &Store, batch: Vec<Unanswered<KeyHash, Option<FoundKey>>>) {
    let hashes: Vec<KeyHash> = batch.iter().map(|asked| asked.question).collect();
    match find(store, &hashes).await {
        Ok(found) => {
            for asked in batch {
                let answer = match found.get(asked.question.as_slice()) {
                    Some(Some(found)) => Some(found.clone()),
                    None => None,
                    // The caller notices that it gets no answer.
                    Some(None) => continue,
                };
                // Who has stopped waiting asks again.
                let _ = asked.answer(answer);
            }
        }
        // The callers notice that they get no answer.
        Err(error) => tracing::debug!(%error, keys = batch.len(), "unknown node keys not confirmed now"),
    }
}

/// Those of these keys that there are; without its host if that went between the two readings.
async fn find(store: &Store, hashes: &[KeyHash]) -> store::Result<HashMap<Vec<u8>, Option<FoundKey>>> {
    let keys = store::node_keys::confirmed(store, hashes).await?;
    let host_ids: Vec<i64> = keys.iter().map(|key| key.host_id).collect::<BTreeSet<_>>().into_iter().collect();
    if host_ids.is_empty() {
        return Ok(HashMap::new());
    }
    let hosts = store::hosts::known_confirmed(store, &host_ids).await?;
    let hosts: HashMap<i64, KnownHost> = hosts.into_iter().map(|known| (known.host.id, known)).collect();
    let found = keys.into_iter().map(|key| {
        let host = hosts.get(&key.host_id).cloned();
        (key.key_hash.clone(), host.map(|host| (key, host)))
    });
    Ok(found.collect())
}
