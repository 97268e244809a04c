//! When hosts were last seen, and what state that puts them in.

use roaring::RoaringBitmap;

use super::tables::{HostCalls, Tables};
use super::targets::OnlineTally;
use crate::clock::Moment;
use crate::fleet::hosts::list::HostState;
use crate::fleet::hosts::presence::{MISSING_AFTER_SECS, NEW_FOR};
use crate::fleet::hosts::seen::{SeenReader, SeenTimes, seconds};

/// Slots that are taken out of a set at one time, which costs less than one by one.
const SLOTS_AT_ONCE: usize = 256;

/// When hosts in slots were last seen, and what state that puts them in.
pub(super) struct SlotsSeen<'a> {
    tables: &'a Tables,
    seen: SeenReader<'a>,
    /// Whole seconds: a time in seconds lies after it exactly if it lies after the moment.
    now: u32,
    new_since: Moment,
}

impl<'a> SlotsSeen<'a> {
    pub fn of(tables: &'a Tables, seen: &'a SeenTimes, now: Moment) -> Self {
        Self { tables, seen: seen.reader(now), now: seconds(now), new_since: now.minus(NEW_FOR) }
    }

    /// Second in which the host was last seen.
    pub fn at(&mut self, slot: u32) -> u32 {
        let calls = self.tables.calls(slot);
        self.seen.second(calls.id, calls.seen)
    }

    pub fn is_in(&mut self, slot: u32, state: HostState) -> bool {
        let calls = self.tables.calls(slot);
        let second = self.seen.second(calls.id, calls.seen);
        match state {
            HostState::Online => is_online(calls, second, self.now),
            HostState::Offline => !is_online(calls, second, self.now),
            HostState::Missing => is_missing(second, self.now),
            HostState::New => self.tables.host(slot).created_at >= self.new_since,
        }
    }

    /// Those of these slots whose hosts are in a state.
    pub fn in_state(&mut self, slots: &RoaringBitmap, state: HostState) -> RoaringBitmap {
        let bytes = slots.max().map_or(0, |last| last as usize / 8 + 1);
        let mut bits = vec![0_u8; bytes];
        self.each_in(slots, state, |slot, is_in| bits[slot as usize / 8] |= u8::from(is_in) << (slot % 8));
        RoaringBitmap::from_lsb0_bytes(0, &bits)
    }

    /// Those of these slots whose hosts have not called since a moment.
    pub fn silent_since(&mut self, slots: &RoaringBitmap, since: Moment) -> RoaringBitmap {
        let (since, mut silent) = (seconds(since), Vec::new());
        self.each(slots, |slot, _, second| {
            if second < since {
                silent.push(slot);
            }
        });
        RoaringBitmap::from_sorted_iter(silent).unwrap_or_default()
    }

    /// How many of these hosts are in a state.
    pub fn count(&mut self, slots: &RoaringBitmap, state: HostState) -> u64 {
        let mut count = 0;
        self.each_in(slots, state, |_, is_in| count += u64::from(is_in));
        count
    }

    /// Counts hosts by their states.
    pub fn tally(&mut self, slots: &RoaringBitmap) -> OnlineTally {
        let (tables, now, new_since) = (self.tables, self.now, self.new_since);
        let mut tally = OnlineTally { total: slots.len(), ..OnlineTally::default() };
        self.each(slots, |slot, calls, second| {
            tally.online += u64::from(is_online(calls, second, now));
            tally.missing += u64::from(is_missing(second, now));
            tally.new += u64::from(tables.host(slot).created_at >= new_since);
        });
        tally.offline = tally.total - tally.online;
        tally
    }

    /// Calls `look` with each slot, and whether its host is in a state.
    fn each_in(&mut self, slots: &RoaringBitmap, state: HostState, mut look: impl FnMut(u32, bool)) {
        let (tables, now, new_since) = (self.tables, self.now, self.new_since);
        match state {
            HostState::Online => self.each(slots, |slot, calls, second| look(slot, is_online(calls, second, now))),
            HostState::Offline => self.each(slots, |slot, calls, second| look(slot, !is_online(calls, second, now))),
            HostState::Missing => self.each(slots, |slot, _, second| look(slot, is_missing(second, now))),
            HostState::New => each_slot(slots, |slot| look(slot, tables.host(slot).created_at >= new_since)),
        }
    }

    fn each(&mut self, slots: &RoaringBitmap, mut look: impl FnMut(u32, HostCalls, u32)) {
        let (tables, seen) = (self.tables, &mut self.seen);
        each_slot(slots, |slot| {
            let calls = tables.calls(slot);
            look(slot, calls, seen.second(calls.id, calls.seen));
        });
    }
}

/// Calls `look` with each slot of a set.
fn each_slot(slots: &RoaringBitmap, mut look: impl FnMut(u32)) {
    let (mut slots, mut room) = (slots.iter(), [0; SLOTS_AT_ONCE]);
    loop {
        let some = slots.next_many(&mut room);
        if some.is_empty() {
            return;
        }
        some.iter().for_each(|slot| look(*slot));
    }
}

fn is_online(calls: HostCalls, second: u32, now: u32) -> bool {
    second.saturating_add(calls.online_for) > now
}

fn is_missing(second: u32, now: u32) -> bool {
    second.saturating_add(MISSING_AFTER_SECS) <= now
}
