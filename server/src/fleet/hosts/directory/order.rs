//! Orders of hosts that are kept, so that a page costs a walk and not a sort.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use roaring::RoaringBitmap;

use super::tables::Tables;
use crate::lock::lock;
use crate::store::host_lists::{HostOrder, OrderValue};

/// An order is sorted anew when more than this part of its hosts have changed, and more than [`FEW`].
const CHANGED_PART: u64 = 64;

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
            OrderValue::Number(number) => Self::Number(*number),
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

    /// Whether sorting anew is cheaper than going on.
    fn is_worn(&self) -> bool {
        self.changed.len() > FEW.max(self.sorted.len() as u64 / CHANGED_PART)
    }

    /// All slots in their order. Those that have changed are sorted in on the way.
    pub fn walk<'a>(&'a self, tables: &'a Tables, direction: Direction) -> impl Iterator<Item = u32> + 'a {
        let changed = &self.changed & &tables.hosts;
        let mut changed = direction.sorted(tables, changed.iter()).into_iter().peekable();
        let mut kept = self.sorted.iter().copied().filter(|slot| !self.changed.contains(*slot)).peekable();
        let at = move |slot: u32| (tables.key(direction.order, slot), tables.id(slot));
        std::iter::from_fn(move || match (kept.peek(), changed.peek()) {
            (Some(a), Some(b)) if direction.compare(at(*a), at(*b)).is_gt() => changed.next(),
            (Some(_), _) => kept.next(),
            (None, _) => changed.next(),
        })
    }
}

/// The orders that somebody has asked for lately.
#[derive(Debug, Default)]
pub(super) struct KeptOrders(Mutex<HashMap<Direction, Arc<Mutex<SortedSlots>>>>);

impl KeptOrders {
    /// The kept order, sorted now if there is none or too much of it has changed.
    pub fn sorted(&self, tables: &Tables, direction: Direction) -> Arc<Mutex<SortedSlots>> {
        let known = lock(&self.0).get(&direction).cloned();
        if let Some(known) = known {
            let mut sorted = lock(&known);
            if sorted.is_worn() {
                *sorted = SortedSlots::of(tables, direction);
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
