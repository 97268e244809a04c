//! Leases: a node whose batches of a host follow each other keeps the next ones without asking Redis.
//!
//! Other nodes ask the node for the lease, and it gives the last batch to Redis before it lets go. It uses its leases only
//! while the others must believe that it is alive: [`LEAST_LEFT`] less than its term in Redis goes on, by a clock that
//! nobody sets. What it accepted under a lease counts as not shared, as during an outage of Redis.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use roaring::RoaringTreemap;
use tokio::sync::Semaphore;

use super::host_log::{HostLog, Lease};
use super::{LogStream, Logs};
use crate::bus::{BatchLease, TERM_LASTS};
use crate::lock::lock;
use crate::telemetry::Metrics;

/// How often a node renews its term, and learns what others want.
pub const LEASES_RENEWED_EVERY: Duration = Duration::from_millis(250);

/// What must be left of the term when a batch begins. The clocks of two machines run at speeds that differ far less.
const LEAST_LEFT: Duration = Duration::from_secs(1);

/// How long a lease is used.
const USED_FOR: Duration = Duration::from_secs(50 * 60);

/// Leases that are being given up at one time. Who is not among them asks again.
const MAX_RELEASING: u64 = 4_096;

/// How many of these are on their way to Redis at one time.
pub(super) const RELEASED_AT_ONCE: usize = 64;

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
    /// Those that are being given up.
    releasing: Mutex<RoaringTreemap>,
    pub releases: Semaphore,
    /// One renewal at a time; when deleted hosts were last looked for.
    pub renewing: tokio::sync::Mutex<Instant>,
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
            releasing: Mutex::default(),
            releases: Semaphore::new(RELEASED_AT_ONCE),
            renewing: tokio::sync::Mutex::new(now),
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
        let before = std::mem::replace(&mut *lock(&self.life), life);
        if before.term != term {
            let mut held = lock(&self.held);
            metrics.batch_leases_ended.with_label_values(&["lapsed"]).inc_by(held.len());
            metrics.batch_leases.set(0);
            held.clear();
        }
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
        u64::from(lease.taken_at) + USED_FOR.as_secs() <= now.duration_since(self.since).as_secs()
    }

    /// A lease to take now, if any may be taken.
    pub fn next(&self) -> Option<Lease> {
        let taken_at = u32::try_from(self.since.elapsed().as_secs()).ok()?;
        let lease = Lease { term: self.term(), taken_at };
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

    /// The logs with a lease.
    pub fn held(&self) -> Vec<(i64, LogStream)> {
        lock(&self.held).iter().map(log_of).collect()
    }

    /// The logs of these hosts with a lease.
    pub fn held_of(&self, hosts: Vec<i64>) -> Vec<(i64, LogStream)> {
        let logs = hosts.into_iter().flat_map(|host| LogStream::ALL.map(|stream| (host, stream)));
        let held = lock(&self.held);
        logs.filter(|key| held.contains(number(*key))).collect()
    }

    /// Whether this lease is to be given up now: it is not being given up already, and there is room.
    pub fn begin_release(&self, key: (i64, LogStream)) -> bool {
        let mut releasing = lock(&self.releasing);
        releasing.len() < MAX_RELEASING && releasing.insert(number(key))
    }

    pub fn end_release(&self, key: (i64, LogStream)) {
        lock(&self.releasing).remove(number(key));
    }
}

impl Logs {
    /// Whether Redis has renewed the term of this node after it was asked later than at a moment.
    #[cfg(test)]
    pub fn has_asked_redis_since(&self, moment: Instant) -> bool {
        lock(&self.leases.life).until.is_some_and(|until| until >= moment + TERM_LASTS - LEAST_LEFT)
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
        assert_eq!(leases.held(), [(1, LogStream::Status)]);
        let is_good = |at: Instant| leases.is_good_at(log.lease(), at);
        assert!(is_good(now + Duration::from_millis(2900)));
        assert!(!is_good(now + TERM_LASTS - LEAST_LEFT));
        leases.was_renewed(7, now + TERM_LASTS, &metrics);
        assert!(is_good(now + TERM_LASTS), "Redis says that it went on");
        leases.was_renewed(7, now + USED_FOR, &metrics);
        assert!(!is_good(now + USED_FOR + Duration::from_secs(1)));
        leases.was_renewed(8, now, &metrics);
        assert!(!is_good(now) && leases.held().is_empty());
        assert_eq!(metrics.batch_leases_ended.with_label_values(&["lapsed"]).get(), 1);
        assert_eq!(metrics.batch_leases.get(), 0);
        leases.is_stopping.store(true, Ordering::SeqCst);
        assert_eq!(leases.next(), None);
    }

    #[test]
    fn a_lease_is_given_up_once_and_few_are_at_one_time() {
        let leases = Leases::default();
        let key = |host| (host, LogStream::Result);
        assert!(leases.begin_release(key(1)) && !leases.begin_release(key(1)));
        assert!(leases.begin_release((1, LogStream::Status)));
        leases.end_release(key(1));
        let begun = (1..10_000).filter(|host| leases.begin_release(key(*host))).count();
        assert_eq!(begun as u64, MAX_RELEASING - 1);
    }
}
