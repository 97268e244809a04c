use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::leases::USED_FOR;
use super::replay::LastBatch;
use crate::clock::Moment;

/// Batches that have followed each other here before a node takes a lease.
const IN_A_ROW: u8 = 8;

/// What a node knows of a host's log. Every host has two in memory, so each is a few bytes.
#[derive(Debug, Default)]
pub struct HostLog {
    /// The batch that this node accepted last.
    pub last: LastBatch,
    /// Tells apart the batch that Redis had when this node saw it last; 0 when there was none.
    in_redis: u64,
    lease_term: i64,
    lease_until: u32,
    /// Other nodes could not be told of the last batch, so what they know is older.
    pub is_unshared: bool,
    /// How many batches in a row came here, soon one after the other and none to another node.
    in_a_row: u8,
    /// The hashes that all hosts remember, once those of the last batch are among them.
    remembered: Option<Arc<AtomicUsize>>,
}

impl Drop for HostLog {
    fn drop(&mut self) {
        if let Some(remembered) = &self.remembered {
            remembered.fetch_sub(self.last.len(), Ordering::Relaxed);
        }
    }
}

/// A lease as the node that has it remembers it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The term in which it was taken; 0 when there is none.
    pub term: i64,
    /// Until when it is used, in seconds since the start of this process.
    pub until: u32,
}

impl Lease {
    pub fn is_there(self) -> bool {
        self.term != 0
    }
}

/// The batches of which the next one may be a repeat.
pub type Candidates<'a> = [Option<&'a LastBatch>; 2];

impl HostLog {
    pub fn lease(&self) -> Lease {
        Lease { term: self.lease_term, until: self.lease_until }
    }

    /// Remembers the batch in place of the last one, and counts its hashes among those of all hosts. Gives the batch back when
    /// these are more than `most`; then no batch is remembered.
    pub fn remember(&mut self, batch: LastBatch, remembered: &Arc<AtomicUsize>, most: usize) -> Option<LastBatch> {
        let (before, after) = (self.last.len(), batch.len());
        let total = remembered.fetch_add(after, Ordering::Relaxed) + after - before.min(after);
        let (last, freed, refused) = match total > most {
            true => (LastBatch::default(), after + before, Some(batch)),
            false => (batch, before, None),
        };
        self.last = last;
        self.remembered.get_or_insert_with(|| Arc::clone(remembered));
        remembered.fetch_sub(freed, Ordering::Relaxed);
        refused
    }

    pub fn set_lease(&mut self, lease: Lease) {
        (self.lease_term, self.lease_until) = (lease.term, lease.until);
    }

    /// Takes note of the batch that Redis has, which no other node can change now.
    pub fn has_seen(&mut self, shared: Option<&LastBatch>, now: Moment) {
        if shared == Some(&self.last) {
            self.last_was_shared();
        }
        // why soon: when the next batch comes, a lease would be over.
        let follows =
            shared.is_some_and(|shared| mark(shared) == self.in_redis && now.since(shared.accepted_at()) < USED_FOR);
        self.in_a_row = if follows { self.in_a_row.saturating_add(1) } else { 0 };
    }

    /// The last batch, if other nodes do not know it and none of them has accepted one behind it, given the one that Redis
    /// has.
    pub fn unshared(&self, shared: Option<&LastBatch>) -> Option<&LastBatch> {
        let is_last = shared.is_none_or(|shared| mark(shared) == self.in_redis);
        (self.is_unshared && is_last && !self.last.is_empty()).then_some(&self.last)
    }

    /// The last batch of all nodes, given the one that Redis has. Where no other node could be told of the last batch here,
    /// and another one has accepted one since this node saw Redis, nobody knows which of the two was last.
    pub fn known<'a>(&'a self, shared: Option<&'a LastBatch>) -> Candidates<'a> {
        match shared {
            None => [Some(&self.last), None],
            Some(shared) if !self.is_unshared => [Some(shared), None],
            Some(shared) if mark(shared) == self.in_redis => [Some(&self.last), None],
            Some(shared) => [Some(&self.last), Some(shared)],
        }
    }

    /// Notes that the last batch came behind the one that Redis has.
    pub fn is_behind(&mut self, shared: Option<&LastBatch>) {
        self.in_redis = shared.map_or(0, mark);
    }

    /// Notes that Redis has a batch, which is the last one of all.
    pub fn was_shared(&mut self, batch: &LastBatch) {
        self.in_redis = if batch.is_empty() { 0 } else { mark(batch) };
        self.is_unshared = false;
    }

