//! Picking, ordering and counting hosts.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use roaring::{RoaringBitmap, RoaringTreemap};

use super::Directory;
use super::order::{Direction, OrderKey};
use super::tables::{Tables, Times};
use crate::clock::Moment;
use crate::fleet::hosts::list::{HostFilter, HostState};
use crate::fleet::hosts::view::{NEW_FOR, is_online};
use crate::lock::lock;
use crate::store::host_lists::HostOrder;

/// A host that has not called for this long counts as missing, as in Fleet.
pub(in crate::fleet::hosts) const MISSING_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);

/// A list of fewer than this part of all hosts is sorted by itself.
const SORTED_PART: u64 = 32;

/// What to pick, at which moment, and what is known of hosts elsewhere.
pub(in crate::fleet::hosts) struct HostPick<'a> {
    pub filter: &'a HostFilter,
    pub now: Moment,
    /// When a host was last seen.
    pub seen: &'a dyn Fn(i64) -> Moment,
    /// What hosts are ordered by, if the directory does not hold it.
    pub values: Option<HashMap<i64, i64>>,
}

/// A host of a list, and when it was last seen as it was picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::fleet::hosts) struct PickedHost {
    pub id: i64,
    pub seen: Moment,
}

/// Hosts by whether they are there. Online and offline add up to the total; missing ones are offline too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OnlineTally {
    pub total: u64,
    pub online: u64,
    pub offline: u64,
    pub missing: u64,
    pub new: u64,
}

/// Hosts by what they have in common.
#[derive(Debug, Default)]
pub struct TargetGroups {
    pub all: bool,
    /// A host must be in one label of each list; a list that is not there leaves nobody out.
    pub label_lists: Vec<Vec<i64>>,
    /// And of any of the platforms, if there are any.
    pub platforms: Vec<String>,
    /// These come on top.
    pub hosts: BTreeSet<i64>,
    /// Hosts in any of these labels are left out.
    pub excluded_labels: Vec<i64>,
}

impl HostState {
    fn has(self, times: Times, seen: Moment, now: Moment) -> bool {
        let is_online = || is_online(times.distributed_interval.into(), times.config_refresh.into(), seen, now);
        match self {
            Self::Online => is_online(),
            Self::Offline => !is_online(),
            Self::Missing => seen.plus(MISSING_AFTER) <= now,
            Self::New => times.created_at.plus(NEW_FOR) >= now,
        }
    }
}

impl HostPick<'_> {
    fn seen(&self, tables: &Tables, slot: u32) -> Moment {
        (self.seen)(tables.id(slot)).max(tables.times(slot).seen_at)
    }

    /// The slots of all hosts that the filter lets through, whatever its page.
    fn chosen(&self, tables: &Tables) -> RoaringBitmap {
        let mut chosen = match self.filter.label_id {
            Some(label_id) => tables.label(label_id).cloned().unwrap_or_default(),
            None => tables.hosts.clone(),
        };
        if !self.filter.text.is_empty() {
            chosen &= tables.with_text(&self.filter.text);
        }
        if let Some(state) = self.filter.state {
            let is_in = |slot: &u32| state.has(tables.times(*slot), self.seen(tables, *slot), self.now);
            chosen = chosen.iter().filter(is_in).collect();
        }
        chosen
    }

    fn number(&self, tables: &Tables, slot: u32) -> Option<i64> {
        match self.filter.order {
            HostOrder::SeenTime => Some(self.seen(tables, slot).0),
            _ => self.values.as_ref().map(|values| values.get(&tables.id(slot)).copied().unwrap_or_default()),
        }
    }

    /// Whether a host stands behind the value that the list begins behind.
    fn is_behind(&self, key: OrderKey<'_>) -> bool {
        let Some(after) = &self.filter.after else { return true };
        let after = OrderKey::from(after);
        if self.filter.is_descending { key < after } else { key > after }
    }

    /// The page, of hosts that come in order.
    fn page(&self, slots: impl Iterator<Item = u32>) -> Vec<u32> {
        let count = |rows: u64| usize::try_from(rows).unwrap_or(usize::MAX);
        slots.skip(count(self.filter.offset)).take(self.filter.limit.map_or(usize::MAX, count)).collect()
    }

    fn page_by_number(&self, tables: &Tables, chosen: &RoaringBitmap) -> Vec<u32> {
        let number = |slot: u32| self.number(tables, slot).unwrap_or_default();
        let mut slots: Vec<(i64, i64, u32)> = chosen
            .iter()
            .map(|slot| (number(slot), tables.id(slot), slot))
            .filter(|(number, ..)| self.is_behind(OrderKey::Number(*number)))
            .collect();
        if self.filter.is_descending {
            slots.sort_unstable_by_key(|(number, id, _)| (Reverse(*number), *id));
        } else {
            slots.sort_unstable();
        }
        self.page(slots.into_iter().map(|(.., slot)| slot))
    }

    fn page_by_key(&self, tables: &Tables, chosen: &RoaringBitmap) -> Vec<u32> {
        let HostFilter { order, is_descending, .. } = *self.filter;
        let direction = Direction { order, is_descending };
        let is_behind = |slot: &u32| self.is_behind(tables.key(order, *slot));
        if chosen.len() < tables.hosts.len() / SORTED_PART {
            let mut slots: Vec<u32> = chosen.iter().filter(is_behind).collect();
            direction.sort(tables, &mut slots);
            return self.page(slots.into_iter());
        }
        let sorted = tables.sorted(direction);
        let sorted = lock(&sorted);
        let walk = sorted.walk(tables, direction);
        self.page(walk.filter(|slot| chosen.contains(*slot)).filter(is_behind))
    }
}

