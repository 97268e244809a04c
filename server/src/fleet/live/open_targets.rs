//! The live queries of one host: what it has still to fetch and what it owes an answer to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use crate::clock::Moment;
use crate::fleet::checkin::RETRY_WINDOW;
use crate::lock::lock;

/// Queries in one read: all their answers come together, after the slowest.
const AT_ONE_TIME: usize = 8;

/// Held by the host, so that a check-in without live queries costs one look at a flag, however many are open.
#[derive(Debug, Default)]
pub struct OpenTargets {
    is_attached: AtomicBool,
    has_any: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: BTreeSet<i64>,
    /// Lost once; asked alone the second time.
    retry_alone: BTreeSet<i64>,
    /// With a discovery query: one that cannot run voids the whole read, so these are always asked alone.
    discovering: BTreeSet<i64>,
    /// When it was asked, and whether it was asked nothing else then.
    owed: BTreeMap<i64, (Moment, bool)>,
    /// What owed answers have become, until that is carried out, with when they were asked for.
    verdicts: BTreeMap<i64, (Verdict, Moment)>,
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
    /// It came alone, and was larger than the server takes.
    TooLarge,
}

impl OpenTargets {
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

    /// It waits to be asked, whatever was thought of it before: a job that was made anew owes nothing.
    pub(super) fn add(&self, job: i64, is_discovering: bool) {
        let mut inner = self.lock();
        inner.owed.remove(&job);
        inner.verdicts.remove(&job);
        inner.retry_alone.remove(&job);
        inner.waiting.insert(job);
        if is_discovering {
            inner.discovering.insert(job);
        }
        self.note(&inner);
    }

    /// Owed answers that will not come, given whether the agent shows signs of a restart since a moment. Each is given
    /// again until `again` or `dropped`, so that a request that is given up on the way loses none.
    pub(super) fn overdue(&self, now: Moment, restarted_since: impl Fn(Moment) -> bool) -> Vec<(i64, Verdict)> {
        let mut inner = self.lock();
        let overdue: Vec<_> = inner.overdue(now).collect();
        for (job, sent_at, was_alone) in overdue {
            let verdict = if was_alone && restarted_since(sent_at) {
                Verdict::Suspect
            } else if inner.retry_alone.contains(&job) {
                Verdict::Lost
            } else {
                Verdict::Again
            };
            inner.owed.remove(&job);
            inner.verdicts.insert(job, (verdict, sent_at));
        }
        inner.verdicts.iter().map(|(job, (verdict, _))| (*job, *verdict)).collect()
    }

    /// The agent's answers were too large to be taken. Which one it was shows when each is asked alone.
    pub(super) fn too_large(&self) -> Vec<(i64, Verdict)> {
        let mut inner = self.lock();
        let owed = std::mem::take(&mut inner.owed);
        let verdict = if owed.len() == 1 { Verdict::TooLarge } else { Verdict::Again };
        inner.verdicts.extend(owed.into_iter().map(|(job, (sent_at, _))| (job, (verdict, sent_at))));
        inner.verdicts.iter().map(|(job, (verdict, _))| (*job, *verdict)).collect()
    }

    /// Jobs whose answers are owed for too long, and those whose verdict is not carried out.
    pub(super) fn doubtful(&self, now: Moment) -> Vec<i64> {
        let inner = self.lock();
        inner.overdue(now).map(|(job, ..)| job).chain(inner.verdicts.keys().copied()).collect()
    }

    /// To be asked once more, alone.
    pub(super) fn again(&self, job: i64, is_discovering: bool) {
        let mut inner = self.lock();
        inner.owed.remove(&job);
        inner.verdicts.remove(&job);
        inner.retry_alone.insert(job);
        inner.waiting.insert(job);
        if is_discovering {
            inner.discovering.insert(job);
        }
        self.note(&inner);
    }

    /// Jobs for the next read; `taken` or `dropped` must follow for each.
    pub(super) fn candidates(&self) -> Vec<i64> {
        let inner = self.lock();
        let is_alone = |job: &&i64| inner.retry_alone.contains(job) || inner.discovering.contains(job);
        let (alone, together): (Vec<i64>, Vec<i64>) = inner.waiting.iter().partition(is_alone);
        if together.is_empty() {
            return alone.into_iter().take(usize::from(inner.owed.is_empty())).collect();
        }
        together.into_iter().take(AT_ONE_TIME).collect()
    }

    /// It was lost once, wherever that was found.
    pub(super) fn was_asked_again(&self, job: i64) {
        self.lock().retry_alone.insert(job);
    }

    /// It was asked. A verdict about this very claim stands.
    pub(super) fn taken(&self, job: i64, at: Moment, is_alone: bool) {
        let mut inner = self.lock();
        inner.waiting.remove(&job);
        if inner.verdicts.get(&job).is_none_or(|(_, judged)| at > *judged) {
            inner.verdicts.remove(&job);
            inner.owed.insert(job, (at, is_alone));
        }
        self.note(&inner);
    }