    /// As [`HostLog::was_shared`], of the batch that this node accepted last.
    pub fn last_was_shared(&mut self) {
        self.in_redis = if self.last.is_empty() { 0 } else { mark(&self.last) };
        self.is_unshared = false;
    }

    /// Whether the batches of the host have come here for a while.
    pub fn is_sticky(&self) -> bool {
        self.in_a_row >= IN_A_ROW
    }

    /// Notes that batches of the host come to other nodes, too.
    pub fn is_contested(&mut self) {
        self.in_a_row = 0;
    }
}

/// Tells batches apart, never 0.
fn mark(batch: &LastBatch) -> u64 {
    let mut hasher = DefaultHasher::new();
    (batch.accepted_at(), batch.hashes()).hash(&mut hasher);
    hasher.finish() | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(hash: u64, at: i64) -> LastBatch {
        LastBatch::of(vec![hash], Moment(at))
    }

    #[test]
    fn hashes_of_hosts_that_are_gone_are_not_counted() {
        let remembered = Arc::default();
        let batch = |lines: u64| LastBatch::of((0..lines).collect(), Moment(0));
        let (mut one, mut other) = (HostLog::default(), HostLog::default());
        assert_eq!(one.remember(batch(6), &remembered, 10), None);
        assert_eq!(one.remember(batch(4), &remembered, 10), None);
        assert_eq!(other.remember(batch(6), &remembered, 10), None);
        assert_eq!(other.remember(batch(7), &remembered, 10), Some(batch(7)));
        assert_eq!(remembered.load(Ordering::Relaxed), 4);
        assert_eq!(other.remember(batch(6), &remembered, 10), None);
        drop(one);
        assert_eq!(remembered.load(Ordering::Relaxed), 6);
        drop((HostLog::default(), other));
        assert_eq!(remembered.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_host_takes_little_memory() {
        assert_eq!(size_of::<HostLog>(), 56);
    }

    #[test]
    fn batches_that_follow_each_other_are_counted_until_another_node_has_one() {
        let mut log = HostLog::default();
        let now = Moment(8);
        log.has_seen(None, now);
        for n in 1..=u64::from(IN_A_ROW) {
            let accepted = batch(n, 7);
            log.was_shared(&accepted);
            assert!(!log.is_sticky(), "{n}");
            log.has_seen(Some(&accepted), now);
        }
        assert!(log.is_sticky());
        log.has_seen(Some(&batch(99, 7)), now);
        assert!(!log.is_sticky(), "of the same moment, and yet another one");
        log.has_seen(None, now);
        assert!(!log.is_sticky());
    }

    #[test]
    fn batches_that_are_rare_do_not_count() {
        let mut log = HostLog::default();
        for minute in 0..100 {
            let accepted = batch(1, minute * 60_000_000);
            log.was_shared(&accepted);
            log.has_seen(Some(&accepted), Moment((minute + 1) * 60_000_000));
            assert!(!log.is_sticky());
        }
    }

    #[test]
    fn the_last_batch_goes_to_redis_only_where_no_other_node_has_accepted_one_behind_it() {
        let (own, before, other) = (batch(1, 100), batch(2, 90), batch(3, 80));
        let mut log = HostLog::default();
        log.last = own.clone();
        log.is_behind(Some(&before));
        assert_eq!(log.unshared(Some(&before)), None, "Redis has been told of it");
        log.is_unshared = true;
        assert_eq!(log.unshared(Some(&before)), Some(&own));
        assert_eq!(log.unshared(None), Some(&own));
        assert_eq!(log.unshared(Some(&other)), None);
        log.has_seen(Some(&own), Moment(100));
        assert!(!log.is_unshared, "Redis has done what it had not answered to");
    }

    #[test]
    fn a_batch_of_another_node_counts_whatever_the_clocks_say() {
        let (own, before, other) = (batch(1, 100), batch(2, 90), batch(3, 80));
        let mut log = HostLog::default();
        log.last = own.clone();
        log.was_shared(&own);
        assert_eq!(log.known(None), [Some(&own), None], "Redis has lost it");
        assert_eq!(log.known(Some(&other)), [Some(&other), None]);
        log.is_behind(Some(&before));
        log.is_unshared = true;
        assert_eq!(log.known(Some(&before)), [Some(&own), None]);
        assert_eq!(log.known(Some(&other)), [Some(&own), Some(&other)]);
    }
}