impl Directory {
    /// The hosts of a list, in its order.
    pub(in crate::fleet::hosts) fn pick(&self, pick: &HostPick<'_>) -> Vec<PickedHost> {
        self.read(|tables| {
            let chosen = pick.chosen(tables);
            let is_by_number = pick.filter.order == HostOrder::SeenTime || pick.values.is_some();
            let slots = match is_by_number {
                true => pick.page_by_number(tables, &chosen),
                false => pick.page_by_key(tables, &chosen),
            };
            slots.into_iter().map(|slot| PickedHost { id: tables.id(slot), seen: pick.seen(tables, slot) }).collect()
        })
    }

    /// How many hosts there are, whatever the page.
    pub(in crate::fleet::hosts) fn count(&self, pick: &HostPick<'_>) -> u64 {
        self.read(|tables| pick.chosen(tables).len())
    }

    /// How many hosts are in each label that has any.
    pub fn label_sizes(&self) -> HashMap<i64, u64> {
        self.read(|tables| tables.labels().collect())
    }

    /// How many hosts are in any of the labels.
    pub fn count_in_any(&self, label_ids: &[i64]) -> u64 {
        self.read(|tables| union(tables, label_ids).len())
    }

    /// The hosts of groups.
    pub fn members(&self, groups: &TargetGroups, means: impl Fn(&str, &str) -> bool) -> RoaringTreemap {
        self.read(|tables| {
            let mut members = match groups.all {
                true => tables.hosts.clone(),
                false => {
                    let mut lists: Vec<RoaringBitmap> =
                        groups.label_lists.iter().map(|labels| union(tables, labels)).collect();
                    if !groups.platforms.is_empty() {
                        let is_meant = |platform: &str| groups.platforms.iter().any(|word| means(word, platform));
                        lists.push(tables.of_platforms(is_meant));
                    }
                    lists.into_iter().reduce(|some, others| some & others).unwrap_or_default()
                }
            };
            members.extend(groups.hosts.iter().filter_map(|id| tables.slot(*id)));
            members -= union(tables, &groups.excluded_labels);
            ids(tables, &members)
        })
    }

    /// Those of these hosts that there are.
    pub fn known(&self, ids: &BTreeSet<i64>) -> BTreeSet<i64> {
        self.read(|tables| ids.iter().copied().filter(|id| tables.slot(*id).is_some()).collect())
    }

    /// Counts hosts by whether they are there; ids that are gone count as offline.
    pub fn tally(&self, host_ids: impl Iterator<Item = i64>, now: Moment, seen: impl Fn(i64) -> Moment) -> OnlineTally {
        self.read(|tables| {
            let mut tally = OnlineTally::default();
            for id in host_ids {
                let Some(slot) = tables.slot(id) else { continue };
                let (times, seen) = (tables.times(slot), seen(id).max(tables.times(slot).seen_at));
                tally.total += 1;
                tally.online += u64::from(HostState::Online.has(times, seen, now));
                tally.missing += u64::from(HostState::Missing.has(times, seen, now));
                tally.new += u64::from(HostState::New.has(times, seen, now));
            }
            tally.offline = tally.total - tally.online;
            tally
        })
    }

    /// Ids of the hosts that are online.
    pub fn online(&self, now: Moment, seen: impl Fn(i64) -> Moment) -> RoaringTreemap {
        self.read(|tables| {
            let is_online = |slot: &u32| {
                let times = tables.times(*slot);
                HostState::Online.has(times, seen(tables.id(*slot)).max(times.seen_at), now)
            };
            ids(tables, &tables.hosts.iter().filter(is_online).collect())
        })
    }
}

fn union(tables: &Tables, label_ids: &[i64]) -> RoaringBitmap {
    let mut members = RoaringBitmap::new();
    for label in label_ids.iter().filter_map(|id| tables.label(*id)) {
        members |= label;
    }
    members
}

fn ids(tables: &Tables, slots: &RoaringBitmap) -> RoaringTreemap {
    slots.iter().map(|slot| tables.id(slot).cast_unsigned()).collect()
}
