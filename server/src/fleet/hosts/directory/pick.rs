//! Picking and ordering hosts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use roaring::{RoaringBitmap, RoaringTreemap};

use super::Directory;
use super::first::FirstOf;
use super::order::{Direction, OrderKey};
use super::states::SlotsSeen;
use super::tables::Tables;
use super::targets::OnlineTally;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::list::HostFilter;
use crate::fleet::hosts::seen::moment;
use crate::lock::lock;
use crate::store::host_lists::HostOrder;

/// A list of fewer than this part of all hosts is ordered by itself.
const SORTED_PART: u64 = 32;

/// The part of the hosts whose state is looked at one by one, in the order of the list, for a page that may be full by then.
/// Beyond that, finding all hosts of the state costs less.
const LOOKED_AT_PART: u64 = 16;

/// A choice of hosts at a moment, with values that the directory does not hold.
#[derive(Debug, Clone)]
pub(in crate::fleet::hosts) struct HostPick {
    pub filter: HostFilter,
    pub now: Moment,
    /// Values by which hosts are ordered, if the directory does not hold them.
    pub values: Option<Arc<HashMap<i64, i64>>>,
    /// The hosts to pick from, if only the database knows them.
    pub among: Option<Arc<RoaringTreemap>>,
}

/// The hosts of a choice, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostsSummary {
    pub states: OnlineTally,
    /// Without platforms that none of them has.
    pub platforms: BTreeMap<String, u64>,
}

/// A host of a list, and when it was last seen as it was picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fleet::hosts) struct PickedHost {
    pub id: i64,
    pub seen: Moment,
}

impl HostPick {
    /// A choice that needs nothing but the directory.
    pub fn new(filter: HostFilter, now: Moment) -> Self {
        Self { filter, now, values: None, among: None }
    }

    /// The slots of all hosts that the filter lets through, whatever their state and its page.
    fn in_any_state(&self, tables: &Tables, seen: &mut SlotsSeen<'_>) -> RoaringBitmap {
        let mut chosen = match self.filter.label_id {
            Some(label_id) => tables.label(label_id).cloned().unwrap_or_default(),
            None => tables.hosts.clone(),
        };
        for label_id in &self.filter.without_labels {
            if let Some(members) = tables.label(*label_id) {
                chosen -= members;
            }
        }
        if let Some(among) = &self.among {
            let mut cursor = tables.slot_cursor();
            chosen &= among.iter().filter_map(|id| cursor.get(id.cast_signed())).collect::<RoaringBitmap>();
        }
        if let Some(platform) = &self.filter.platform {
            chosen &= tables.platform(platform);
        }
        if !self.filter.text.is_empty() {
            chosen &= tables.with_text(&self.filter.text);
        }
        if let Some(version) = &self.filter.osquery_version {
            chosen = tables.with_version(&chosen, version);
        }
        if let Some(system) = &self.filter.system {
            chosen = tables.with_system(&chosen, system);
        }
        if self.filter.is_unnamed {
            chosen = tables.unnamed(&chosen);
        }
        if let Some(since) = self.filter.silent_since {
            chosen = seen.silent_since(&chosen, since);
        }
        chosen
    }

    /// The slots of all hosts that the filter lets through, whatever its page.
    fn chosen(&self, tables: &Tables, seen: &mut SlotsSeen<'_>) -> RoaringBitmap {
        let chosen = self.in_any_state(tables, seen);
        match self.filter.state {
            Some(state) => seen.in_state(&chosen, state),
            None => chosen,
        }
    }

    fn count(&self, tables: &Tables, seen: &mut SlotsSeen<'_>) -> u64 {
        let chosen = self.in_any_state(tables, seen);
        match self.filter.state {
            Some(state) => seen.count(&chosen, state),
            None => chosen.len(),
        }
    }

    /// Whether a host stands behind the value that the list begins behind. Hosts with the same key stand by ascending id in
    /// either direction.
    fn is_behind(&self, key: OrderKey<'_>, id: i64) -> bool {
        let Some(after) = &self.filter.after else { return true };
        let after = OrderKey::from(after);
        if key == after {
            return self.filter.after_id.is_some_and(|after| id > after);
        }
        if self.filter.is_descending { key < after } else { key > after }
    }

    /// How many hosts the page leaves out at its beginning, and how many it has at most.
    fn bounds(&self) -> (usize, usize) {
        let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        (count(self.filter.offset), self.filter.limit.map_or(usize::MAX, count))
    }

    /// The page of these slots, each with the key and the id that it is ordered by.
    fn first_of<K: Ord + Copy>(&self, keyed: impl Iterator<Item = (K, i64, u32)>) -> Vec<u32> {
        let (offset, limit) = self.bounds();
        let mut first = FirstOf::new(offset.saturating_add(limit));
        keyed.for_each(|keyed| first.add(keyed));
        first.sorted().into_iter().skip(offset).map(|(.., slot)| slot).collect()
    }

