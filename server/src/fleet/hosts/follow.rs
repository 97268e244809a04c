//! Hosts in memory follow what other nodes change.
//!
//! What happens to single hosts is a feed in the database, `host_changes` (position, host, kind), which the transaction
//! of the change appends to last. Each node reads it every two seconds, or at once when it is notified. It reads its
//! own entries as well; they only bring hosts up to date that are already.
//!
//! Entries about keys make a node forget the keys that the database does not confirm; the next request with one asks
//! the database. So a key counts as unknown only when the database has just said so.
//!
//! On MySQL a plain reading may lag behind the feed (`confirm`). So keys are compared with what a locking reading shows,
//! and hosts that have changed are read once more when their entry is settled.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::Hosts;
use super::index::KeyOwner;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::lock::lock;
use crate::store;
use crate::store::feed::{self, FeedPage, HostChange, HostChangeKind};
use crate::store::node_keys::{self, KeyHash};
use crate::store::pulse::PulseRange;

/// How long positions that were not there are looked for. A change takes its position before its commit and is visible
/// after it, so a change with a higher position may be visible first. Between the two lies only the commit, which waits for a disk at
/// worst. Plain readings lag behind by less, too.
pub(super) const OVERLAP: Duration = Duration::from_secs(30);

/// How much longer the oldest of them waits for others, so that hosts whose entries are settled are read together.
const SETTLED_TOGETHER: Duration = Duration::from_secs(10);

/// How long the feed is kept.
const KEPT: Duration = Duration::from_secs(600);

/// A node that has not read the feed for this long compares everything it holds with the database: entries it has not
/// read may be pruned. Well below [`KEPT`], as the clocks of nodes differ.
const AWAY: Duration = Duration::from_secs(300);

/// A node that has reported nothing for this long is gone. Until then, keys that it may know to be in use are kept.
pub(super) const GONE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Most feed entries in one read.
const FEED_PAGE: u64 = 5_000;

/// Most positions that are looked for singly. Where servers of a cluster share positions out, most are never used.
const MAX_GAPS: usize = 500;

/// Most hosts in one read.
pub(super) const BATCH: usize = 500;

/// How far the feed has been read.
#[derive(Debug, Default)]
pub(super) struct FeedReading {
    /// No entry can appear any more up to this position.
    settled: i64,
    /// Later positions that were read.
    read: BTreeMap<i64, ReadEntry>,
    /// When the feed was last read to its end.
    pub at: Option<Moment>,
}

impl FeedReading {
    /// The highest position that was read.
    fn newest(&self) -> i64 {
        self.read.last_key_value().map_or(self.settled, |(position, _)| *position)
    }

    /// Positions before the newest one that were not there when they were read: their changes are not visible yet, or were
    /// given up. `None` if they are so many that all is better read again.
    fn gaps(&self) -> Option<Vec<i64>> {
        let (mut gaps, mut expected) = (Vec::new(), self.settled + 1);
        for position in self.read.keys() {
            let missing = usize::try_from(position.saturating_sub(expected)).unwrap_or(usize::MAX);
            if missing > MAX_GAPS - gaps.len() {
                return None;
            }
            gaps.extend(expected..*position);
            expected = position.saturating_add(1);
        }
        Some(gaps)
    }

    fn has_read(&mut self, changes: &[HostChange], now: Moment) {
        self.read.extend(changes.iter().map(|change| {
            let is_about_keys = is_about_keys(&change.kind);
            (change.id, ReadEntry { first_read_at: now, host_id: change.host_id, is_about_keys })
        }));
    }
}

/// An entry of the feed that is not settled.
#[derive(Debug)]
struct ReadEntry {
    first_read_at: Moment,
    host_id: i64,
    is_about_keys: bool,
}

impl Hosts {
    /// The range of the next pulse: the feed goes on where it was read to.
    pub(in crate::fleet) async fn pulse_range(&self) -> PulseRange {
        let after = self.reading.lock().await.newest();
        PulseRange { after, limit: FEED_PAGE, heard_since: self.clock.now().minus(GONE_AFTER) }
    }

