//! Hosts by what they have in common, and how many of them are there.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use roaring::{RoaringBitmap, RoaringTreemap};

use super::Directory;
use super::states::SlotsSeen;
use super::tables::Tables;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::list::HostState;
use crate::fleet::hosts::means_platform;
use crate::fleet::hosts::seen::SeenTimes;

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
#[derive(Debug, Clone, Default)]
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

impl TargetGroups {
    pub(super) fn slots(&self, tables: &Tables) -> RoaringBitmap {
        let mut members = if self.all { tables.hosts.clone() } else { self.common(tables) };
        members.extend(self.hosts.iter().filter_map(|id| tables.slot(*id)));
        members - union(tables, &self.excluded_labels)
    }

    fn common(&self, tables: &Tables) -> RoaringBitmap {
        let mut lists: Vec<RoaringBitmap> = self.label_lists.iter().map(|labels| union(tables, labels)).collect();
        if !self.platforms.is_empty() {
            let is_meant = |platform: &str| self.platforms.iter().any(|word| means_platform(word, platform));
            let meant = tables.platforms().filter(|(platform, _)| is_meant(platform));
            lists.push(meant.fold(RoaringBitmap::new(), |all, (_, hosts)| all | hosts));
        }
        lists.into_iter().reduce(|some, others| some & others).unwrap_or_default()
    }
}

impl Directory {
    /// How many hosts are in each label that has any.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub async fn label_sizes(self: &Arc<Self>) -> Result<HashMap<i64, u64>> {
        self.read(|tables, _| tables.labels().collect()).await
    }

    /// How many hosts are in any of the groups, for each list of groups.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub async fn count_in_any(self: &Arc<Self>, lists: Vec<Vec<TargetGroups>>) -> Result<Vec<u64>> {
        let size = |tables: &Tables, groups: &[TargetGroups]| {
            groups.iter().fold(RoaringBitmap::new(), |all, groups| all | groups.slots(tables)).len()
        };
        self.read(move |tables, _| lists.iter().map(|groups| size(tables, groups)).collect()).await
    }

    /// The hosts of groups.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub(in crate::fleet::hosts) async fn members(self: &Arc<Self>, groups: TargetGroups) -> Result<RoaringTreemap> {
        self.read(move |tables, _| ids(tables, &groups.slots(tables))).await
    }

    /// Counts the hosts of groups by whether they are there.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub(in crate::fleet::hosts) async fn tally_members(
        self: &Arc<Self>,
        groups: TargetGroups,
        now: Moment,
    ) -> Result<OnlineTally> {
        self.read(move |tables, seen| SlotsSeen::of(tables, seen, now).tally(&groups.slots(tables))).await
    }

    /// Counts hosts by whether they are there; those that are gone are left out.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub(in crate::fleet::hosts) async fn tally(
        self: &Arc<Self>,
        host_ids: RoaringTreemap,
        now: Moment,
    ) -> Result<OnlineTally> {
        self.read(move |tables, seen| {
            let mut cursor = tables.slot_cursor();
            let slots: RoaringBitmap = host_ids.iter().filter_map(|id| cursor.get(id.cast_signed())).collect();
            SlotsSeen::of(tables, seen, now).tally(&slots)
        })
        .await
    }

    /// Those of these hosts that are here, even while hosts are being loaded.
    ///
    /// # Errors
    /// When the work fails.
    pub(in crate::fleet::hosts) async fn here(self: &Arc<Self>, mut ids: BTreeSet<i64>) -> Result<BTreeSet<i64>> {
        if ids.is_empty() {
            return Ok(ids);
        }
        let keep = move |tables: &Tables, _: &SeenTimes| {
            ids.retain(|id| tables.slot(*id).is_some());
            ids
        };
        self.read_what_is_here(keep).await
    }

    /// The hosts here with ids above `after`, up to `until`, even while hosts are being loaded.
    ///
    /// # Errors
    /// When the work fails.
    pub(in crate::fleet::hosts) async fn between(self: &Arc<Self>, after: i64, until: i64) -> Result<BTreeSet<i64>> {
        self.read_what_is_here(move |tables, _| tables.ids(after, until).collect()).await
    }

    /// The platforms that hosts have.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub async fn platforms(self: &Arc<Self>) -> Result<BTreeSet<String>> {
        self.read(|tables, _| tables.platforms().map(|(platform, _)| platform.to_owned()).collect()).await
    }

    /// Ids of the hosts here that are online, even while hosts are being loaded.
    ///
    /// # Errors
    /// When the work fails.
    pub(in crate::fleet::hosts) async fn online_here(self: &Arc<Self>, now: Moment) -> Result<RoaringTreemap> {
        self.read_what_is_here(move |tables, seen| {
            let mut seen = SlotsSeen::of(tables, seen, now);
            ids(tables, &seen.in_state(&tables.hosts, HostState::Online))
        })
        .await
    }
}

fn union(tables: &Tables, label_ids: &[i64]) -> RoaringBitmap {
    label_ids.iter().filter_map(|id| tables.label(*id)).fold(RoaringBitmap::new(), |all, members| all | members)
}

fn ids(tables: &Tables, slots: &RoaringBitmap) -> RoaringTreemap {
    // Nearly in order, as slots are given to hosts in the order of their ids.
    let mut ids: Vec<u64> = slots.iter().map(|slot| tables.id(slot).cast_unsigned()).collect();
    ids.sort_unstable();
    RoaringTreemap::from_sorted_iter(ids).unwrap_or_default()
}
