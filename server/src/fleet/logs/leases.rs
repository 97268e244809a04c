//! Leases: a node whose batches of a host follow each other keeps the next ones without asking Redis.
//!
//! Other nodes ask the node for the lease, and it gives the last batch to Redis before it lets go. It uses its leases only
//! while the others must believe that it is alive: [`LEAST_LEFT`] less than its term in Redis goes on, by a clock that
//! nobody sets. What it accepted under a lease counts as not shared, as during an outage of Redis.
//!
//! Redis may lose a lease and keep the term. So a lease is used for [`USED_FOR`], and the next batch takes the lock again.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use roaring::RoaringTreemap;

use super::host_log::{HostLog, Lease};
use super::{LogStream, Logs};
use crate::bus::{BatchLease, TERM_LASTS};
use crate::lock::lock;
use crate::telemetry::Metrics;

/// How often a node renews its term, and learns what others want.
pub const LEASES_RENEWED_EVERY: Duration = Duration::from_millis(250);

/// What must be left of the term when a batch begins. The clocks of two machines run at speeds that differ far less.
const LEAST_LEFT: Duration = Duration::from_secs(1);

/// How long a lease is used, and so how long a node may go on with one that Redis has lost.
pub(super) const USED_FOR: Duration = Duration::from_secs(60);

/// A repeat counts for two hours, and another node must ask this one until then.
const _: () = assert!(
    USED_FOR.as_secs() + super::replay::REPEATED_WITHIN.as_secs() < BatchLease::LASTS.as_secs(),
    "the key of a lease outlives what it protects"
);

/// The leases of this node.
#[derive(Debug)]
pub(super) struct Leases {
    since: Instant,
    life: Mutex<Life>,
    may_take: AtomicBool,
    is_stopping: AtomicBool,
    /// The logs with a lease, a few bytes each.
    held: Mutex<RoaringTreemap>,
    /// One round of renewal at a time.
    pub round: tokio::sync::Mutex<LeaseRound>,
    #[cfg(test)]
    moved_on: Mutex<Duration>,
}

/// Where rounds of renewal are.
#[derive(Debug)]
pub(super) struct LeaseRound {
    /// When deleted hosts were last looked for.
    pub looked_at: Instant,
    /// The log from which on leases are given up next when there may be none.
    next: u64,
}

/// The term of this node, and until when it certainly goes on.
#[derive(Debug, Default, Clone, Copy)]
struct Life {
    term: i64,
    until: Option<Instant>,
}

impl Default for Leases {
    fn default() -> Self {
        let now = Instant::now();
        Self {
            since: now,
            life: Mutex::default(),
            may_take: AtomicBool::default(),
            is_stopping: AtomicBool::default(),
            held: Mutex::default(),
            round: tokio::sync::Mutex::new(LeaseRound { looked_at: now, next: 0 }),
            #[cfg(test)]
            moved_on: Mutex::default(),
        }
    }
}

impl Leases {
    pub fn term(&self) -> i64 {
        lock(&self.life).term
    }

    /// Notes that Redis has renewed the term, or begun another, after it was asked at a moment.
    pub fn was_renewed(&self, term: i64, asked_at: Instant, metrics: &Metrics) {
        let life = Life { term, until: Some(asked_at + TERM_LASTS - LEAST_LEFT) };
        // why first: a lease of the new term that is taken meanwhile must stay.
        let mut held = lock(&self.held);
        let before = std::mem::replace(&mut *lock(&self.life), life);
        if before.term != term {
            metrics.batch_leases_ended.with_label_values(&["lapsed"]).inc_by(held.len());
            metrics.batch_leases.set(0);
            held.clear();
        }
    }

    /// Ends the use of all leases.
    pub fn end(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        lock(&self.life).until = None;
    }

    /// Allows new leases, or takes none from now on.
    pub fn allow(&self, may_take: bool) {
        self.may_take.store(may_take, Ordering::SeqCst);
    }

    pub fn may_take(&self) -> bool {
        self.may_take.load(Ordering::SeqCst) && !self.is_stopping.load(Ordering::SeqCst)
    }

    /// Whether a batch may be kept without asking Redis.
    pub fn is_good(&self, lease: Lease) -> bool {
        self.is_good_at(lease, Instant::now())
    }

    fn is_good_at(&self, lease: Lease, now: Instant) -> bool {
        let life = *lock(&self.life);
        let goes_on = lease.term == life.term && life.until.is_some_and(|until| now < until);
        lease.is_there() && goes_on && !self.is_old(lease, now)
    }

    fn is_old(&self, lease: Lease, now: Instant) -> bool {
        u64::from(lease.until) <= self.seconds(now)
    }

    /// Seconds since the start of this process.
    fn seconds(&self, now: Instant) -> u64 {
        let since = now.duration_since(self.since);
        #[cfg(test)]
        let since = since + *lock(&self.moved_on);
        since.as_secs()
    }

    /// A lease to take now, if any may be taken.
    pub fn next(&self) -> Option<Lease> {
        let until = u32::try_from(self.seconds(Instant::now()) + USED_FOR.as_secs()).ok()?;
        let lease = Lease { term: self.term(), until };
        (self.may_take() && self.is_good(lease)).then_some(lease)
    }

    /// Notes a lease that was taken.
    pub fn was_taken(&self, log: &mut HostLog, key: (i64, LogStream), lease: Lease, metrics: &Metrics) {
        log.set_lease(lease);
        let mut held = lock(&self.held);
        // why: with another term it has ended before it began.
        if self.term() == lease.term && held.insert(number(key)) {
            metrics.batch_leases.inc();
        }
    }