    /// Reads the feed and applies it to the hosts in memory. [`Hosts::take_deleted`] gives the hosts that were deleted.
    /// `next` is what a pulse with [`Hosts::pulse_range`] has shown, if the caller has read it.
    ///
    /// # Errors
    /// When the database does not answer; the next call starts again from the same position.
    pub async fn follow(&self, next: Option<FeedPage>) -> Result<()> {
        let mut reading = self.reading.lock().await;
        let now = self.clock.now();
        if reading.at.is_none_or(|at| now.since(at) > AWAY) {
            // The position is noted before anything is read, so that changes in the meantime are read again. Twice the
            // overlap back, because entries just before the position may not be visible yet.
            let settled = feed::position_before(self.store.reader(), now.minus(OVERLAP * 2)).await?;
            self.directory.is_out_of_date();
            self.read_anew(now).await?;
            self.compare_everything();
            *reading = FeedReading { settled, ..FeedReading::default() };
        }
        let mut position = match reading.gaps() {
            Some(gaps) => {
                let late = feed::at(self.store.reader(), &gaps).await?;
                self.take_over(&late, now).await?;
                reading.has_read(&late, now);
                reading.newest()
            }
            None => reading.settled,
        };
        let mut next = next.filter(|next| next.after == position);
        loop {
            let page = match next.take() {
                Some(next) => next.changes,
                None => feed::after(self.store.reader(), position, FEED_PAGE).await?,
            };
            let is_last = (page.len() as u64) < FEED_PAGE;
            position = page.last().map_or(position, |change| change.id);
            let news: Vec<HostChange> =
                page.into_iter().filter(|change| !reading.read.contains_key(&change.id)).collect();
            // Noted as read only once it is applied: an error on the way has it read again.
            self.take_over(&news, now).await?;
            reading.has_read(&news, now);
            if is_last {
                break;
            }
        }
        // In order: a position is settled when it and all before it were read longer ago than the overlap.
        let mut settled = Vec::new();
        let is_time = |first: &ReadEntry| now.since(first.first_read_at) > OVERLAP + SETTLED_TOGETHER;
        let must_settle = reading.read.first_key_value().is_some_and(|(_, first)| is_time(first));
        while let Some(first) =
            reading.read.first_entry().filter(|first| must_settle && now.since(first.get().first_read_at) > OVERLAP)
        {
            let (position, entry) = first.remove_entry();
            reading.settled = position;
            settled.push(entry);
        }
        if !self.store.shows_every_commit() {
            self.mark_stale(settled.iter().map(|entry| entry.host_id));
            self.index.doubt_key_count(settled.iter().filter(|entry| entry.is_about_keys).map(|entry| entry.host_id));
        }
        reading.at = Some(now);
        drop(reading);
        self.refresh_stale().await
    }

    /// Hosts that were found deleted since the last call, whoever has deleted them.
    pub fn take_deleted(&self) -> BTreeSet<i64> {
        std::mem::take(&mut *lock(&self.deleted))
    }

    /// Applies feed entries to the hosts in memory.
    async fn take_over(&self, changes: &[HostChange], now: Moment) -> Result<()> {
        let (mut deleted, mut keys) = (BTreeSet::new(), BTreeSet::new());
        let (mut enrolled, mut refetched) = (Vec::new(), Vec::new());
        for change in changes {
            match &change.kind {
                HostChangeKind::Changed => {}
                // Whatever a newer version tells with its own word, the keys in memory may be wrong now.
                HostChangeKind::Keys | HostChangeKind::Unknown(_) => drop(keys.insert(change.host_id)),
                // A new key leaves the others as they are; keys that had to make room have an entry of their own.
                HostChangeKind::Enrolled => enrolled.push(change),
                HostChangeKind::Refetch => refetched.push(change),
                HostChangeKind::Deleted => drop(deleted.insert(change.host_id)),
            }
        }
        // Deletions first, so that other entries about these hosts find nothing to do.
        self.forget_deleted(deleted.clone(), now);
        let about_keys = changes.iter().filter(|change| is_about_keys(&change.kind));
        self.index.doubt_key_count(about_keys.map(|change| change.host_id));
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
        self.mark_stale(changes.iter().map(|change| change.host_id).filter(|id| !deleted.contains(id)));
        Ok(())
    }

    /// Forgets hosts that were deleted, and notes them for [`Hosts::take_deleted`].
    pub(super) fn forget_deleted(&self, host_ids: BTreeSet<i64>, now: Moment) {
        if host_ids.is_empty() {
            return;
        }
        lock(&self.deleted).extend(&host_ids);
        self.directory.remove(host_ids.iter().copied());
        self.index.forget_hosts(host_ids, now);
    }

