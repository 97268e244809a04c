//! Contacts and uses of keys are noted in memory and written in batches.
//!
//! Keys and clones are judged by what is written, because each node sees only some of the requests. Every node writes
//! the uses it saw (first and last, never backwards) and up to when it has. A key is idle only as of the moment up to
//! which all nodes have reported; a node that fell silent without leaving holds retirement up for a day. So neither an
//! outage of the database nor a node that is cut off from it costs a working key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Hosts;
use super::clones::JUDGED;
use super::follow::GONE_AFTER;
use crate::bus::ChangeEvent;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::store::hosts::{AgentIntervals, LastSeen};
use crate::store::{self, entity, feed, node_keys, nodes};

/// A contact is written when the stored one is older than this. A crash loses at most as much.
const SEEN_STALENESS: Duration = Duration::from_secs(30);

/// A node reports that it has written all uses of keys at least this often, even without any.
const SAID_EVERY: Duration = Duration::from_secs(30);

/// A key's last use is written when the stored one is older than this.
const KEY_STALENESS: Duration = Duration::from_secs(120);

impl Hosts {
    /// Writes contacts, uses of keys and intervals that the database does not have yet. With `everything`, as on
    /// shutdown, also the youngest.
    ///
    /// # Errors
    /// When the database does not answer; the next call writes them then.
    pub async fn write_seen(&self, everything: bool) -> Result<()> {
        let now = self.clock.now();
        let staleness = |limit: Duration| if everything { Duration::ZERO } else { limit };
        let hosts = self.index.all();
        let seen: Vec<LastSeen> = hosts
            .iter()
            .filter(|host| host.seen() > host.written_seen().plus(staleness(SEEN_STALENESS)))
            .map(|host| LastSeen { host_id: host.id, at: host.seen() })
            .collect();
        let mut intervals: BTreeMap<(i64, i64, i64), (AgentIntervals, Vec<i64>)> = BTreeMap::new();
        for host in &hosts {
            let (reported, written) = **host.intervals.load();
            if reported != written {
                intervals
                    .entry((reported.distributed, reported.config_refresh, reported.logger))
                    .or_insert_with(|| (reported, Vec::new()))
                    .1
                    .push(host.id);
            }
        }
        let keys: Vec<_> = self
            .index
            .all_keys()
            .into_iter()
            .filter(|key| key.used() > key.written_used().plus(staleness(KEY_STALENESS)))
            .map(|key| (node_keys::KeyUse { hash: key.hash, first: key.first_used(), last: key.used() }, key))
            .collect();
        let said = Moment(self.written_at.load(Ordering::Relaxed));
        if seen.is_empty() && intervals.is_empty() && keys.is_empty() && now < said.plus(SAID_EVERY) {
            return Ok(());
        }
        let used: Vec<_> = keys.iter().map(|(used, _)| *used).collect();
        let changed: Vec<_> = intervals.into_values().collect();
        self.store
            .write(async |tx| {
                store::hosts::mark_seen(tx, seen.clone()).await?;
                node_keys::mark_used(tx, used.clone()).await?;
                for (intervals, host_ids) in &changed {
                    store::hosts::set_intervals(tx, *intervals, host_ids.clone()).await?;
                }
                nodes::has_written(tx, self.node.id(), now).await
            })
            .await?;
        self.written_at.store(now.0, Ordering::Relaxed);
        for contact in seen {
            if let Some(host) = self.index.get(contact.host_id) {
                host.seen_was_written(contact.at);
            }
        }
        for (used, key) in keys {
            key.use_was_written(used.last);
        }
        for (intervals, host_ids) in changed {
            for host in host_ids.iter().filter_map(|id| self.index.get(*id)) {
                let (reported, _) = **host.intervals.load();
                host.intervals.store(std::sync::Arc::new((reported, intervals)));
            }
        }
        Ok(())
    }

    /// Forgets unknown keys and deleted hosts whose time is up.
    pub fn sweep_index(&self) {
        self.index.sweep(self.clock.now());
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
            self.retire(&keys, idle_since, now).await?;
        }
        Ok(())
    }

    async fn retire(
        &self,
        keys: &BTreeMap<i64, Vec<entity::node_keys::Model>>,
        idle_since: Moment,
        now: Moment,
    ) -> Result<()> {
        let (mut dead, mut host_ids) = (Vec::new(), BTreeSet::new());
        for (host_id, keys) in keys {
            let newest_used = keys.iter().filter(|key| key.used_at.is_some()).map(|key| key.created_at).max();
            let is_dead = |key: &&entity::node_keys::Model| {
                newest_used.is_some_and(|newest| key.created_at < newest)
                    && key.used_at.unwrap_or_default().max(key.created_at) < idle_since
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
