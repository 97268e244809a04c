//! Last-seen times in memory, by host id, in pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::clock::Moment;

/// Host ids in a page.
pub const PAGE_IDS: usize = 1 << PAGE_BITS;
const PAGE_BITS: u32 = 15;

const WORD_BITS: usize = u64::BITS as usize;
const MICROS: i64 = 1_000_000;

/// When each host was last seen, as far as this node knows: from its own check-ins, from other nodes, and from stored
/// pages. Times are whole seconds, rounded down and only ever raised, so that none is ahead of the truth.
///
/// Every check-in marks its host here, so all of it works without locks. A page takes 132 KiB and is made for its first
/// host.
#[derive(Debug, Default)]
pub struct SeenTimes {
    pages: papaya::HashMap<i64, Arc<SeenPage>>,
}

/// The times of [`PAGE_IDS`] hosts with ids in a row.
#[derive(Debug)]
pub(super) struct SeenPage {
    /// Seconds since 1970; 0 is never.
    seconds: Box<[AtomicU32]>,
    /// One bit for each host that has checked in with this node since [`SeenTimes::take_here`].
    here: Box<[AtomicU64]>,
    has_here: AtomicBool,
    /// Whether a time was raised that the stored page may not have.
    is_changed: AtomicBool,
}

/// The time of one host, shared with its page.
#[derive(Debug, Clone)]
pub struct SeenSlot {
    page: Arc<SeenPage>,
    slot: usize,
}

/// Reads the times of many hosts. It keeps the page that it used last, so ids are best asked for in their order.
#[derive(Debug)]
pub struct SeenReader<'a> {
    times: &'a SeenTimes,
    /// The number of the page, and the page if there is one.
    page: Option<(i64, Option<Arc<SeenPage>>)>,
}

impl SeenReader<'_> {
    /// When a host was last seen by any node: the later one of the time in memory and that in its row.
    pub fn seen(&mut self, host_id: i64, row_seen_at: Moment) -> Moment {
        let (number, slot) = position(host_id);
        let page = match self.page.take() {
            Some((kept, page)) if kept == number => page,
            _ => self.times.pages.pin().get(&number).cloned(),
        };
        let seen = page.as_ref().map_or(Moment::NEVER, |page| moment(page.seconds(slot)));
        self.page = Some((number, page));
        seen.max(row_seen_at)
    }
}

impl SeenTimes {
    /// Reads the times of many hosts.
    pub fn reader(&self) -> SeenReader<'_> {
        SeenReader { times: self, page: None }
    }

    /// The place where a host's time is kept.
    pub fn slot(&self, host_id: i64) -> SeenSlot {
        let (page, slot) = position(host_id);
        SeenSlot { page: self.page(page), slot }
    }

    /// Takes over that hosts were seen, which the stored pages may not have.
    pub(super) fn merge(&self, host_ids: impl IntoIterator<Item = i64>, seconds: u32) {
        let mut last: Option<(i64, Arc<SeenPage>)> = None;
        for host_id in host_ids {
            let (number, slot) = position(host_id);
            let page = match last.take().filter(|(last, _)| *last == number) {
                Some((_, page)) => page,
                None => self.page(number),
            };
            page.raise(slot, seconds);
            last = Some((number, page));
        }
    }

    /// Takes over a stored page, no time beyond `latest`.
    pub(super) fn merge_stored(&self, number: i64, stored: &[u32], latest: u32) {
        let page = self.page(number);
        for (slot, seconds) in page.seconds.iter().zip(stored) {
            if *seconds > slot.load(Ordering::Relaxed) {
                slot.fetch_max((*seconds).min(latest), Ordering::SeqCst);
            }
        }
    }

    /// The hosts that have checked in with this node since the last call, and when each was seen at least.
    pub(super) fn take_here(&self) -> Vec<(i64, u32)> {
        let mut taken = Vec::new();
        for (number, page) in &self.pages.pin() {
            page.take_here(*number << PAGE_BITS, &mut taken);
        }
        taken
    }

    /// The pages with times that may not be stored yet, in their order. They count as stored from now on.
    pub(super) fn take_changed(&self) -> Vec<i64> {
        let pages = self.pages.pin();
        let changed = pages.iter().filter(|(_, page)| page.is_changed.swap(false, Ordering::SeqCst));
        let mut numbers: Vec<i64> = changed.map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Notes that pages are not stored after all.
    pub(super) fn are_changed(&self, numbers: &[i64]) {
        for number in numbers {
            self.page(*number).is_changed.store(true, Ordering::SeqCst);
        }
    }

    /// The times of a page, by position in it.
    pub(super) fn times_of(&self, number: i64) -> Vec<u32> {
        self.page(number).seconds.iter().map(|seconds| seconds.load(Ordering::SeqCst)).collect()
    }

    fn page(&self, number: i64) -> Arc<SeenPage> {
        Arc::clone(self.pages.pin().get_or_insert_with(number, Arc::default))
    }
}

