//! Picking and ordering hosts.

use std::collections::HashMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::Directory;
use super::order::{Direction, OrderKey};
use super::tables::Tables;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::list::{HostFilter, HostState};
use crate::fleet::hosts::presence::{MISSING_AFTER_SECS, NEW_FOR};
use crate::fleet::hosts::seen::{SeenReader, SeenTimes, moment, seconds};
use crate::lock::lock;
use crate::store::host_lists::HostOrder;

/// A list of fewer than this part of all hosts is sorted by itself.
const SORTED_PART: u64 = 32;

/// A choice of hosts at a moment, with values that the directory does not hold.
#[derive(Debug, Clone)]
pub(in crate::fleet::hosts) struct HostPick {
    pub filter: HostFilter,
    pub now: Moment,
    /// Values by which hosts are ordered, if the directory does not hold them.
    pub values: Option<Arc<HashMap<i64, i64>>>,
}

/// A host of a list, and when it was last seen as it was picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fleet::hosts) struct PickedHost {
    pub id: i64,
    pub seen: Moment,
}

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
        match state {
            HostState::Online => self.is_online(slot),
            HostState::Offline => !self.is_online(slot),
            HostState::Missing => self.at(slot).saturating_add(MISSING_AFTER_SECS) <= self.now,
            HostState::New => self.tables.host(slot).created_at >= self.new_since,
        }
    }

    /// Those of these slots whose hosts are in a state.
    pub fn in_state(&mut self, slots: &RoaringBitmap, state: HostState) -> RoaringBitmap {
        let is_in = |slot: &u32| self.is_in(*slot, state);
        RoaringBitmap::from_sorted_iter(slots.iter().filter(is_in)).unwrap_or_default()
    }

    fn is_online(&mut self, slot: u32) -> bool {
        let calls = self.tables.calls(slot);
        self.seen.second(calls.id, calls.seen).saturating_add(calls.online_for) > self.now
    }
}

impl HostPick {
    /// The slots of all hosts that the filter lets through, whatever their state and its page.
    fn in_any_state(&self, tables: &Tables) -> RoaringBitmap {
        let mut chosen = match self.filter.label_id {
            Some(label_id) => tables.label(label_id).cloned().unwrap_or_default(),
            None => tables.hosts.clone(),
        };
        if !self.filter.text.is_empty() {
            chosen &= tables.with_text(&self.filter.text);
        }
        chosen
    }

    /// The slots of all hosts that the filter lets through, whatever its page.
    fn chosen(&self, tables: &Tables, seen: &mut SlotsSeen<'_>) -> RoaringBitmap {
        let chosen = self.in_any_state(tables);
        match self.filter.state {
            Some(state) => seen.in_state(&chosen, state),
            None => chosen,
        }
    }

    fn count(&self, tables: &Tables, seen: &mut SlotsSeen<'_>) -> u64 {
        let chosen = self.in_any_state(tables);
        match self.filter.state {
            Some(state) => chosen.iter().filter(|slot| seen.is_in(*slot, state)).count() as u64,
            None => chosen.len(),
        }
    }

    /// Whether a host stands behind the value that the list begins behind.
    fn is_behind(&self, key: OrderKey<'_>) -> bool {
        let Some(after) = &self.filter.after else { return true };
        let after = OrderKey::from(after);
        if self.filter.is_descending { key < after } else { key > after }
    }

    /// How many hosts the page leaves out at its beginning, and how many it has at most.
    fn bounds(&self) -> (usize, usize) {
        let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        (count(self.filter.offset), self.filter.limit.map_or(usize::MAX, count))
    }

    /// The page, of hosts with the number that they are ordered by.
    fn page_by_number(&self, tables: &Tables, chosen: &RoaringBitmap, mut number: impl FnMut(u32) -> i64) -> Vec<u32> {
        let numbered = chosen.iter().map(|slot| (number(slot), slot));
        let behind = numbered.filter(|(number, _)| self.is_behind(OrderKey::Number(*number)));
        // The complement of numbers stands in the opposite order.
        let rank = |number: i64| if self.filter.is_descending { !number } else { number };
        let mut ranked: Vec<(i64, i64, u32)> =
            behind.map(|(number, slot)| (rank(number), tables.id(slot), slot)).collect();
        let (offset, limit) = self.bounds();
        let end = offset.saturating_add(limit);
        if end < ranked.len() {
            ranked.select_nth_unstable(end);
            ranked.truncate(end);
        }
        ranked.sort_unstable();
        ranked.into_iter().skip(offset).map(|(.., slot)| slot).collect()
    }

    fn page_by_key(&self, tables: &Tables, chosen: &RoaringBitmap) -> Vec<u32> {
        let HostFilter { order, is_descending, .. } = self.filter;
        let direction = Direction { order, is_descending };
        let is_behind = |slot: &u32| self.is_behind(tables.key(order, *slot));
        let (offset, limit) = self.bounds();
        if chosen.len() < tables.hosts.len() / SORTED_PART {
            let sorted = direction.sorted(tables, chosen.iter().filter(is_behind));
            return sorted.into_iter().skip(offset).take(limit).collect();
        }
        let sorted = tables.orders.sorted(tables, direction);
        let sorted = lock(&sorted);
        let walk = sorted.walk(tables, direction).filter(|slot| chosen.contains(*slot));
        walk.filter(is_behind).skip(offset).take(limit).collect()
    }

    fn page(&self, tables: &Tables, seen: &mut SlotsSeen<'_>) -> Vec<PickedHost> {
        let chosen = self.chosen(tables, seen);
        let slots = match (&self.values, self.filter.order) {
            (Some(values), _) => {
                let value = |slot| values.get(&tables.id(slot)).copied().unwrap_or_default();
                self.page_by_number(tables, &chosen, value)
            }
            (None, HostOrder::SeenTime) => self.page_by_number(tables, &chosen, |slot| moment(seen.at(slot)).0),
            (None, _) => self.page_by_key(tables, &chosen),
        };
        slots.into_iter().map(|slot| PickedHost { id: tables.id(slot), seen: moment(seen.at(slot)) }).collect()
    }
}

impl Directory {
    /// The hosts of a list, in its order.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub(in crate::fleet::hosts) async fn pick(self: &Arc<Self>, pick: HostPick) -> Result<Vec<PickedHost>> {
        self.read(move |tables, seen| pick.page(tables, &mut SlotsSeen::of(tables, seen, pick.now))).await
    }

    /// How many hosts there are, whatever the page.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub(in crate::fleet::hosts) async fn count(self: &Arc<Self>, pick: HostPick) -> Result<u64> {
        self.read(move |tables, seen| pick.count(tables, &mut SlotsSeen::of(tables, seen, pick.now))).await
    }
}
