//! Uses of keys are noted in memory and written in batches.
//!
//! Keys and clones are judged by what is written, because each node sees only some of the requests. Only hosts with
//! several keys are judged. Every node writes the uses it saw of their keys (first and last, never backwards) and up to
//! when it has. A key is idle only as of the moment up to which all nodes have reported; a node that fell silent without
//! leaving holds retirement up for a day. So neither an outage of the database nor a node that is cut off from it costs a
//! working key.
//!
//! Of the only key of a host just its first use is written. When the host gets another key, the feed tells every node,
//! and each writes the last use that it knows. A node may stop before that; so a key counts as in use until the next one of
//! its host was created, or came from another host. A node that has reported a minute beyond that moment knew that the host
//! has several keys. While a node of a version lives that knows nothing of this, the uses of all keys are written.
//!
//! A key of several that was idle for so long that the leader may be deleting it is used again only with a write: either the
//! leader finds the use, or the key is gone and its agent enrolls.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Hosts;
use super::clones::JUDGED;
use super::follow::GONE_AFTER;
use super::index::KeyEntry;
use crate::bus::ChangeEvent;
use crate::clock::Moment;
use crate::fleet::{Result, within};
use crate::store::entity::node_keys::Model as Key;
use crate::store::node_keys::{KeyHash, KeyUse};
use crate::store::{feed, node_keys, nodes};

/// A node reports that it has written all uses of keys at least this often, even without any.
const REPORTED_EVERY: Duration = Duration::from_secs(30);

/// A key's last use is written when the stored one is older than this.
const KEY_STALENESS: Duration = Duration::from_secs(120);

/// A node that has not read the feed for this long reports no further than that: it may not know which hosts have got
/// another key.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(60);

/// Keys written in one transaction, so that none holds locks for long.
const KEYS_AT_ONCE: usize = 500;

impl Hosts {
    /// Writes uses of keys that the database needs and does not have yet, and up to when they are written. With
    /// `everything`, as on shutdown, also the youngest.
    ///
    /// # Errors
    /// When the database does not answer; the next call writes them then.
    pub async fn write_key_uses(&self, everything: bool) -> Result<()> {
        let now = self.clock.now();
        // Read before uses are looked for, so that the report covers no use that was not.
        let followed_at = self.reading.lock().await.at;
        let has_older_node = self.has_older_node();
        self.count_keys().await?;
        let due = self.due_uses(everything, has_older_node);
        let reported = Moment(self.reported_at.load(Ordering::Relaxed));
        let complete_until = match followed_at {
            _ if has_older_node => now,
            Some(followed_at) => now.min(followed_at.plus(FOLLOWED_WITHIN)).max(reported),
            None => reported,
        };
        if due.is_empty() && (now < reported.plus(REPORTED_EVERY) || complete_until <= reported) {
            return Ok(());
        }
        let mut batches: Vec<_> = due.chunks(KEYS_AT_ONCE).collect();
        // The report goes with the last ones.
        let last = batches.pop().unwrap_or_default();
        for batch in batches {
            self.store.write(async |tx| node_keys::mark_used(tx, batch.to_vec()).await).await?;
            self.are_written(batch);
        }
        self.store
            .write(async |tx| {
                node_keys::mark_used(tx, last.to_vec()).await?;
                nodes::has_written(tx, self.node.id(), complete_until, now).await
            })
            .await?;
        self.was_shown_alive(now);
        self.are_written(last);
        self.reported_at.store(complete_until.0, Ordering::Relaxed);
        Ok(())
    }

    /// Finds out which hosts have one key, where that may have changed.
    async fn count_keys(&self) -> Result<()> {
        let uncounted = self.index.take_uncounted();
        if uncounted.is_empty() {
            return Ok(());
        }
        match node_keys::of_several_among(self.store.reader(), &uncounted).await {
            Ok(several) => {
                self.index.have_one_key(&uncounted, &several.into_iter().collect());
                Ok(())
            }
            Err(error) => {
                self.index.doubt_key_count(uncounted);
                Err(error.into())
            }
        }
    }

