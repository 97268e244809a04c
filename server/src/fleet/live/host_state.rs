//! The state this node keeps of one host's live queries beside the jobs: the hint that makes an empty check-in cheap,
//! and what no job knows.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::clock::Moment;
use crate::lock::lock;

/// Held by each host in memory. The jobs alone say which targets are open; nothing here repeats that.
#[derive(Debug)]
pub struct HostLiveState {
    /// How often this host became an open target of a job, as far as this node has heard; begins at 1, and at 0 again after
    /// four thousand million.
    announced: AtomicU32,
    /// The value `announced` had before a look through the open jobs that found nothing for this host.
    none_open_at: AtomicU32,
    /// Of hosts that have answered.
    local: Mutex<Option<Box<LocalFacts>>>,
}

/// Facts of this host and this node that no job holds.
#[derive(Debug, Default)]
struct LocalFacts {
    /// Answers this node threw away, by job, until their targets are moved on.
    thrown_away: BTreeMap<i64, ThrownAway>,
    refused: RefusedWrites,
    accelerated_at: Moment,
}

/// What became of the last writes with answers.
#[derive(Debug, Default)]
struct RefusedWrites {
    /// How many writes have begun.
    begun: u64,
    /// Whether the last write that ended was refused for a fault.
    was_refused: bool,
    /// Whether the last write that ended was given up.
    was_given_up: bool,
    /// Writes in a row that were refused because the bus was slow.
    slow: u32,
}

/// Writes in a row that are refused because the bus is slow. The one after them is taken without what cannot be kept.
const MAX_SLOW: u32 = 3;

/// Why a write is refused, the gravest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RefusedFor {
    /// This node has no room for its answers at the moment: nothing is wrong.
    Room,
    /// The bus answers others and not this write.
    Slowness,
    Fault,
}

/// What a write may be refused for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leeway {
    faults: bool,
    slowness: bool,
}

impl Leeway {
    pub(super) fn allows(self, reason: RefusedFor) -> bool {
        match reason {
            RefusedFor::Room => true,
            RefusedFor::Slowness => self.slowness,
            RefusedFor::Fault => self.faults,
        }
    }
}

/// An answer that was part of a write larger than the server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ThrownAway {
    /// When the host was sent the query: the mark holds for this claim and no later one.
    sent_at: Moment,
    /// Whether it was the only answer the host still had to send.
    pub is_only: bool,
}

/// How much had been announced to a host when a look through the jobs began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced(u32);

impl Default for HostLiveState {
    /// Nobody has looked through the open jobs for this host yet, so that its first check-in does.
    fn default() -> Self {
        Self { announced: AtomicU32::new(1), none_open_at: AtomicU32::new(0), local: Mutex::default() }
    }
}

impl HostLiveState {
    /// Tells the host that a job may have it as an open target. Call this after the job says so.
    pub(super) fn announce(&self) {
        // why: a release pairs with the acquire in `announced`: a check-in that sees this count sees the job's change
        // too. One that does not see it notes an older count, which differs from this one, so that the next check-in
        // looks.
        self.announced.fetch_add(1, Ordering::Release);
    }

    /// Whether some job may have this host as an open target. Takes the same time however many jobs are open.
    pub(super) fn may_have_open(&self) -> bool {
        self.announced.load(Ordering::Acquire) != self.none_open_at.load(Ordering::Relaxed)
    }

    /// Call this before a look through the open jobs.
    pub fn announced(&self) -> Announced {
        Announced(self.announced.load(Ordering::Acquire))
    }

    /// Notes that a look found no open target. Call this after the look, with what was announced before it.
    pub(super) fn found_none(&self, before: Announced) {
        // why: a flag that is cleared here would swallow an announcement that came during the look. A count cannot: it
        // has gone beyond `before` by then. A slower look that stores an older count only costs one more look.
        self.none_open_at.store(before.0, Ordering::Relaxed);
    }

