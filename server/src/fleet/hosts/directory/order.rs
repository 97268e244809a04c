//! Orders of hosts that are kept, so that a page costs a walk and not a sort.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use roaring::RoaringBitmap;

use super::tables::Tables;
use crate::lock::lock;
use crate::store::host_lists::{HostOrder, OrderValue};

/// An order is renewed when more than this part of its hosts have changed, and more than [`FEW`].
const CHANGED_PART: u64 = 256;

/// Changed hosts that are always sorted in while walking.
const FEW: u64 = 1_024;

/// An order that nobody has asked for that long is dropped; it takes four bytes a host.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// A key by which hosts are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum OrderKey<'a> {
    Number(i64),
    Text(&'a str),
}

impl<'a> From<&'a OrderValue> for OrderKey<'a> {
    fn from(value: &'a OrderValue) -> Self {
        match value {
            OrderValue::Number(number) | OrderValue::Fraction(number) => Self::Number(*number),
            OrderValue::Text(text) => Self::Text(text),
            OrderValue::Time(moment) => Self::Number(moment.0),
        }
    }
}

/// An order and its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Direction {
    pub order: HostOrder,
    pub is_descending: bool,
}

impl Direction {
    /// How two hosts stand to each other: by key, and by ascending id where keys are equal.
    fn compare(self, a: (OrderKey<'_>, i64), b: (OrderKey<'_>, i64)) -> Ordering {
        let by_key = if self.is_descending { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) };
        by_key.then(a.1.cmp(&b.1))
    }

    /// Slots in this order.
    pub fn sorted(self, tables: &Tables, slots: impl Iterator<Item = u32>) -> Vec<u32> {
        let mut keyed: Vec<_> = slots.map(|slot| (tables.key(self.order, slot), tables.id(slot), slot)).collect();
        keyed.sort_unstable_by(|a, b| self.compare((a.0, a.1), (b.0, b.1)));
        keyed.into_iter().map(|(.., slot)| slot).collect()
    }
}

/// All slots in one order and direction.
#[derive(Debug)]
pub(super) struct SortedSlots {
    sorted: Vec<u32>,
    /// Slots whose place in `sorted` may be wrong.
    changed: RoaringBitmap,
    used: Instant,
}

impl SortedSlots {
    fn of(tables: &Tables, direction: Direction) -> Self {
        let sorted = direction.sorted(tables, tables.hosts.iter());
        Self { sorted, changed: RoaringBitmap::new(), used: Instant::now() }
    }

    /// Whether so much has changed that sorting it in for each page costs more than sorting it in once.
    fn is_worn(&self) -> bool {
        self.changed.len() > FEW.max(self.sorted.len() as u64 / CHANGED_PART)
    }

    /// Sorts in what has changed.
    fn renew(&mut self, tables: &Tables, direction: Direction) {
        self.sorted = self.walk(tables, direction, &tables.hosts, |_| true).collect();
        self.changed.clear();
    }

    /// The slots of `chosen` in their order, from the first one for which `is_behind` holds, as it does for all after it. Slots
    /// that have changed are sorted in on the way.
    pub fn walk<'a>(
        &'a self,
        tables: &'a Tables,
        direction: Direction,
        chosen: &'a RoaringBitmap,
        is_behind: impl Fn(u32) -> bool,
    ) -> impl Iterator<Item = u32> + 'a {
        let changed = (&self.changed & chosen).into_iter().filter(|slot| is_behind(*slot));
        let changed = direction.sorted(tables, changed).into_iter();
        let start = self.first(0, is_behind);
        let mut walk = OrderWalk { order: self, tables, direction, chosen, at: start, changed, next: None };
        walk.take_changed();
        walk
    }

    /// Position of the first slot from `from` on for which `is_behind` holds, as it does for all after it. Slots that have
    /// changed do not count; slots before the position that count are not behind.
    fn first(&self, from: usize, is_behind: impl Fn(u32) -> bool) -> usize {
        let (mut low, mut high) = (from, self.sorted.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match (middle..high).find(|at| !self.changed.contains(self.sorted[*at])) {
                Some(at) if !is_behind(self.sorted[at]) => low = at + 1,
                _ => high = middle,
            }
        }
        low
    }
}

/// A way through slots in their order.
struct OrderWalk<'a> {
    order: &'a SortedSlots,
    tables: &'a Tables,
    direction: Direction,
    chosen: &'a RoaringBitmap,
    /// Position of the next one in the order.
    at: usize,
    /// Slots that have changed, in the order in which they stand now.
    changed: std::vec::IntoIter<u32>,
    /// The first of them, and the position before which it comes.
    next: Option<(u32, usize)>,
}

impl OrderWalk<'_> {
    fn take_changed(&mut self) {
        let key = |slot| (self.tables.key(self.direction.order, slot), self.tables.id(slot));
        self.next = self.changed.next().map(|next| {
            let next_key = key(next);
            (next, self.order.first(self.at, |slot| self.direction.compare(key(slot), next_key).is_gt()))
        });
    }
}

impl Iterator for OrderWalk<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let end = self.next.map_or(self.order.sorted.len(), |(_, before)| before);
        while self.at < end {
            let slot = self.order.sorted[self.at];
            self.at += 1;
            if self.chosen.contains(slot) && !self.order.changed.contains(slot) {
                return Some(slot);
            }
        }
        let (slot, _) = self.next?;
        self.take_changed();
        Some(slot)
    }
}

/// The orders that somebody has asked for lately.
#[derive(Debug, Default)]
pub(super) struct KeptOrders(Mutex<HashMap<Direction, Arc<Mutex<SortedSlots>>>>);

impl KeptOrders {
    /// The kept order, sorted now if there is none and renewed if too much of it has changed.
    pub fn sorted(&self, tables: &Tables, direction: Direction) -> Arc<Mutex<SortedSlots>> {
        let known = lock(&self.0).get(&direction).cloned();
        if let Some(known) = known {
            let mut sorted = lock(&known);
            if sorted.is_worn() {
                sorted.renew(tables, direction);
            }
            sorted.used = Instant::now();
            drop(sorted);
            return known;
        }
        // Sorted before the map is locked: whoever reads another order does not wait for this one.
        let new = Arc::new(Mutex::new(SortedSlots::of(tables, direction)));
        Arc::clone(lock(&self.0).entry(direction).or_insert(new))
    }

    /// Notes a slot in the orders for which `is_changed` says that its key is another one.
    pub fn slot_changed(&self, slot: u32, is_changed: impl Fn(HostOrder) -> bool) {
        for (direction, sorted) in &*lock(&self.0) {
            if is_changed(direction.order) {
                lock(sorted).changed.insert(slot);
            }
        }
    }

    /// Drops orders that nobody asks for any more.
    pub fn drop_unused(&self) {
        lock(&self.0).retain(|_, sorted| lock(sorted).used.elapsed() < KEPT_FOR);
    }
}