    /// Compares the hosts that have checked in with the database.
    async fn read_anew(&self, now: Moment) -> Result<()> {
        let hosts = self.index.all();
        self.index.doubt_key_count(hosts.iter().map(|host| host.id));
        let mut deleted = BTreeSet::new();
        for batch in hosts.chunks(BATCH) {
            let ids: Vec<i64> = batch.iter().map(|host| host.id).collect();
            let known = self.refresh_all(&ids).await?;
            let missing = ids.into_iter().filter(|id| !known.contains(id)).collect();
            deleted.extend(self.confirm_deleted(missing).await?);
        }
        self.forget_deleted(deleted, now);
        for batch in self.index.keys(|hash, key| Some((hash, key.host.id))).chunks(BATCH) {
            self.forget_wrong(batch, &node_keys::owners(self.store.reader(), &hashes(batch)).await?);
        }
        Ok(())
    }

    /// Forgets keys in memory that do not belong to these hosts any more. The next request with one asks the database.
    pub(super) async fn check_keys(&self, host_ids: &BTreeSet<i64>) -> Result<()> {
        if host_ids.is_empty() {
            return Ok(());
        }
        for batch in self.index.doubted_keys(host_ids, self.clock.now()).chunks(BATCH) {
            let confirmed = node_keys::confirmed(&self.store, &hashes(batch)).await?;
            let owners = confirmed.into_iter().filter_map(|key| Some((key.key_hash.try_into().ok()?, key.host_id)));
            self.forget_wrong(batch, &owners.collect());
        }
        Ok(())
    }

    fn forget_wrong(&self, keys: &[KeyOwner], owners: &HashMap<KeyHash, i64>) {
        for (hash, _) in keys.iter().filter(|(hash, host_id)| owners.get(hash) != Some(host_id)) {
            self.index.forget_key(hash);
        }
    }

    /// Brings hosts in memory up to date with the database. Returns those that the database has.
    pub(super) async fn refresh_all(&self, ids: &[i64]) -> Result<BTreeSet<i64>> {
        let known = store::hosts::known_many(self.store.reader(), ids).await?;
        for host in &known {
            if let Some(held) = self.index.get(host.host.id) {
                held.refresh(host, &self.index.assignments);
            }
        }
        self.directory.put(known.iter().map(Into::into));
        Ok(known.into_iter().map(|known| known.host.id).collect())
    }

    /// Prunes the feed of what every node has read, and forgets nodes that are gone. For the leader.
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

/// Whether a host may have more keys or fewer since.
fn is_about_keys(kind: &HostChangeKind) -> bool {
    match kind {
        HostChangeKind::Keys | HostChangeKind::Enrolled | HostChangeKind::Unknown(_) => true,
        HostChangeKind::Changed | HostChangeKind::Refetch | HostChangeKind::Deleted => false,
    }
}

fn hashes(keys: &[KeyOwner]) -> Vec<KeyHash> {
    keys.iter().map(|(hash, _)| *hash).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(settled: i64, read: impl IntoIterator<Item = i64>) -> FeedReading {
        let mut reading = FeedReading { settled, ..FeedReading::default() };
        let change = |id| HostChange { id, host_id: 1, kind: HostChangeKind::Changed, at: Moment::NEVER };
        reading.has_read(&read.into_iter().map(change).collect::<Vec<_>>(), Moment::NEVER);
        reading
    }

    #[test]
    fn what_was_not_there_yet_is_looked_for() {
        assert_eq!(reading(7, []).gaps(), Some(vec![]));
        assert_eq!(reading(7, [8, 9]).gaps(), Some(vec![]));
        let some = reading(7, [9, 10, 13]);
        assert_eq!((some.gaps(), some.newest()), (Some(vec![8, 11, 12]), 13));
        let most = MAX_GAPS as i64;
        assert_eq!(reading(0, [most + 1]).gaps().map(|gaps| gaps.len()), Some(MAX_GAPS));
        assert_eq!(reading(0, [2, most + 3]).gaps(), None, "all is read again");
        assert_eq!(reading(0, [i64::MAX]).gaps(), None);
    }
}
