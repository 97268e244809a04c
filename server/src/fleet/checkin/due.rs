//! When a host is asked about itself again. Each host has its own slot in the hour, so that a fleet that enrolled or
//! came back at one moment does not stay together.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use super::refresh_check::{RefreshCheck, RefreshNeed, is_awaited};
use crate::clock::Moment;
use crate::fleet::schedule::Plan;
use crate::store::reports::RefreshRecord;

/// Time within which all hosts are asked about a new or changed label, after every node knows it (`TOLD_WITHIN`): a minute in
/// all.
const NEW_LABEL_SPREAD: Duration = Duration::from_secs(45);

/// Shortest pause before a host is asked again for which the database did not answer.
const RETRY: Duration = Duration::from_secs(10);

/// Moves a slot by half an interval: statistics are asked between two refreshes.
const OPPOSITE: u32 = 1 << 31;

/// How often each kind of question is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefreshIntervals {
    pub details: Duration,
    pub labels: Duration,
    /// `None` if hosts are not asked for statistics.
    pub statistics: Option<Duration>,
    /// Whether this host was picked to say which tables it has.
    pub asks_schema: bool,
}

/// What a host is to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Due {
    pub details: bool,
    pub labels: bool,
    /// Never with the others: it is asked alone.
    pub statistics: bool,
    /// As for statistics.
    pub schema: bool,
}

impl Due {
    pub(super) fn any(self) -> bool {
        self.details || self.labels || self.statistics || self.schema
    }
}

/// When a host was last asked, as far as memory knows. Good enough to say that nothing is due; that something is due,
/// the database decides. May be older than the row, never newer, so it errs towards asking the database in vain.
#[derive(Debug, Default)]
pub struct RefreshState {
    details_at: AtomicI64,
    labels_at: AtomicI64,
    statistics_at: AtomicI64,
    /// Whether an operator wants everything asked anew; see [`RefetchMark`].
    refetch: AtomicU32,
    /// Nothing is due before this second since 1970, as long as the labels are those of `generation`.
    quiet_until: AtomicU32,
    generation: AtomicI64,
}

/// The refetches of a host that memory knows of: the lowest bit is set while one is wanted, the others count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefetchMark(u32);

impl RefreshState {
    pub fn new(asked: &RefreshRecord) -> Self {
        let refresh_state = Self::default();
        refresh_state.take_over(asked);
        refresh_state
    }

    /// Takes over what the database knows, where that is newer.
    pub fn take_over(&self, asked: &RefreshRecord) {
        self.take_over_as_of(self.refetch_mark(), asked);
    }

    /// Takes over what the database knows, also where that is older: the host is another system now.
    pub fn restart(&self, asked: &RefreshRecord) {
        self.details_at.store(asked.detail_updated_at.0, Ordering::Relaxed);
        self.labels_at.store(asked.label_updated_at.0, Ordering::Relaxed);
        self.look_again();
    }

    /// For [`RefreshState::take_over_as_of`], before the database is asked.
    pub fn refetch_mark(&self) -> RefetchMark {
        RefetchMark(self.refetch.load(Ordering::Relaxed))
    }

    /// As [`RefreshState::take_over`], for a record that may be older than a refetch which was requested since the mark.
    pub fn take_over_as_of(&self, mark: RefetchMark, asked: &RefreshRecord) {
        self.details_at.fetch_max(asked.detail_updated_at.0, Ordering::Relaxed);
        self.labels_at.fetch_max(asked.label_updated_at.0, Ordering::Relaxed);
        // After a refetch it is due at once, so it may become less.
        self.statistics_at.store(asked.statistics_updated_at.0, Ordering::Relaxed);
        let RefetchMark(before) = mark;
        let after = before & !1 | u32::from(asked.refetch_requested);
        let is_newest = self.refetch.compare_exchange(before, after, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_newest && after != before && asked.refetch_requested {
            self.look_again();
        }
    }

    /// Asks everything at the next check-in.
    pub fn ask_again(&self) {
        // The counter moves on, and the lowest bit is set.
        let _ =
            self.refetch.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |mark| Some((mark | 1).wrapping_add(2)));
        self.look_again();
    }

    /// Whether somebody may wait for what the host says: nothing is known of it yet, an operator wants everything asked anew,
    /// or a label is newer than what the host was asked.
    pub(super) fn is_awaited(&self, host_id: i64, plan: &Plan) -> bool {
        let asked = self.record(host_id);
        is_awaited(&asked) || plan.newest_label() > asked.label_updated_at
    }

    /// When the host was asked about labels, as far as memory knows.
    pub(in crate::fleet) fn labels_asked_at(&self) -> Moment {
        Moment(self.labels_at.load(Ordering::Relaxed))
    }

    /// The host's record as far as memory knows it, which is nothing of open rounds.
    fn record(&self, host_id: i64) -> RefreshRecord {
        RefreshRecord {
            id: host_id,
            detail_updated_at: Moment(self.details_at.load(Ordering::Relaxed)),
            label_updated_at: self.labels_asked_at(),
            statistics_updated_at: Moment(self.statistics_at.load(Ordering::Relaxed)),
            refetch_requested: self.refetch.load(Ordering::Relaxed) & 1 == 1,
            open_round: None,
        }
    }

    /// Makes the next check-in find out whether something is due.
    pub(in crate::fleet) fn look_again(&self) {
        self.quiet_until.store(0, Ordering::Relaxed);
    }