    /// Forgets a lease that is not good. One that has only become old is taken again and does not count as lapsed.
    pub fn has_ended(&self, log: &mut HostLog, key: (i64, LogStream), metrics: &Metrics) {
        let is_old = self.is_old(log.lease(), Instant::now());
        log.set_lease(Lease::default());
        if self.forget(key, metrics) && !is_old {
            metrics.batch_leases_ended.with_label_values(&["lapsed"]).inc();
        }
    }

    /// Forgets that a log has a lease. True if it had one.
    pub fn forget(&self, key: (i64, LogStream), metrics: &Metrics) -> bool {
        let was_held = lock(&self.held).remove(number(key));
        if was_held {
            metrics.batch_leases.dec();
        }
        was_held
    }

    /// Some logs with a lease, in each round others, until all have been among them.
    pub fn some_held(&self, round: &mut LeaseRound, most: usize) -> Vec<(i64, LogStream)> {
        let held = lock(&self.held);
        let mut logs = held.iter();
        logs.advance_to(round.next);
        let some: Vec<u64> = logs.take(most).collect();
        round.next = some.last().filter(|_| some.len() == most).map_or(0, |last| last + 1);
        some.into_iter().map(log_of).collect()
    }

    /// The logs of these hosts with a lease.
    pub fn held_of(&self, hosts: Vec<i64>) -> Vec<(i64, LogStream)> {
        let logs = hosts.into_iter().flat_map(|host| LogStream::ALL.map(|stream| (host, stream)));
        let held = lock(&self.held);
        logs.filter(|key| held.contains(number(*key))).collect()
    }
}

impl Logs {
    /// Whether Redis has renewed the term of this node after it was asked later than at a moment.
    #[cfg(test)]
    pub fn has_asked_redis_since(&self, moment: Instant) -> bool {
        lock(&self.leases.life).until.is_some_and(|until| until >= moment + TERM_LASTS - LEAST_LEFT)
    }

    /// Makes leases older.
    #[cfg(test)]
    pub fn move_leases_on(&self, by: Duration) {
        *lock(&self.leases.moved_on) += by;
    }

    /// Takes no more leases, because this node is to stop. The next renewals give up those that there are.
    pub fn take_no_leases(&self) {
        self.leases.is_stopping.store(true, Ordering::SeqCst);
    }
}

/// A host's log as one number.
fn number((host, stream): (i64, LogStream)) -> u64 {
    host.cast_unsigned() << 1 | u64::from(stream == LogStream::Status)
}

fn log_of(number: u64) -> (i64, LogStream) {
    let stream = if number & 1 == 1 { LogStream::Status } else { LogStream::Result };
    ((number >> 1).cast_signed(), stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_good_in_its_term_while_that_goes_on_and_until_it_is_old() {
        let (leases, metrics) = (Leases::default(), Metrics::new().unwrap());
        leases.allow(true);
        assert_eq!(leases.next(), None, "before the first term");
        let now = Instant::now();
        leases.was_renewed(7, now, &metrics);
        let lease = leases.next().unwrap();
        let mut log = HostLog::default();
        leases.was_taken(&mut log, (1, LogStream::Status), lease, &metrics);
        assert_eq!(leases.held_of(vec![1, 2]), [(1, LogStream::Status)]);
        let is_good = |at: Instant| leases.is_good_at(log.lease(), at);
        assert!(is_good(now + Duration::from_millis(2900)));
        assert!(!is_good(now + TERM_LASTS - LEAST_LEFT));
        leases.was_renewed(7, now + TERM_LASTS, &metrics);
        assert!(is_good(now + TERM_LASTS), "Redis says that it went on");
        leases.was_renewed(7, now + USED_FOR, &metrics);
        assert!(!is_good(now + USED_FOR + Duration::from_secs(1)));
        leases.was_renewed(8, now, &metrics);
        assert!(!is_good(now) && leases.held_of(vec![1]).is_empty());
        assert_eq!(metrics.batch_leases_ended.with_label_values(&["lapsed"]).get(), 1);
        assert_eq!(metrics.batch_leases.get(), 0);
        leases.is_stopping.store(true, Ordering::SeqCst);
        assert_eq!(leases.next(), None);
    }

    #[test]
    fn no_lease_is_used_or_taken_after_the_end() {
        let (leases, metrics) = (Leases::default(), Metrics::new().unwrap());
        leases.allow(true);
        leases.was_renewed(7, Instant::now(), &metrics);
        let lease = leases.next().unwrap();
        assert!(leases.is_good(lease));
        leases.end();
        assert!(!leases.is_good(lease));
        assert_eq!(leases.next(), None);
    }

    #[test]
    fn rounds_give_up_some_leases_each_and_come_to_all() {
        let (leases, metrics) = (Leases::default(), Metrics::new().unwrap());
        leases.allow(true);
        leases.was_renewed(7, Instant::now(), &metrics);
        let lease = leases.next().unwrap();
        for host in 1..=10 {
            leases.was_taken(&mut HostLog::default(), (host, LogStream::Result), lease, &metrics);
        }
        let mut round = LeaseRound { looked_at: Instant::now(), next: 0 };
        let mut next = || -> Vec<i64> { leases.some_held(&mut round, 4).into_iter().map(|(host, _)| host).collect() };
        assert_eq!([next(), next(), next()], [vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![9, 10]]);
        assert_eq!(next(), [1, 2, 3, 4]);
        leases.forget((5, LogStream::Result), &metrics);
        assert_eq!(next(), [6, 7, 8, 9], "those that were given up are not counted");
    }
}
