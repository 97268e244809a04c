//! Slots of hosts by id. The database gives ids out one after the other, so arrays take far fewer bytes than a hash map,
//! and hosts with neighbouring ids are found without searching.

use std::collections::BTreeMap;

const PAGE_BITS: u32 = 12;

/// Ids in a page.
const PAGE: usize = 1 << PAGE_BITS;

/// Says that an id has no slot.
const NONE: u32 = u32::MAX;

/// Slots by host id.
#[derive(Debug, Default)]
pub(super) struct SlotIndex(BTreeMap<i64, SlotPage>);

#[derive(Debug)]
struct SlotPage {
    slots: Box<[u32]>,
    used: usize,
}

impl Default for SlotPage {
    fn default() -> Self {
        Self { slots: vec![NONE; PAGE].into(), used: 0 }
    }
}

impl SlotPage {
    fn get(&self, at: usize) -> Option<u32> {
        Some(self.slots[at]).filter(|slot| *slot != NONE)
    }
}

impl SlotIndex {
    pub fn get(&self, id: i64) -> Option<u32> {
        let (page, at) = position(id);
        self.0.get(&page)?.get(at)
    }

    /// Gives an id its slot.
    pub fn insert(&mut self, id: i64, slot: u32) {
        let (number, at) = position(id);
        let page = self.0.entry(number).or_default();
        page.used += usize::from(page.slots[at] == NONE);
        page.slots[at] = slot;
    }

    /// Takes its slot from an id.
    pub fn remove(&mut self, id: i64) -> Option<u32> {
        let (number, at) = position(id);
        let page = self.0.get_mut(&number)?;
        let slot = page.get(at)?;
        page.slots[at] = NONE;
        page.used -= 1;
        if page.used == 0 {
            self.0.remove(&number);
        }
        Some(slot)
    }

    /// The ids with a slot that lie above `after`, up to `until`, in their order.
    pub fn ids(&self, after: i64, until: i64) -> impl Iterator<Item = i64> {
        let (first, _) = position(after);
        let pages = self.0.range(first..);
        let ids = pages.flat_map(|(number, page)| {
            let used = page.slots.iter().enumerate().filter(|(_, slot)| **slot != NONE);
            used.map(|(at, _)| (*number << PAGE_BITS) + at as i64)
        });
        ids.skip_while(move |id| *id <= after).take_while(move |id| *id <= until)
    }

    /// Looks up many ids, fastest in their order.
    pub fn cursor(&self) -> SlotCursor<'_> {
        SlotCursor { index: self, last: None }
    }
}

/// Looks up ids and keeps the page of the last one.
#[derive(Debug)]
pub(super) struct SlotCursor<'a> {
    index: &'a SlotIndex,
    last: Option<(i64, &'a SlotPage)>,
}

impl SlotCursor<'_> {
    pub fn get(&mut self, id: i64) -> Option<u32> {
        let (number, at) = position(id);
        if self.last.is_none_or(|(last, _)| last != number) {
            self.last = Some((number, self.index.0.get(&number)?));
        }
        self.last.and_then(|(_, page)| page.get(at))
    }
}

/// Page of an id, and its place there.
fn position(id: i64) -> (i64, usize) {
    (id >> PAGE_BITS, usize::try_from(id & (PAGE as i64 - 1)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn slots_are_found_as_in_a_map(
            edits in prop::collection::vec((prop_oneof![-3_i64..20, 4_090_i64..4_100, 100_000_i64..100_003], prop::option::of(0_u32..50)), 0..80),
            after in -5_i64..5_000,
        ) {
            let (mut index, mut map) = (SlotIndex::default(), BTreeMap::new());
            for (id, slot) in edits {
                match slot {
                    Some(slot) => {
                        index.insert(id, slot);
                        map.insert(id, slot);
                    }
                    None => prop_assert_eq!(index.remove(id), map.remove(&id)),
                }
            }
            let mut cursor = index.cursor();
            for id in (-5..25).chain(4_085..4_105).chain([99_999, 100_000, 100_001, i64::MAX]) {
                prop_assert_eq!(index.get(id), map.get(&id).copied());
                prop_assert_eq!(cursor.get(id), map.get(&id).copied());
            }
            let ids: Vec<i64> = index.ids(after, 100_001).collect();
            let expected: Vec<i64> = map.keys().copied().filter(|id| *id > after && *id <= 100_001).collect();
            prop_assert_eq!(ids, expected);
        }
    }
}