    /// Notes that nothing is due before a moment.
    pub(super) fn rest_until(&self, moment: Moment, plan: &Plan) {
        self.quiet_until.store(second(moment), Ordering::Relaxed);
        self.generation.store(plan.generation, Ordering::Relaxed);
    }

    /// The cheap test of every check-in: false when certainly nothing is due.
    pub(super) fn may_be_due(&self, plan: &Plan, now: Moment) -> bool {
        self.quiet_until.load(Ordering::Relaxed) <= second(now)
            || self.generation.load(Ordering::Relaxed) != plan.generation
    }

    /// What is due now as far as memory knows. If nothing is, notes until when.
    pub(super) fn check(&self, host_id: i64, plan: &Plan, intervals: RefreshIntervals, now: Moment) -> RefreshCheck {
        let check = RefreshCheck::of(self.record(host_id), plan, intervals, now);
        if let RefreshNeed::Nothing(next) = check.need {
            self.rest_until(next, plan);
        }
        check
    }
}

/// The second since 1970 in which a moment lies.
fn second(moment: Moment) -> u32 {
    u32::try_from(moment.seconds().max(0)).unwrap_or(u32::MAX)
}

/// What is due now for a host with this record, and when something will be.
pub(super) fn due(asked: &RefreshRecord, plan: &Plan, intervals: RefreshIntervals, now: Moment) -> (Due, Moment) {
    let slot = spread(asked.id);
    let details_due = next_slot(asked.detail_updated_at, intervals.details, slot);
    let mut labels_due = next_slot(asked.label_updated_at, intervals.labels, slot);
    if plan.newest_label() > asked.label_updated_at {
        labels_due = labels_due.min(plan.newest_label().plus(share(NEW_LABEL_SPREAD, slot)));
    }
    let is_asked = asked.refetch_requested;
    let (details, labels) = (is_asked || details_due <= now, is_asked || labels_due <= now);
    let mut due = Due { details, labels, ..Due::default() };
    let mut next = details_due.min(labels_due);
    if let Some(interval) = intervals.statistics {
        let statistics_due = next_slot(asked.statistics_updated_at, interval, slot ^ OPPOSITE);
        due.statistics = !due.any() && statistics_due <= now;
        next = next.min(statistics_due);
    }
    due.schema = intervals.asks_schema && !due.any();
    (due, next)
}

/// When to ask a host again for which the database did not answer; hosts are spread, so that they do not come back all
/// at once.
pub(super) fn retry_at(host_id: i64, now: Moment) -> Moment {
    now.plus(RETRY).plus(share(RETRY * 2, spread(host_id)))
}

/// A fixed number for a host that looks random among hosts (Fibonacci hashing).
fn spread(host_id: i64) -> u32 {
    let mixed = host_id.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    u32::try_from(mixed >> 32).unwrap_or(0)
}

/// The part of a span that belongs to a slot.
fn share(span: Duration, slot: u32) -> Duration {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(u64::try_from((u128::from(micros) * u128::from(slot)) >> 32).unwrap_or(0))
}

/// The first moment at a host's slot in the interval that is at least a quarter of it after `last`; at once if it was
/// never asked.
fn next_slot(last: Moment, interval: Duration, slot: u32) -> Moment {
    let length = i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).max(1);
    if last == Moment::NEVER {
        return last;
    }
    let slot = i64::try_from(share(interval, slot).as_micros()).unwrap_or(0);
    let earliest = last.0.saturating_add(length / 4);
    Moment(earliest.saturating_add((slot - earliest).rem_euclid(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_record_does_not_undo_a_refetch() {
        let record = |refetch_requested| RefreshRecord {
            id: 1,
            detail_updated_at: Moment(1),
            label_updated_at: Moment(1),
            statistics_updated_at: Moment(1),
            refetch_requested,
            open_round: None,
        };
        let state = RefreshState::new(&record(false));
        let wants = || state.refetch_mark().0 & 1 == 1;
        state.ask_again();
        let mark = state.refetch_mark();
        state.take_over_as_of(mark, &record(false));
        assert!(!wants(), "it was done");
        let mark = state.refetch_mark();
        state.ask_again();
        state.take_over_as_of(mark, &record(false));
        assert!(wants(), "requested since");
        let mark = state.refetch_mark();
        state.ask_again();
        state.take_over_as_of(mark, &record(false));
        assert!(wants(), "requested once more");
        state.take_over(&record(false));
        assert!(!wants());
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn slots_are_an_interval_apart_and_never_too_soon() {
        for host_id in 0..1000 {
            let slot = spread(host_id);
            let first = next_slot(Moment(1_700_000_000_000_000), HOUR, slot);
            assert!(first.since(Moment(1_700_000_000_000_000)) >= HOUR / 4);
            assert!(first.since(Moment(1_700_000_000_000_000)) <= HOUR / 4 + HOUR);
            assert_eq!(next_slot(first, HOUR, slot).since(first), HOUR);
        }
    }

    #[test]
    fn hosts_that_came_together_are_spread_over_the_interval() {
        let mut per_minute = [0; 60];
        for host_id in 1..=6000 {
            let due = next_slot(Moment(1_700_000_000_000_000), HOUR, spread(host_id));
            per_minute[usize::try_from(due.0 / 60_000_000 % 60).unwrap()] += 1;
        }
        assert!(per_minute.iter().all(|hosts| (50..=150).contains(hosts)), "{per_minute:?}");
    }
}