impl Default for SeenPage {
    fn default() -> Self {
        Self {
            seconds: std::iter::repeat_with(AtomicU32::default).take(PAGE_IDS).collect(),
            here: std::iter::repeat_with(AtomicU64::default).take(PAGE_IDS / WORD_BITS).collect(),
            has_here: AtomicBool::default(),
            is_changed: AtomicBool::default(),
        }
    }
}

impl SeenPage {
    fn seconds(&self, slot: usize) -> u32 {
        self.seconds[slot].load(Ordering::Relaxed)
    }

    fn raise(&self, slot: usize, seconds: u32) {
        // One order for all: whoever finds the flag set here raises before `take_changed` resets it, and so before the
        // times are read.
        if self.seconds[slot].fetch_max(seconds, Ordering::SeqCst) < seconds && !self.is_changed.load(Ordering::SeqCst)
        {
            self.is_changed.store(true, Ordering::SeqCst);
        }
    }

    fn mark_here(&self, slot: usize) {
        // After the time: whoever takes the bit finds this time or a later one.
        self.here[slot / WORD_BITS].fetch_or(1 << (slot % WORD_BITS), Ordering::SeqCst);
        if !self.has_here.load(Ordering::SeqCst) {
            self.has_here.store(true, Ordering::SeqCst);
        }
    }

    fn take_here(&self, first_id: i64, taken: &mut Vec<(i64, u32)>) {
        if !self.has_here.swap(false, Ordering::SeqCst) {
            return;
        }
        for (at, word) in self.here.iter().enumerate() {
            let mut bits = word.swap(0, Ordering::SeqCst);
            while bits != 0 {
                let slot = at * WORD_BITS + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                taken.push((first_id + slot as i64, self.seconds[slot].load(Ordering::SeqCst)));
            }
        }
    }
}

impl SeenSlot {
    /// Notes a check-in with this node.
    pub fn mark(&self, now: Moment) {
        self.page.raise(self.slot, seconds(now));
        self.page.mark_here(self.slot);
    }

    /// Takes over what the host's row says.
    pub fn raise(&self, seen: Moment) {
        self.page.raise(self.slot, seconds(seen));
    }

    pub fn seen(&self) -> Moment {
        moment(self.page.seconds(self.slot))
    }
}

/// Whole seconds until a moment.
pub(super) fn seconds(moment: Moment) -> u32 {
    u32::try_from((moment.0 / MICROS).max(0)).unwrap_or(u32::MAX)
}

fn moment(seconds: u32) -> Moment {
    Moment(i64::from(seconds) * MICROS)
}

