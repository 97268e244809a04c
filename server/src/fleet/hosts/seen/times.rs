//! Last-seen times in memory, by host id, in pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::clock::Moment;

/// Host ids in a page.
pub const PAGE_IDS: usize = 1 << PAGE_BITS;
const PAGE_BITS: u32 = 15;

/// Pages up to which those that others tell of are made: 33 million hosts, 135 MB. Check-ins with this node always get theirs.
pub(super) const MAX_PAGES_OF_OTHERS: usize = 1_024;

/// A stored time this far ahead of the clock of this node counts as none, so that the host does not seem online until
/// then. The clocks of nodes may differ by this.
const SECONDS_AHEAD: u32 = 5;

const WORD_BITS: usize = u64::BITS as usize;

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
pub struct SeenPage {
    /// Seconds since 1970; 0 is never.
    seconds: Box<[AtomicU32]>,
    /// One bit for each host that has checked in with this node since [`SeenTimes::take_here`].
    here: Box<[AtomicU64]>,
    has_here: AtomicBool,
    /// Whether a time was raised that the stored page may not have.
    is_changed: AtomicBool,
}

/// Reads the times of many hosts. It keeps the page that it used last, so ids are best asked for in their order.
#[derive(Debug)]
pub struct SeenReader<'a> {
    times: &'a SeenTimes,
    /// The number of the page, and the page if there is one.
    page: Option<(i64, Option<Arc<SeenPage>>)>,
    now: u32,
}

impl SeenReader<'_> {
    /// When a host was last seen by any node: the later one of the time in memory and that in its row.
    pub fn seen(&mut self, host_id: i64, row_seen_at: Moment) -> Moment {
        moment(self.second(host_id, seconds(row_seen_at)))
    }

    /// As [`SeenReader::seen`], in whole seconds.
    pub fn second(&mut self, host_id: i64, row_seen: u32) -> u32 {
        let (number, slot) = position(host_id);
        if self.page.as_ref().is_none_or(|(kept, _)| *kept != number) {
            self.page = Some((number, self.times.pages.pin().get(&number).cloned()));
        }
        let page = self.page.as_ref().and_then(|(_, page)| page.as_ref());
        page.map_or(0, |page| page.seconds(slot)).max(believed(row_seen, self.now))
    }
}

impl SeenTimes {
    /// Reads the times of many hosts, as they are believed at a moment.
    pub fn reader(&self, now: Moment) -> SeenReader<'_> {
        SeenReader { times: self, page: None, now: seconds(now) }
    }

    /// The page in which the time of a host is kept.
    pub fn page_of(&self, host_id: i64) -> Arc<SeenPage> {
        self.page(position(host_id).0)
    }

    /// Takes over when hosts were seen, in seconds, which the stored pages may not have. Returns how many of the hosts were
    /// refused, because there are too many pages.
    pub(super) fn merge(&self, seen: impl IntoIterator<Item = (i64, u32)>) -> usize {
        let mut last: Option<(i64, Option<Arc<SeenPage>>)> = None;
        let mut refused = 0;
        for (host_id, seconds) in seen {
            let (number, slot) = position(host_id);
            let page = match last.take() {
                Some((last, page)) if last == number => page,
                _ => self.page_of_others(number),
            };
            match &page {
                Some(page) => page.raise(slot, seconds),
                None => refused += 1,
            }
            last = Some((number, page));
        }
        refused
    }

    /// Takes over a stored page, no time beyond `now`. Returns whether there was room for it.
    pub(super) fn merge_stored(&self, number: i64, stored: &[u32], now: u32) -> bool {
        let Some(page) = self.page_of_others(number) else { return false };
        for (slot, seconds) in page.seconds.iter().zip(stored) {
            let seconds = believed(*seconds, now).min(now);
            if seconds > slot.load(Ordering::Relaxed) {
                slot.fetch_max(seconds, Ordering::SeqCst);
            }
        }
        true
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

    /// Notes that pages are to be stored, as far as they are in memory.
    pub(super) fn are_changed(&self, numbers: &[i64]) {
        let pages = self.pages.pin();
        for page in numbers.iter().filter_map(|number| pages.get(number)) {
            page.is_changed.store(true, Ordering::SeqCst);
        }
    }

    /// The times of a page, by position in it.
    pub(super) fn times_of(&self, number: i64) -> Vec<u32> {
        self.page(number).seconds.iter().map(|seconds| seconds.load(Ordering::SeqCst)).collect()
    }

    fn page(&self, number: i64) -> Arc<SeenPage> {
        Arc::clone(self.pages.pin().get_or_insert_with(number, Arc::default))
    }

    /// The page, if there is one or room for it.
    fn page_of_others(&self, number: i64) -> Option<Arc<SeenPage>> {
        let known = self.pages.pin().get(&number).cloned();
        known.or_else(|| (self.pages.len() < MAX_PAGES_OF_OTHERS).then(|| self.page(number)))
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
    /// Notes a check-in with this node of a host of this page.
    pub fn mark(&self, host_id: i64, now: Moment) {
        let (_, slot) = position(host_id);
        self.raise(slot, seconds(now));
        self.mark_here(slot);
    }

    /// When a host of this page was last seen.
    pub fn seen(&self, host_id: i64) -> Moment {
        moment(self.seconds(position(host_id).1))
    }

    fn seconds(&self, slot: usize) -> u32 {
        self.seconds[slot].load(Ordering::Relaxed)
    }

    fn raise(&self, slot: usize, seconds: u32) {
        if self.seconds[slot].load(Ordering::SeqCst) >= seconds {
            return;
        }
        // One order for all: whoever finds the flag set here raises before `take_changed` resets it, and so before the
        // times are read.
        if self.seconds[slot].fetch_max(seconds, Ordering::SeqCst) < seconds && !self.is_changed.load(Ordering::SeqCst)
        {
            self.is_changed.store(true, Ordering::SeqCst);
        }
    }

    fn mark_here(&self, slot: usize) {
        // After the time: whoever takes the bit finds this time or a later one.
        let (word, bit) = (&self.here[slot / WORD_BITS], 1 << (slot % WORD_BITS));
        if word.load(Ordering::SeqCst) & bit == 0 {
            word.fetch_or(bit, Ordering::SeqCst);
        }
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

/// Whole seconds until a moment.
pub fn seconds(moment: Moment) -> u32 {
    u32::try_from(moment.seconds().max(0)).unwrap_or(u32::MAX)
}

/// A stored time, or 0 if it is too far ahead of `now`.
pub(super) fn believed(stored: u32, now: u32) -> u32 {
    if stored > now.saturating_add(SECONDS_AHEAD) { 0 } else { stored }
}

/// The beginning of a second since 1970.
pub fn moment(seconds: u32) -> Moment {
    Moment::NEVER.plus_seconds(i64::from(seconds))
}

/// Page and slot of a host.
fn position(host_id: i64) -> (i64, usize) {
    let slot = host_id & (PAGE_IDS as i64 - 1);
    (host_id >> PAGE_BITS, usize::try_from(slot).unwrap_or(0))
}
