//! Contacts are noted in memory and written down in batches.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Hosts;
use crate::fleet::Result;
use crate::store;
use crate::store::hosts::{Intervals, Seen};

/// A contact is written when the database's own is older than this. A crash may lose as much.
const SEEN_STALENESS: Duration = Duration::from_secs(30);

/// A key's last use is written when the database's own is older than this.
const KEY_STALENESS: Duration = Duration::from_secs(120);

impl Hosts {
    /// Writes down contacts, uses of keys and intervals the database does not know of yet. `everything`: however young,
    /// as on shutdown.
    ///
    /// # Errors
    /// When the database does not answer; then the next call writes them.
    pub async fn write_seen(&self, everything: bool) -> Result<()> {
        let staleness = |limit: Duration| if everything { Duration::ZERO } else { limit };
        let hosts = self.index.all();
        let seen: Vec<Seen> = hosts
            .iter()
            .filter(|host| host.seen() > host.written_seen().plus(staleness(SEEN_STALENESS)))
            .map(|host| Seen { host_id: host.id, at: host.seen() })
            .collect();
        let mut intervals: BTreeMap<(i64, i64, i64), (Intervals, Vec<i64>)> = BTreeMap::new();
        for host in &hosts {
            let (told, written) = **host.intervals.load();
            if told != written {
                intervals
                    .entry((told.distributed, told.config_refresh, told.logger))
                    .or_insert_with(|| (told, Vec::new()))
                    .1
                    .push(host.id);
            }
        }
        let keys: Vec<_> = self
            .index
            .all_keys()
            .into_iter()
            .filter(|key| key.used() > key.written_used().plus(staleness(KEY_STALENESS)))
            .map(|key| (key.used(), key))
            .collect();
        if seen.is_empty() && intervals.is_empty() && keys.is_empty() {
            return Ok(());
        }
        let used: Vec<_> = keys.iter().map(|(at, key)| (key.hash, *at)).collect();
        let changed: Vec<_> = intervals.into_values().collect();
        self.store
            .write(async |tx| {
                store::hosts::mark_seen(tx, seen.clone()).await?;
                store::node_keys::mark_used(tx, used.clone()).await?;
                for (intervals, host_ids) in &changed {
                    store::hosts::set_intervals(tx, *intervals, host_ids.clone()).await?;
                }
                Ok(())
            })
            .await?;
        for contact in seen {
            if let Some(host) = self.index.get(contact.host_id) {
                host.seen_was_written(contact.at);
            }
        }
        for (at, key) in keys {
            key.use_was_written(at);
        }
        for (intervals, host_ids) in changed {
            for host in host_ids.iter().filter_map(|id| self.index.get(*id)) {
                let (told, _) = **host.intervals.load();
                host.intervals.store(std::sync::Arc::new((told, intervals)));
            }
        }
        Ok(())
    }

    /// Drops keys that a newer one has replaced, and forgets unknown ones that may be asked for again. A key dies when a
    /// newer one of its host has been used and it has been idle for `osquery.old_key_grace`.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn retire_keys(&self) -> Result<()> {
        let now = self.clock.now();
        self.index.sweep(now);
        let mut by_host: BTreeMap<i64, Vec<_>> = BTreeMap::new();
        for key in self.index.all_keys() {
            by_host.entry(key.host.id).or_default().push(key);
        }
        let idle_since = now.minus(self.config.old_key_grace);
        let mut dead = Vec::new();
        for keys in by_host.values().filter(|keys| keys.len() > 1) {
            let newest_used = keys.iter().filter(|key| key.used().0 > 0).map(|key| key.created_at).max();
            dead.extend(
                keys.iter()
                    .filter(|key| newest_used.is_some_and(|newest| key.created_at < newest))
                    .filter(|key| key.used().max(key.created_at) < idle_since)
                    .map(|key| key.hash),
            );
        }
        if dead.is_empty() {
            return Ok(());
        }
        let hashes: Vec<Vec<u8>> = dead.iter().map(|hash| hash.to_vec()).collect();
        self.store.write(async |tx| store::node_keys::delete(tx, hashes.clone()).await).await?;
        for hash in &dead {
            self.index.forget_key(hash);
        }
        Ok(())
    }
}