    /// A job is over for this host.
    pub(super) fn dropped(&self, job: i64) {
        let mut inner = self.lock();
        inner.waiting.remove(&job);
        inner.owed.remove(&job);
        inner.verdicts.remove(&job);
        inner.retry_alone.remove(&job);
        inner.discovering.remove(&job);
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
        let has_any = !(inner.waiting.is_empty() && inner.owed.is_empty() && inner.verdicts.is_empty());
        self.has_any.store(has_any, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl Inner {
    fn overdue(&self, now: Moment) -> impl Iterator<Item = (i64, Moment, bool)> + '_ {
        let overdue = self.owed.iter().filter(move |(_, (sent_at, _))| now > sent_at.plus(RETRY_WINDOW));
        overdue.map(|(job, (sent_at, is_alone))| (*job, *sent_at, *is_alone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment(seconds * 1_000_000)
    }

    fn take_all(targets: &OpenTargets, now: Moment) -> Vec<i64> {
        let jobs = targets.candidates();
        jobs.iter().for_each(|job| targets.taken(*job, now, jobs.len() == 1));
        jobs
    }

    fn carry_out(targets: &OpenTargets, verdicts: &[(i64, Verdict)]) {
        for (job, verdict) in verdicts {
            match verdict {
                Verdict::Again => targets.again(*job, false),
                _ => targets.dropped(*job),
            }
        }
    }

    /// What is decided, carried out at once.
    fn settle(targets: &OpenTargets, now: Moment, has_restarted: bool) -> Vec<(i64, Verdict)> {
        let verdicts = targets.overdue(now, |_| has_restarted);
        carry_out(targets, &verdicts);
        verdicts
    }

    #[test]
    fn an_empty_check_in_looks_at_one_flag() {
        let targets = OpenTargets::default();
        assert!(!targets.has_any());
        targets.add(1, false);
        assert!(targets.has_any());
        take_all(&targets, at(0));
        targets.dropped(1);
        assert!(!targets.has_any());
    }

    #[test]
    fn what_waits_anew_is_owed_no_more() {
        let targets = OpenTargets::default();
        targets.add(1, false);
        take_all(&targets, at(0));
        assert_eq!(targets.overdue(at(30), |_| false), [(1, Verdict::Again)]);
        targets.add(1, false);
        assert_eq!(targets.doubtful(at(30)), [0; 0]);
        assert_eq!(take_all(&targets, at(30)), [1]);
    }

    #[test]
    fn a_restart_after_a_lone_query_makes_it_suspect() {
        let targets = OpenTargets::default();
        targets.add(1, false);
        take_all(&targets, at(0));
        assert_eq!(settle(&targets, at(10), true), [], "still within the time an agent retries");
        assert_eq!(settle(&targets, at(30), true), [(1, Verdict::Suspect)]);
    }

    #[test]
    fn several_lost_at_once_are_asked_again_one_by_one() {
        let targets = OpenTargets::default();
        (1..=3).for_each(|job| targets.add(job, false));
        assert_eq!(take_all(&targets, at(0)), [1, 2, 3]);
        targets.dropped(3);
        assert_eq!(settle(&targets, at(30), true), [(1, Verdict::Again), (2, Verdict::Again)]);
        assert_eq!(take_all(&targets, at(30)), [1]);
        assert_eq!(targets.candidates(), [0; 0], "the second waits for the first");
        assert_eq!(settle(&targets, at(60), true), [(1, Verdict::Suspect)]);
        assert_eq!(take_all(&targets, at(60)), [2]);
        targets.dropped(2);
        assert!(!targets.has_any());
    }

    #[test]
    fn two_losses_without_a_restart_are_lost() {
        let targets = OpenTargets::default();
        targets.add(1, false);
        take_all(&targets, at(0));
        assert_eq!(settle(&targets, at(30), false), [(1, Verdict::Again)]);
        take_all(&targets, at(30));
        assert_eq!(settle(&targets, at(60), false), [(1, Verdict::Lost)]);
        assert!(!targets.has_any());
    }

    #[test]
    fn a_verdict_stands_until_it_is_carried_out() {
        let targets = OpenTargets::default();
        (1..=2).for_each(|job| targets.add(job, false));
        take_all(&targets, at(0));
        let both = [(1, Verdict::Again), (2, Verdict::Again)];
        assert_eq!(targets.overdue(at(30), |_| true), both);
        assert!(targets.has_any());
        assert_eq!(targets.candidates(), [0; 0], "nothing is asked again before that");
        carry_out(&targets, &both[..1]);
        assert_eq!(targets.overdue(at(60), |_| true), both[1..], "the one that is left was not alone");
        targets.dropped(2);
        assert_eq!(targets.overdue(at(90), |_| true), [], "its answer has come after all");
        assert_eq!(targets.candidates(), [1]);
    }

    #[test]
    fn what_has_a_discovery_query_is_asked_alone() {
        let targets = OpenTargets::default();
        (1..=4).for_each(|job| targets.add(job, job % 2 == 0));
        assert_eq!(take_all(&targets, at(0)), [1, 3]);
        assert_eq!(targets.candidates(), [0; 0]);
        targets.dropped(1);
        targets.dropped(3);
        assert_eq!(take_all(&targets, at(1)), [2]);
        assert_eq!(targets.candidates(), [0; 0]);
        targets.dropped(2);
        assert_eq!(take_all(&targets, at(2)), [4]);
    }

    #[test]
    fn of_several_that_were_too_large_together_each_is_asked_alone() {
        let targets = OpenTargets::default();
        (1..=2).for_each(|job| targets.add(job, false));
        take_all(&targets, at(0));
        assert_eq!(targets.too_large(), [(1, Verdict::Again), (2, Verdict::Again)]);
        carry_out(&targets, &targets.overdue(at(0), |_| false));
        assert_eq!(take_all(&targets, at(1)), [1]);
        assert_eq!(targets.too_large(), [(1, Verdict::TooLarge)]);
        targets.dropped(1);
        assert_eq!(take_all(&targets, at(2)), [2]);
    }
}
