//! Hosts in memory follow what other servers change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Hosts, index::KeyEntry};
use crate::clock::Moment;
use crate::fleet::Result;
use crate::store::feed::{self, HostChange, HostChangeKind};
use crate::store::{self, node_keys};

/// A change gets its position in the feed before it is committed, and is seen after it: one with a higher position may be seen
/// first. Positions are read again for this long. The position is taken by the last statement before the commit, which
/// waits for a disk at worst.
const OVERLAP: Duration = Duration::from_secs(30);

/// The feed is kept for so long.
const KEPT: Duration = Duration::from_secs(600);

/// A server that has not read the feed for so long reads everything it holds anew: some of the feed may be gone.
const AWAY: Duration = Duration::from_secs(300);

/// A server not heard of for so long is gone; until then, keys it may know to be in use are kept.
pub(super) const GONE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Changes read at one time.
const PAGE: u64 = 5_000;

/// Hosts read at one time.
pub(super) const BATCH: usize = 500;

/// How far the feed has been read.
#[derive(Debug, Default)]
pub(super) struct FeedReading {
    /// Up to here nothing can appear any more.
    settled: i64,
    /// Later positions that were read, and when.
    read: BTreeMap<i64, Moment>,
    /// When it was last read to its end.
    at: Option<Moment>,
}

impl Hosts {
    /// Takes over what has happened to the hosts in memory, whoever did it, and tells which of them are no more.
    ///
    /// # Errors
    /// When the database does not answer; the next call takes it over.
    pub async fn follow(&self) -> Result<BTreeSet<i64>> {
        let mut reading = self.reading.lock().await;
        let now = self.clock.now();
        let mut deleted = BTreeSet::new();
        if reading.at.is_none_or(|at| now.since(at) > AWAY) {
            // The position is noted before anything is read, so that what changes meanwhile is read again.
            let settled = feed::position_before(self.store.reader(), now.minus(OVERLAP * 2)).await?;
            deleted = self.read_anew(now).await?;
            *reading = FeedReading { settled, ..FeedReading::default() };
        }
        let mut position = reading.settled;
        loop {
            let page = feed::after(self.store.reader(), position, PAGE).await?;
            let is_last = (page.len() as u64) < PAGE;
            position = page.last().map_or(position, |change| change.id);
            let news: Vec<HostChange> =
                page.into_iter().filter(|change| !reading.read.contains_key(&change.id)).collect();
            deleted.extend(self.take_over(&news, now).await?);
            reading.read.extend(news.iter().map(|change| (change.id, now)));
            if is_last {
                break;
            }
        }
        while let Some(first) = reading.read.first_entry().filter(|first| now.since(*first.get()) > OVERLAP) {
            reading.settled = first.remove_entry().0;
        }
        reading.at = Some(now);
        drop(reading);
        self.refresh_stale().await?;
        Ok(deleted)
    }

    async fn take_over(&self, changes: &[HostChange], now: Moment) -> Result<BTreeSet<i64>> {
        let (mut deleted, mut keys) = (BTreeSet::new(), BTreeSet::new());
        let (mut enrolled, mut refetched) = (Vec::new(), Vec::new());
        for change in changes {
            match &change.kind {
                HostChangeKind::Changed => {}
                // Whatever a newer version tells with its own word, the keys in memory may be wrong now.
                HostChangeKind::Keys | HostChangeKind::Unknown(_) => drop(keys.insert(change.host_id)),
                HostChangeKind::Enrolled => {
                    keys.insert(change.host_id);
                    enrolled.push(change);
                }
                HostChangeKind::Refetch => refetched.push(change),
                HostChangeKind::Deleted => drop(deleted.insert(change.host_id)),
            }
        }
        self.index.forget_hosts(deleted.clone(), now);
        self.check_keys(&keys).await?;
        for change in enrolled {
            if let Some(host) = self.index.get(change.host_id) {
                host.enrolled(change.at);
            }
        }
        for change in refetched {
            if let Some(host) = self.index.get(change.host_id) {
                host.refresh_state.ask_again();
            }
        }
        self.mark_stale(changes.iter().map(|change| change.host_id));
        Ok(deleted)
    }

    /// Compares everything in memory with the database. Tells which hosts are no more.
    async fn read_anew(&self, now: Moment) -> Result<BTreeSet<i64>> {
        let hosts = self.index.all();
        let mut deleted = BTreeSet::new();
        for batch in hosts.chunks(BATCH) {
            let ids: Vec<i64> = batch.iter().map(|host| host.id).collect();
            let known = self.refresh_all(&ids).await?;
            deleted.extend(ids.into_iter().filter(|id| !known.contains(id)));
        }
        self.index.forget_hosts(deleted.clone(), now);
        self.forget_wrong(&self.index.all_keys()).await?;
        Ok(deleted)
    }

    /// Forgets keys in memory that are not those of their hosts any more. The next request that shows one asks the
    /// database what it is.
    pub(super) async fn check_keys(&self, host_ids: &BTreeSet<i64>) -> Result<()> {
        if host_ids.is_empty() {
            return Ok(());
        }
        self.forget_wrong(&self.index.doubted_keys(host_ids)).await
    }

    async fn forget_wrong(&self, keys: &[Arc<KeyEntry>]) -> Result<()> {
        for batch in keys.chunks(BATCH) {
            let hashes: Vec<_> = batch.iter().map(|key| key.hash).collect();
            let owners = node_keys::owners(self.store.reader(), &hashes).await?;
            for key in batch.iter().filter(|key| owners.get(&key.hash) != Some(&key.host.id)) {
                self.index.forget_key(&key.hash);
            }
        }
        Ok(())
    }

    /// Brings hosts in memory up to date with the database, and tells which of them it has.
    pub(super) async fn refresh_all(&self, ids: &[i64]) -> Result<BTreeSet<i64>> {
        let known = store::hosts::known_many(self.store.reader(), ids).await?;
        for host in &known {
            if let Some(held) = self.index.get(host.host.id) {
                held.refresh(host);
            }
        }
        Ok(known.into_iter().map(|known| known.host.id).collect())
    }

    /// Removes what everybody has read from the feed, and servers that are gone. For one server at a time.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn prune_feed(&self) -> Result<()> {
        let now = self.clock.now();
        self.store
            .write(async |tx| {
                feed::prune(tx, now.minus(KEPT)).await?;
                store::nodes::forget_gone(tx, now.minus(GONE_AFTER)).await
            })
            .await?;
        Ok(())
    }
}
