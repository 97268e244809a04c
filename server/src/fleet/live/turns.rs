//! The live queries of one host: what it has still to fetch and what it owes an answer to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::clock::Moment;
use crate::fleet::checkin::ENVELOPE;
use crate::lock::lock;

/// Queries in one read: all their answers come together, after the slowest.
const AT_ONE_TIME: usize = 8;

/// Held by the host, so that a check-in without live queries costs one look at a flag, however many are open.
#[derive(Debug, Default)]
pub struct Turns {
    is_attached: AtomicBool,
    has_any: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: BTreeSet<i64>,
    /// Lost once; asked alone the second time.
    careful: BTreeSet<i64>,
    owed: BTreeMap<i64, Moment>,
    was_refused: bool,
    accelerated_at: Moment,
}

/// What an owed answer has become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The agent's worker probably died of it.
    Suspect,
    /// To be asked once more, alone.
    Again,
    /// Asked twice, no answer, no sign of a restart.
    Lost,
}

impl Turns {
    /// Whether the open jobs have been looked through for this host. True from the second call on.
    pub(super) fn attach(&self) -> bool {
        self.is_attached.swap(true, Ordering::AcqRel)
    }

    pub(super) fn is_attached(&self) -> bool {
        self.is_attached.load(Ordering::Acquire)
    }

    pub(super) fn has_any(&self) -> bool {
        self.has_any.load(Ordering::Acquire)
    }

    pub(super) fn add(&self, job: i64) {
        let mut inner = self.lock();
        if !inner.owed.contains_key(&job) {
            inner.waiting.insert(job);
        }
        self.has_any.store(true, Ordering::Release);
    }

    /// Owed answers that will not come, given whether the agent shows signs of a restart since a moment.
    pub(super) fn overdue(&self, now: Moment, restarted_since: impl Fn(Moment) -> bool) -> Vec<(i64, Verdict)> {
        let mut inner = self.lock();
        let mut by_read: BTreeMap<Moment, Vec<i64>> = BTreeMap::new();
        for (job, sent_at) in inner.owed.iter().filter(|(_, sent_at)| now > sent_at.plus(ENVELOPE)) {
            by_read.entry(*sent_at).or_default().push(*job);
        }
        let mut verdicts = Vec::new();
        for (sent_at, jobs) in by_read {
            let was_alone = jobs.len() == 1;
            for job in jobs {
                inner.owed.remove(&job);
                let verdict = if was_alone && restarted_since(sent_at) {
                    Verdict::Suspect
                } else if inner.careful.contains(&job) {
                    Verdict::Lost
                } else {
                    Verdict::Again
                };
                match verdict {
                    Verdict::Again => {
                        inner.careful.insert(job);
                        inner.waiting.insert(job);
                    }
                    _ => {
                        inner.careful.remove(&job);
                    }
                }
                verdicts.push((job, verdict));
            }
        }
        self.note(&inner);
        verdicts
    }

    /// Jobs for the next read; `taken` or `dropped` must follow for each. One that was lost before goes alone.
    pub(super) fn candidates(&self) -> Vec<i64> {
        let inner = self.lock();
        let (careful, fresh): (Vec<i64>, Vec<i64>) = inner.waiting.iter().partition(|job| inner.careful.contains(job));
        if fresh.is_empty() {
            return careful.into_iter().take(usize::from(inner.owed.is_empty())).collect();
        }
        fresh.into_iter().take(AT_ONE_TIME).collect()
    }

    pub(super) fn taken(&self, job: i64, now: Moment) {
        let mut inner = self.lock();
        inner.waiting.remove(&job);
        inner.owed.insert(job, now);
        self.note(&inner);
    }

    /// A job is over for this host.
    pub(super) fn dropped(&self, job: i64) {
        let mut inner = self.lock();
        inner.waiting.remove(&job);
        inner.owed.remove(&job);
        inner.careful.remove(&job);
        self.note(&inner);
    }

    /// Whether to tell the agent to come back sooner; at most once in `every`, since each time writes a line to its log.
    pub(super) fn accelerate(&self, now: Moment, every: Duration) -> bool {
        let mut inner = self.lock();
        let is_time = now > inner.accelerated_at.plus(every);
        if is_time {
            inner.accelerated_at = now;
        }
        is_time
    }

    /// Notes whether a write is refused, and says whether the one before was: an agent is never refused twice in a row.
    pub(super) fn refuse(&self, is_refused: bool) -> bool {
        std::mem::replace(&mut self.lock().was_refused, is_refused)
    }

    fn note(&self, inner: &Inner) {
        self.has_any.store(!inner.waiting.is_empty() || !inner.owed.is_empty(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment(seconds * 1_000_000)
    }

    fn take_all(turns: &Turns, now: Moment) -> Vec<i64> {
        let jobs = turns.candidates();
        jobs.iter().for_each(|job| turns.taken(*job, now));
        jobs
    }

    #[test]
    fn an_empty_check_in_looks_at_one_flag() {
        let turns = Turns::default();
        assert!(!turns.has_any());
        turns.add(1);
        assert!(turns.has_any());
        take_all(&turns, at(0));
        turns.dropped(1);
        assert!(!turns.has_any());
    }

    #[test]
    fn a_restart_after_a_lone_query_makes_it_suspect() {
        let turns = Turns::default();
        turns.add(1);
        take_all(&turns, at(0));
        assert_eq!(turns.overdue(at(10), |_| true), [], "still within the time an agent retries");
        assert_eq!(turns.overdue(at(30), |_| true), [(1, Verdict::Suspect)]);
    }

    #[test]
    fn several_lost_at_once_are_asked_again_one_by_one() {
        let turns = Turns::default();
        (1..=3).for_each(|job| turns.add(job));
        assert_eq!(take_all(&turns, at(0)), [1, 2, 3]);
        turns.dropped(3);
        assert_eq!(turns.overdue(at(30), |_| true), [(1, Verdict::Again), (2, Verdict::Again)]);
        assert_eq!(take_all(&turns, at(30)), [1]);
        assert_eq!(turns.candidates(), [0; 0], "the second waits for the first");
        assert_eq!(turns.overdue(at(60), |_| true), [(1, Verdict::Suspect)]);
        assert_eq!(take_all(&turns, at(60)), [2]);
        turns.dropped(2);
        assert!(!turns.has_any());
    }

    #[test]
    fn two_losses_without_a_restart_are_lost() {
        let turns = Turns::default();
        turns.add(1);
        take_all(&turns, at(0));
        assert_eq!(turns.overdue(at(30), |_| false), [(1, Verdict::Again)]);
        take_all(&turns, at(30));
        assert_eq!(turns.overdue(at(60), |_| false), [(1, Verdict::Lost)]);
        assert!(!turns.has_any());
    }
}
