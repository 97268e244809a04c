//! Orders of hosts that are kept, so that a page costs a walk and not a sort.

use std::cmp::Ordering;

use roaring::RoaringBitmap;

use super::tables::Tables;
use crate::store::host_lists::{HostOrder, OrderValue};

/// An order is sorted anew when more than this part of its hosts have changed, and more than [`FEW`].
const CHANGED_PART: u64 = 64;

/// Changed hosts that are always sorted in while walking.
const FEW: u64 = 1_024;

/// What hosts are ordered by.
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
    pub fn compare(self, tables: &Tables, a: u32, b: u32) -> Ordering {
        let by_key = tables.key(self.order, a).cmp(&tables.key(self.order, b));
        let by_key = if self.is_descending { by_key.reverse() } else { by_key };
        by_key.then_with(|| tables.id(a).cmp(&tables.id(b)))
    }

    pub fn sort(self, tables: &Tables, slots: &mut [u32]) {
        slots.sort_unstable_by(|a, b| self.compare(tables, *a, *b));
    }
}

/// All slots in one order and direction.
#[derive(Debug)]
pub(super) struct SortedSlots {
    sorted: Vec<u32>,
    /// Slots whose place in `sorted` may be wrong.
    changed: RoaringBitmap,
}

impl SortedSlots {
    pub fn of(tables: &Tables, direction: Direction) -> Self {
        let mut sorted: Vec<u32> = tables.hosts.iter().collect();
        direction.sort(tables, &mut sorted);
        Self { sorted, changed: RoaringBitmap::new() }
    }

    pub fn slot_changed(&mut self, slot: u32) {
        self.changed.insert(slot);
    }

    /// Whether sorting anew is cheaper than going on.
    pub fn is_worn(&self) -> bool {
        self.changed.len() > FEW.max(self.sorted.len() as u64 / CHANGED_PART)
    }

    /// All slots in their order. Those that have changed are sorted in on the way.
    pub fn walk<'a>(&'a self, tables: &'a Tables, direction: Direction) -> impl Iterator<Item = u32> + 'a {
        let mut changed: Vec<u32> = (&self.changed & &tables.hosts).iter().collect();
        direction.sort(tables, &mut changed);
        let mut changed = changed.into_iter().peekable();
        let mut kept = self.sorted.iter().copied().filter(|slot| !self.changed.contains(*slot)).peekable();
        std::iter::from_fn(move || match (kept.peek(), changed.peek()) {
            (Some(a), Some(b)) if direction.compare(tables, *a, *b).is_gt() => changed.next(),
            (Some(_), _) => kept.next(),
            (None, _) => changed.next(),
        })
    }
}
