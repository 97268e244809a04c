//! When a host is asked about itself again. Each host has its own place in the hour, so that a fleet that enrolled or
//! came back at one moment does not stay together.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::Name;
use super::round::{Finished, Next, Round, Step};
use crate::clock::Moment;
use crate::fleet::schedule::Plan;
use crate::lock::lock;
use crate::store::reports::Asked;

/// A new or changed label is put to the fleet within this time.
const NEW_LABEL_SPREAD: Duration = Duration::from_secs(60);

/// How often each kind of question is put.
#[derive(Debug, Clone, Copy)]
pub(super) struct Intervals {
    pub details: Duration,
    pub labels: Duration,
}

/// What a host is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Due {
    pub details: bool,
    pub labels: bool,
}

impl Due {
    pub(super) fn any(self) -> bool {
        self.details || self.labels
    }
}

/// What a host was asked and will be, in memory.
#[derive(Debug, Default)]
pub struct Housekeeping {
    details_at: AtomicI64,
    labels_at: AtomicI64,
    /// When an operator last asked for everything anew; 0 when that has been done.
    refetch_asked_at: AtomicI64,
    /// Nothing is due before this moment, as long as the labels are those of `generation`.
    quiet_until: AtomicI64,
    generation: AtomicI64,
    round: Mutex<Option<Round>>,
}

impl Housekeeping {
    pub fn new(asked: Asked) -> Self {
        let housekeeping = Self::default();
        housekeeping.take_over(asked);
        housekeeping
    }

    /// Takes what the database knows where it is newer.
    pub(super) fn take_over(&self, asked: Asked) {
        self.details_at.fetch_max(asked.detail_updated_at.0, Ordering::Relaxed);
        self.labels_at.fetch_max(asked.label_updated_at.0, Ordering::Relaxed);
        if asked.refetch_requested {
            // When, the database does not say: before whatever is asked from now on.
            self.ask_again(Moment(1));
        }
    }

    /// Asks everything at the next check-in.
    pub fn ask_again(&self, now: Moment) {
        self.refetch_asked_at.fetch_max(now.0, Ordering::Relaxed);
        self.quiet_until.store(0, Ordering::Relaxed);
    }

    /// The cheap test of every check-in: false when certainly nothing is due.
    pub(super) fn may_be_due(&self, plan: &Plan, now: Moment) -> bool {
        self.quiet_until.load(Ordering::Relaxed) <= now.0 || self.generation.load(Ordering::Relaxed) != plan.generation
    }

    pub(super) fn has_round(&self) -> bool {
        self.lock().is_some()
    }

    /// What is due now. When nothing is, notes until when.
    pub(super) fn due(&self, host_id: i64, plan: &Plan, intervals: Intervals, now: Moment) -> Due {
        let is_asked = self.refetch_asked_at.load(Ordering::Relaxed) > 0;
        let details_at = Moment(self.details_at.load(Ordering::Relaxed));
        let labels_at = Moment(self.labels_at.load(Ordering::Relaxed));
        let place = spread(host_id);
        let details_due = next_place(details_at, intervals.details, place);
        let mut labels_due = next_place(labels_at, intervals.labels, place);
        if plan.newest_label() > labels_at {
            labels_due = labels_due.min(plan.newest_label().plus(share(NEW_LABEL_SPREAD, place)));
        }
        let due = Due { details: is_asked || details_due <= now, labels: is_asked || labels_due <= now };
        if !due.any() {
            self.quiet_until.store(details_due.min(labels_due).0, Ordering::Relaxed);
            self.generation.store(plan.generation, Ordering::Relaxed);
        }
        due
    }

    pub(super) fn start(&self, round: Round) {
        let mut current = self.lock();
        if current.is_none() {
            *current = Some(round);
        }
    }

    pub(super) fn next(&self, now: Moment) -> Step {
        match &mut *self.lock() {
            Some(round) => round.next(now),
            None => Step { step: Next::Wait, parked: Vec::new() },
        }
    }

    /// Says whether the answer was owed.
    pub(super) fn answered(&self, name: Name) -> bool {
        self.lock().as_mut().is_some_and(|round| round.answered(name))
    }

    /// What the round was for, if its last answer has come.
    pub(super) fn is_round_done(&self) -> Option<Finished> {
        self.lock().as_ref().and_then(Round::is_done)
    }

    /// Whether a round was what an operator asked for, and not begun before that.
    pub(super) fn has_refetched(&self, done: Finished) -> bool {
        done.due.details && self.refetch_asked_at.load(Ordering::Relaxed) <= done.started_at.0
    }

    /// Ends the round and notes when the next is due.
    pub(super) fn finished(&self, done: Finished, host_id: i64, plan: &Plan, intervals: Intervals, now: Moment) {
        *self.lock() = None;
        if done.due.details {
            self.details_at.fetch_max(done.started_at.0, Ordering::Relaxed);
        }
        if done.due.labels {
            self.labels_at.fetch_max(done.started_at.0, Ordering::Relaxed);
        }
        if self.has_refetched(done) {
            self.refetch_asked_at.store(0, Ordering::Relaxed);
        }
        self.due(host_id, plan, intervals, now);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Round>> {
        lock(&self.round)
    }
}

/// A fixed number for a host that looks random among hosts (Fibonacci hashing).
fn spread(host_id: i64) -> u32 {
    let mixed = host_id.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(mixed >> 32).unwrap_or(0)
}

/// The part of a span that belongs to a place.
fn share(span: Duration, place: u32) -> Duration {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(u64::try_from((u128::from(micros) * u128::from(place)) >> 32).unwrap_or(0))
}

/// The first moment at a host's place in the interval that is at least a quarter of it after `last`; at once if it was
/// never asked.
fn next_place(last: Moment, interval: Duration, place: u32) -> Moment {
    let length = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).max(1);
    if last == Moment::NEVER {
        return last;
    }
    let place = i64::try_from(share(interval, place).as_micros()).unwrap_or(0);
    let earliest = last.0.saturating_add(length / 4);
    Moment(earliest.saturating_add((place - earliest).rem_euclid(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn places_are_an_interval_apart_and_never_too_soon() {
        for host_id in 0..1000 {
            let place = spread(host_id);
            let first = next_place(Moment(1_700_000_000_000_000), HOUR, place);
            assert!(first.since(Moment(1_700_000_000_000_000)) >= HOUR / 4);
            assert!(first.since(Moment(1_700_000_000_000_000)) <= HOUR / 4 + HOUR);
            assert_eq!(next_place(first, HOUR, place).since(first), HOUR);
        }
    }

    #[test]
    fn hosts_that_came_together_are_spread_over_the_interval() {
        let mut per_minute = [0; 60];
        for host_id in 1..=6000 {
            let due = next_place(Moment(1_700_000_000_000_000), HOUR, spread(host_id));
            per_minute[usize::try_from(due.0 / 60_000_000 % 60).unwrap()] += 1;
        }
        assert!(per_minute.iter().all(|hosts| (50..=150).contains(hosts)), "{per_minute:?}");
    }
}