    fn due_uses(&self, everything: bool, has_older_node: bool) -> Vec<KeyUse> {
        let staleness = if everything { Duration::ZERO } else { KEY_STALENESS };
        let is_due = |key: &KeyEntry| {
            let (used, written) = (key.used(), key.written_used());
            let is_judged = || has_older_node || !key.host.has_one_key.load(Ordering::Relaxed);
            used > written.plus(staleness) && (written == Moment::NEVER || is_judged())
        };
        let used = |hash, key: &KeyEntry| KeyUse { hash, first: key.first_used(), last: key.used() };
        self.index.keys(|hash, key| is_due(key).then(|| used(hash, key)))
    }

    fn are_written(&self, uses: &[KeyUse]) {
        for used in uses {
            self.index.key(&used.hash, |key| key.use_was_written(used.last));
        }
    }

    /// Keys idle since then may be retired at any moment. The leader deletes [`KEY_STALENESS`] later: so long may a use that is
    /// reported be missing.
    pub(super) fn may_be_retired(&self, now: Moment) -> Moment {
        now.minus(self.config.old_key_grace)
    }

    /// Writes down that an idle key is used again; `false` if it was retired first.
    ///
    /// # Errors
    /// When the database does not answer. That says nothing about the key.
    pub(super) async fn use_again(&self, hash: &KeyHash, now: Moment) -> Result<bool> {
        let first = self.index.key(hash, KeyEntry::first_used).filter(|first| *first != Moment::NEVER);
        let used = KeyUse { hash: *hash, first: first.unwrap_or(now), last: now };
        let write = async { Ok(self.store.write(async |tx| node_keys::mark_used_now(tx, used).await).await?) };
        let is_there = within(self.config.store_timeout, write).await?;
        if is_there {
            self.index.key(hash, |key| key.use_was_written(now));
        }
        Ok(is_there)
    }

    /// Deletes keys that a newer one has replaced: those idle for `osquery.old_key_grace` while a newer key of the host
    /// has been used. For the leader. A key is idle only up to the moment up to which all nodes have reported.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn retire_keys(&self) -> Result<()> {
        let now = self.clock.now();
        let reported = nodes::written_by_all(self.store.reader(), now.minus(GONE_AFTER)).await?;
        let Some(reported) = reported else { return Ok(()) };
        let idle_since = now.min(reported).minus(KEY_STALENESS).minus(self.config.old_key_grace);
        let several = node_keys::hosts_of_several(self.store.reader()).await?;
        for batch in several.chunks(JUDGED) {
            let keys = node_keys::of_hosts(self.store.reader(), batch).await?;
            // Read afterwards, so that it covers keys that were moved before.
            let moved_at = node_keys::moved_at(self.store.reader(), batch).await?;
            self.retire(&keys, &moved_at, idle_since, now).await?;
        }
        Ok(())
    }

    async fn retire(
        &self,
        keys: &BTreeMap<i64, Vec<Key>>,
        moved_at: &HashMap<i64, Moment>,
        idle_since: Moment,
        now: Moment,
    ) -> Result<()> {
        let (mut dead, mut host_ids) = (Vec::new(), BTreeSet::new());
        for (host_id, keys) in keys {
            // Any key of the host may have been its only one until then.
            if moved_at.get(host_id).is_some_and(|moved_at| *moved_at >= idle_since) {
                continue;
            }
            let newest_used = keys.iter().filter(|key| key.used_at.is_some()).map(|key| key.created_at).max();
            let is_dead = |key: &&Key| {
                newest_used.is_some_and(|newest| key.created_at < newest) && in_use_until(key, keys) < idle_since
            };
            for key in keys.iter().filter(is_dead) {
                dead.push(key.key_hash.clone());
                host_ids.insert(*host_id);
            }
        }
        if dead.is_empty() {
            return Ok(());
        }
        self.store
            .write(async |tx| {
                node_keys::delete_idle(tx, &dead, idle_since).await?;
                feed::append(tx, feed::HostChangeKind::Keys, host_ids.iter().copied(), now).await
            })
            .await?;
        self.notifier.publish(ChangeEvent::Hosts);
        self.check_keys(&host_ids).await
    }
}

/// Up to when a key may have been in use, as far as the database tells. As long as it was the newest of its host's keys, it may
/// have been the only one, whose uses were not written. The keys are sorted by age.
fn in_use_until(key: &Key, keys: &[Key]) -> Moment {
    let replaced_at = keys.iter().map(|other| other.created_at).find(|created_at| *created_at > key.created_at);
    key.created_at.max(key.used_at.unwrap_or_default()).max(replaced_at.unwrap_or_default())
}