    /// Notes that the answers to these jobs, each with when its query was sent, came in a write that was thrown away.
    pub(super) fn answers_thrown_away(&self, sent: &[(i64, Moment)]) {
        self.change(|local| {
            local.thrown_away.retain(|job, mark| sent.contains(&(*job, mark.sent_at)));
            let fresh: Vec<_> = sent.iter().filter(|(job, _)| !local.thrown_away.contains_key(job)).copied().collect();
            let is_only = fresh.len() == 1;
            local.thrown_away.extend(fresh.into_iter().map(|(job, sent_at)| (job, ThrownAway { sent_at, is_only })));
        });
    }

    /// Whether the answer to a job was thrown away since its query was sent.
    pub(super) fn thrown_away(&self, job: i64, sent_at: Moment) -> Option<ThrownAway> {
        let local = lock(&self.local);
        local.as_ref()?.thrown_away.get(&job).filter(|mark| mark.sent_at == sent_at).copied()
    }

    /// Forgets that the answer to a job was thrown away: the target has moved on.
    pub(super) fn moved_on(&self, job: i64) {
        if let Some(local) = &mut *lock(&self.local) {
            local.thrown_away.remove(&job);
        }
    }

    /// Whether to have the agent come back sooner; at most once in `every`, since each time writes a line to its log.
    pub(super) fn accelerate(&self, now: Moment, every: Duration) -> bool {
        self.change(|local| {
            let is_time = now > local.accelerated_at.plus(every);
            if is_time {
                local.accelerated_at = now;
            }
            is_time
        })
    }

    /// Begins a write with answers to live queries.
    pub(super) fn write_begins(&self) -> WriteUnderWay<'_> {
        self.change(|LocalFacts { refused, .. }| {
            refused.begun += 1;
            let leeway = Leeway { faults: !refused.was_refused, slowness: refused.slow < MAX_SLOW };
            WriteUnderWay { host: self, number: refused.begun, leeway, is_over: false }
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut LocalFacts) -> T) -> T {
        change(lock(&self.local).get_or_insert_default())
    }
}

/// A write with answers to live queries. Whoever drops it before [`Self::ended`] has given it up.
///
/// An agent whose connection breaks sends the write once more at once, while this one may still be under way, and sees the
/// outcome of the last one alone. So only the write that began last counts, and none counts before it has ended.
#[derive(Debug)]
pub(super) struct WriteUnderWay<'a> {
    host: &'a HostLiveState,
    number: u64,
    /// Reasons for which the write may be refused.
    pub leeway: Leeway,
    is_over: bool,
}

impl WriteUnderWay<'_> {
    /// Notes why it was refused, if it was.
    pub(super) fn ended(mut self, refused_for: Option<RefusedFor>) {
        self.is_over = true;
        self.note(|refused| {
            refused.was_given_up = false;
            match refused_for {
                None => (refused.was_refused, refused.slow) = (false, 0),
                Some(RefusedFor::Room) => {}
                Some(RefusedFor::Slowness) => refused.slow += 1,
                Some(RefusedFor::Fault) => refused.was_refused = true,
            }
        });
    }

    fn note(&self, note: impl FnOnce(&mut RefusedWrites)) {
        self.host.change(|LocalFacts { refused, .. }| {
            if refused.begun == self.number {
                note(refused);
            }
        });
    }
}

