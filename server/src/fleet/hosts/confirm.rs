//! Confirms that a key is unknown or a host deleted, before anything final is said or done about it.
//!
//! A plain reading of MySQL may lag behind: a proxy reads from replicas, a server of a cluster applies what the others
//! have committed a moment later. A key that another node gave out just now would then look unknown, and its agent would
//! enroll again, and again. A locking reading goes to the server that takes writes and shows what is committed. It costs
//! a transaction, and anybody can send made-up keys; so keys are confirmed many at a time and not more than so many a
//! second, and the agents of those beyond are told to try again. SQLite shows everything at once and needs none of this.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::Hosts;
use super::follow::BATCH;
use crate::config;
use crate::fleet::batches::{Batches, Unanswered};
use crate::fleet::{Error, Result, within};
use crate::store::hosts::KnownHost;
use crate::store::node_keys::KeyHash;
use crate::store::{self, Store, entity};

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
            keys: Arc::new(Batches::new(BATCH, MAX_WAITING)),
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
        let store = self.store.clone();
        let confirmed =
            self.confirmations.keys.ask(hash, move |batch| async move { confirm_keys(&store, batch).await });
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
        let there = self.store.write(async |tx| store::hosts::confirmed(tx, &ids).await).await?;
        missing.retain(|id| !there.contains(id));
        Ok(missing)
    }
}

async fn confirm_keys(store: &Store, batch: Vec<Unanswered<KeyHash, Option<FoundKey>>>) {
    let hashes: Vec<KeyHash> = batch.iter().map(|(hash, _)| *hash).collect();
    let found = store.write(async |tx| find(tx, &hashes).await).await;
    match found {
        Ok(found) => {
            for (hash, sender) in batch {
                // Who has stopped waiting asks again.
                let _ = sender.send(found.get(hash.as_slice()).cloned());
            }
        }
        // The callers notice that they get no answer.
        Err(error) => tracing::debug!(%error, keys = batch.len(), "unknown node keys not confirmed now"),
    }
}

async fn find(tx: &store::Tx, hashes: &[KeyHash]) -> store::Result<HashMap<Vec<u8>, FoundKey>> {
    let keys = store::node_keys::confirmed(tx, hashes).await?;
    let host_ids: Vec<i64> = keys.iter().map(|key| key.host_id).collect::<BTreeSet<_>>().into_iter().collect();
    if host_ids.is_empty() {
        return Ok(HashMap::new());
    }
    // A host is deleted after its keys, which are locked here.
    let hosts: HashMap<i64, KnownHost> =
        store::hosts::known_confirmed(tx, &host_ids).await?.into_iter().map(|known| (known.host.id, known)).collect();
    let found = keys.into_iter().filter_map(|key| {
        let host = hosts.get(&key.host_id)?.clone();
        Some((key.key_hash.clone(), (key, host)))
    });
    Ok(found.collect())
}