/// Page and slot of a host.
fn position(host_id: i64) -> (i64, usize) {
    let slot = host_id & (PAGE_IDS as i64 - 1);
    (host_id >> PAGE_BITS, usize::try_from(slot).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Moment {
        Moment(seconds * MICROS + 999_999)
    }

    fn seen(times: &SeenTimes, host_id: i64) -> Moment {
        times.reader().seen(host_id, Moment::NEVER)
    }

    #[test]
    fn times_are_rounded_down_and_only_ever_raised() {
        let times = SeenTimes::default();
        assert_eq!(seen(&times, 40_000), Moment::NEVER);
        let slot = times.slot(40_000);
        assert_eq!((seen(&times, 40_000), slot.seen()), (Moment::NEVER, Moment::NEVER));
        slot.mark(at(100));
        assert_eq!(seen(&times, 40_000), Moment(100 * MICROS));
        slot.mark(at(90));
        times.merge([40_000], 95);
        assert_eq!(slot.seen(), Moment(100 * MICROS));
        times.merge([1, 40_000, 2, 32_768], 120);
        for id in [1, 2, 32_768, 40_000] {
            assert_eq!(seen(&times, id), Moment(120 * MICROS), "{id}");
        }
        assert_eq!([3, 32_769, i64::MAX].map(|id| seen(&times, id)), [Moment::NEVER; 3]);
    }

    #[test]
    fn a_reader_knows_the_later_one_of_memory_and_row_whatever_the_order() {
        let times = SeenTimes::default();
        times.merge([1, 40_000], 100);
        let mut reader = times.reader();
        let (row, later) = (Moment(50 * MICROS), Moment(101 * MICROS));
        for id in [1, 40_000, 40_000, 1] {
            assert_eq!((reader.seen(id, row), reader.seen(id, later)), (Moment(100 * MICROS), later), "{id}");
        }
        assert_eq!([2, 40_001, 70_000].map(|id| reader.seen(id, row)), [row; 3]);
        times.merge([2], 120);
        assert_eq!(reader.seen(2, row), Moment(120 * MICROS), "a page that is kept shows what comes");
    }

    #[test]
    fn check_ins_here_are_taken_once() {
        let times = SeenTimes::default();
        times.slot(7).mark(at(100));
        times.slot(70_000).mark(at(101));
        times.merge([8], 102);
        let mut taken = times.take_here();
        taken.sort_unstable();
        assert_eq!(taken, [(7, 100), (70_000, 101)]);
        assert_eq!(times.take_here(), []);
        times.slot(7).mark(at(100));
        assert_eq!(times.take_here(), [(7, 100)]);
    }

    #[test]
    fn what_is_stored_is_not_to_be_stored_again() {
        let times = SeenTimes::default();
        times.slot(70_000).mark(at(100));
        times.slot(1).raise(at(99));
        assert_eq!(times.take_changed(), [0, 2]);
        assert!(times.take_changed().is_empty());
        times.slot(1).mark(at(99));
        assert!(times.take_changed().is_empty(), "nothing was raised");
        let mut stored = vec![0; PAGE_IDS];
        stored[1] = 500;
        times.merge_stored(0, &stored, 400);
        assert_eq!(seen(&times, 1), Moment(400 * MICROS), "no later than the clock of this node");
        assert!(times.take_changed().is_empty());
        times.are_changed(&[2]);
        assert_eq!(times.take_changed(), [2]);
    }

    #[test]
    fn threads_lose_no_check_in() {
        let times = SeenTimes::default();
        let (mut here, mut changed) = (0, 0);
        std::thread::scope(|scope| {
            let marking: Vec<_> = (0..2_i64)
                .map(|thread| {
                    let times = &times;
                    scope.spawn(move || (1..=20_000).for_each(|round| times.slot(thread).mark(at(round))))
                })
                .collect();
            while marking.iter().any(|thread| !thread.is_finished()) {
                here += times.take_here().len();
                changed += times.take_changed().len();
            }
        });
        let last = times.take_here();
        assert!(here + last.len() > 0 && last.iter().all(|(_, seconds)| *seconds == 20_000));
        assert!(changed + times.take_changed().len() > 0);
        assert_eq!(times.times_of(0)[..2], [20_000, 20_000]);
    }
}
