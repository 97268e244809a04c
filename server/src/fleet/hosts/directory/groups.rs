//! Hosts by platform and version of the agent.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use super::Directory;
use super::states::SlotsSeen;
use super::tables::Tables;
use super::targets::TargetGroups;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::list::HostState;
use crate::fleet::schema::AgentGroup;

/// An online host of an agent group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskableHost {
    pub(in crate::fleet) group: AgentGroup,
    pub id: i64,
    /// As the host says; empty if it does not.
    pub address: String,
}

impl Directory {
    /// Platforms and versions of agents, and how many hosts have both; some more than once.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub(in crate::fleet) async fn platforms_and_versions(self: &Arc<Self>) -> Result<Vec<(String, String, u64)>> {
        self.read(|tables, _| {
            let all = tables.platforms_and_versions();
            all.map(|(platform, version, hosts)| (platform.to_owned(), version.to_owned(), hosts)).collect()
        })
        .await
    }

    /// How many hosts of these targets are in each agent group.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub(in crate::fleet::hosts) async fn group_sizes(
        self: &Arc<Self>,
        targets: TargetGroups,
    ) -> Result<BTreeMap<AgentGroup, u64>> {
        self.read(move |tables, _| {
            let groups = groups_by_kind(tables);
            let mut sizes = BTreeMap::new();
            for slot in &targets.slots(tables) {
                if let Some(group) = groups.get(&tables.kind(slot)) {
                    *sizes.entry(group).or_insert(0) += 1;
                }
            }
            sizes.into_iter().map(|(group, hosts)| (group.clone(), hosts)).collect()
        })
        .await
    }

    /// Online hosts of these agent groups, `most` of each, other ones each time; without those that are left out of
    /// their group.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub(in crate::fleet::hosts) async fn askable(
        self: &Arc<Self>,
        groups: HashSet<AgentGroup>,
        left_out: HashMap<i64, AgentGroup>,
        most: usize,
        now: Moment,
    ) -> Result<Vec<AskableHost>> {
        self.read(move |tables, seen| {
            let mut by_kind = groups_by_kind(tables);
            by_kind.retain(|_, group| groups.contains(group));
            let mut seen = SlotsSeen::of(tables, seen, now);
            let salt = RandomState::new();
            let mut chosen: HashMap<&AgentGroup, BTreeSet<(u64, u32)>> = HashMap::new();
            for slot in &tables.hosts {
                let Some(group) = by_kind.get(&tables.kind(slot)) else { continue };
                let of_group = chosen.entry(group).or_default();
                let rank = (salt.hash_one(slot), slot);
                let is_near = of_group.len() < most || of_group.last().is_some_and(|last| rank < *last);
                let is_left_out = || left_out.get(&tables.id(slot)) == Some(group);
                if is_near && seen.is_in(slot, HostState::Online) && !is_left_out() {
                    of_group.insert(rank);
                    if of_group.len() > most {
                        of_group.pop_last();
                    }
                }
            }
            let host = |group: &AgentGroup, slot: u32| AskableHost {
                group: group.clone(),
                id: tables.id(slot),
                address: tables.address(slot).to_owned(),
            };
            let all =
                chosen.into_iter().flat_map(|(group, slots)| slots.into_iter().map(move |(_, slot)| (group, slot)));
            all.map(|(group, slot)| host(group, slot)).collect()
        })
        .await
    }
}

/// The agent group of each kind of host.
fn groups_by_kind(tables: &Tables) -> HashMap<u32, AgentGroup> {
    let kinds = tables.kinds();
    kinds.filter_map(|(kind, platform, version)| Some((kind, AgentGroup::of(platform, version)?))).collect()
}