    /// The page of these slots with their keys.
    fn page_by<'a>(&self, tables: &Tables, keyed: impl Iterator<Item = (OrderKey<'a>, u32)>) -> Vec<u32> {
        let keyed = keyed.map(|(key, slot)| (key, tables.id(slot), slot));
        let behind = keyed.filter(|(key, id, _)| self.is_behind(*key, *id));
        match self.filter.is_descending {
            true => self.first_of(behind.map(|(key, id, slot)| (Reverse(key), id, slot))),
            false => self.first_of(behind),
        }
    }

    /// The page in an order by what the directory holds.
    fn page_by_key(&self, tables: &Tables, seen: &mut SlotsSeen<'_>) -> Vec<u32> {
        let mut chosen = self.in_any_state(tables, seen);
        if let Some(state) = self.filter.state {
            if !is_few(tables, &chosen)
                && let Some(page) = self.page_on_the_way(tables, &chosen, |slot| seen.is_in(slot, state))
            {
                return page;
            }
            chosen = seen.in_state(&chosen, state);
        }
        if is_few(tables, &chosen) {
            return self.page_by(tables, chosen.iter().map(|slot| (tables.key(self.filter.order, slot), slot)));
        }
        let (offset, limit) = self.bounds();
        let sorted = tables.orders.sorted(tables, self.direction());
        let sorted = lock(&sorted);
        let walk = sorted.walk(tables, self.direction(), &chosen, |slot| self.is_slot_behind(tables, slot));
        walk.skip(offset).take(limit).collect()
    }

    /// The page of those of these hosts that `is_in` lets through, if a look at some hosts in their order fills it.
    fn page_on_the_way(
        &self,
        tables: &Tables,
        chosen: &RoaringBitmap,
        mut is_in: impl FnMut(u32) -> bool,
    ) -> Option<Vec<u32>> {
        let (offset, limit) = self.bounds();
        let end = offset.saturating_add(limit);
        let looked_at = usize::try_from(chosen.len() / LOOKED_AT_PART).unwrap_or(usize::MAX);
        if end > looked_at {
            return None;
        }
        let sorted = tables.orders.sorted(tables, self.direction());
        let sorted = lock(&sorted);
        let mut walk = sorted.walk(tables, self.direction(), chosen, |slot| self.is_slot_behind(tables, slot));
        let page: Vec<u32> = walk.by_ref().take(looked_at).filter(|slot| is_in(*slot)).take(end).collect();
        let is_whole = page.len() == end || walk.next().is_none();
        is_whole.then(|| page.into_iter().skip(offset).collect())
    }

    fn direction(&self) -> Direction {
        Direction { order: self.filter.order, is_descending: self.filter.is_descending }
    }

    fn is_slot_behind(&self, tables: &Tables, slot: u32) -> bool {
        self.is_behind(tables.key(self.filter.order, slot), tables.id(slot))
    }

    fn page(&self, tables: &Tables, seen: &mut SlotsSeen<'_>) -> Vec<PickedHost> {
        let slots = match (&self.values, self.filter.order) {
            (Some(values), _) => {
                let chosen = self.chosen(tables, seen);
                let value = |slot| values.get(&tables.id(slot)).copied().unwrap_or_default();
                self.page_by(tables, chosen.iter().map(|slot| (OrderKey::Number(value(slot)), slot)))
            }
            (None, HostOrder::SeenTime) => {
                let chosen = self.chosen(tables, seen);
                self.page_by(tables, chosen.iter().map(|slot| (OrderKey::Number(moment(seen.at(slot)).0), slot)))
            }
            (None, _) => self.page_by_key(tables, seen),
        };
        slots.into_iter().map(|slot| PickedHost { id: tables.id(slot), seen: moment(seen.at(slot)) }).collect()
    }
}

/// Whether hosts are so few that they are ordered by themselves.
fn is_few(tables: &Tables, chosen: &RoaringBitmap) -> bool {
    chosen.len() < tables.hosts.len() / SORTED_PART
}

impl Directory {
    /// The hosts of a list, in its order.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub(in crate::fleet::hosts) async fn pick(self: &Arc<Self>, pick: HostPick) -> Result<Vec<PickedHost>> {
        self.read(move |tables, seen| pick.page(tables, &mut SlotsSeen::of(tables, seen, pick.now))).await
    }

    /// Counts the hosts of a choice by whether they are there and by platform, whatever the page.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub(in crate::fleet::hosts) async fn summary(self: &Arc<Self>, pick: HostPick) -> Result<HostsSummary> {
        self.read(move |tables, seen| {
            let mut seen = SlotsSeen::of(tables, seen, pick.now);
            let chosen = pick.chosen(tables, &mut seen);
            let sizes = tables.platforms().map(|(name, hosts)| (name.to_owned(), hosts.intersection_len(&chosen)));
            HostsSummary { states: seen.tally(&chosen), platforms: sizes.filter(|(_, count)| *count > 0).collect() }
        })
        .await
    }

    /// How many hosts there are, whatever the page.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub(in crate::fleet::hosts) async fn count(self: &Arc<Self>, pick: HostPick) -> Result<u64> {
        self.read(move |tables, seen| pick.count(tables, &mut SlotsSeen::of(tables, seen, pick.now))).await
    }
}