impl Drop for WriteUnderWay<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            // why: the repeat that follows at once must be refused as this one would have been. When that is given up as
            // well, it was a refusal: otherwise an agent that cannot wait would never be rid of its answers.
            self.note(|refused| {
                refused.was_refused |= refused.was_given_up;
                refused.was_given_up = !refused.was_given_up;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_looked_for_until_a_look_finds_nothing() {
        let host = HostLiveState::default();
        assert!(host.may_have_open(), "nobody has looked yet");
        host.found_none(host.announced());
        assert!(!host.may_have_open());
        host.announce();
        assert!(host.may_have_open());
    }

    #[test]
    fn an_announcement_during_a_look_is_not_lost() {
        let host = HostLiveState::default();
        let before = host.announced();
        host.announce();
        host.found_none(before);
        assert!(host.may_have_open());
        let (slow, fast) = (before, host.announced());
        host.found_none(fast);
        assert!(!host.may_have_open());
        host.found_none(slow);
        assert!(host.may_have_open(), "a slower look costs one more");
    }

    #[test]
    fn a_mark_holds_for_one_claim() {
        let host = HostLiveState::default();
        host.answers_thrown_away(&[(1, Moment(5))]);
        assert!(host.thrown_away(1, Moment(5)).unwrap().is_only);
        assert_eq!(host.thrown_away(1, Moment(6)), None, "sent anew");
        host.answers_thrown_away(&[(1, Moment(6)), (2, Moment(6))]);
        assert!(!host.thrown_away(1, Moment(6)).unwrap().is_only);
        assert!(!host.thrown_away(2, Moment(6)).unwrap().is_only);
        host.answers_thrown_away(&[(2, Moment(6)), (3, Moment(7))]);
        assert!(!host.thrown_away(2, Moment(6)).unwrap().is_only, "as it was judged first");
        assert!(host.thrown_away(3, Moment(7)).unwrap().is_only);
        assert_eq!(host.thrown_away(1, Moment(6)), None, "sent no more");
        host.moved_on(3);
        assert_eq!(host.thrown_away(3, Moment(7)), None, "also within one moment");
    }

    #[test]
    fn a_fault_refuses_no_two_writes_in_a_row() {
        let host = HostLiveState::default();
        for _ in 0..3 {
            let first = host.write_begins();
            assert!(first.leeway.allows(RefusedFor::Fault));
            first.ended(Some(RefusedFor::Fault));
            let second = host.write_begins();
            assert!(!second.leeway.allows(RefusedFor::Fault) && second.leeway.allows(RefusedFor::Slowness));
            second.ended(None);
        }
    }

    #[test]
    fn a_write_that_the_agent_repeats_while_it_is_under_way_spends_no_refusal() {
        let host = HostLiveState::default();
        let first = host.write_begins();
        let repeat = host.write_begins();
        assert!(repeat.leeway.allows(RefusedFor::Fault), "the agent has seen no refusal");
        first.ended(Some(RefusedFor::Fault));
        let third = host.write_begins();
        assert!(third.leeway.allows(RefusedFor::Fault), "nobody has seen that one");
        drop(repeat);
        third.ended(Some(RefusedFor::Fault));
        assert!(!host.write_begins().leeway.allows(RefusedFor::Fault));
    }

    #[test]
    fn a_write_that_is_given_up_spends_no_refusal_and_two_in_a_row_do() {
        let host = HostLiveState::default();
        for _ in 0..3 {
            drop(host.write_begins());
            let repeat = host.write_begins();
            assert!(repeat.leeway.allows(RefusedFor::Fault), "sent at once, when the connection broke");
            drop(repeat);
            let third = host.write_begins();
            assert!(!third.leeway.allows(RefusedFor::Fault));
            third.ended(None);
        }
        drop(host.write_begins());
        host.write_begins().ended(Some(RefusedFor::Room));
        drop(host.write_begins());
        assert!(host.write_begins().leeway.allows(RefusedFor::Fault), "not in a row");
    }

    #[test]
    fn a_slow_bus_refuses_a_few_writes_and_no_room_any_number_and_neither_spends_the_refusal_for_a_fault() {
        let host = HostLiveState::default();
        for _ in 0..MAX_SLOW {
            for _ in 0..10 {
                let write = host.write_begins();
                assert!(write.leeway.allows(RefusedFor::Fault) && write.leeway.allows(RefusedFor::Slowness));
                write.ended(Some(RefusedFor::Room));
            }
            host.write_begins().ended(Some(RefusedFor::Slowness));
        }
        let write = host.write_begins();
        assert!(!write.leeway.allows(RefusedFor::Slowness) && write.leeway.allows(RefusedFor::Fault));
        assert!(write.leeway.allows(RefusedFor::Room));
        write.ended(None);
        assert!(host.write_begins().leeway.allows(RefusedFor::Slowness));
    }
}
