//! A few hosts of many, of all platforms and versions of agents.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use roaring::RoaringTreemap;

use super::Directory;
use super::states::SlotsSeen;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::list::HostState;

/// Some hosts with the same platform and version of the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpreadGroup {
    pub platform: String,
    pub version: String,
    /// How many hosts there are.
    pub size: u64,
    /// Some of them, online ones first: another choice each time.
    pub hosts: Vec<SpreadHost>,
}

/// How many hosts of a kind there are, and the best of them: offline or not, at random, and its place.
type SpreadChoice = (u64, BTreeSet<(bool, u64, u32)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpreadHost {
    pub id: i64,
    pub is_online: bool,
}

impl Directory {
    /// Of each platform and version that these hosts have, `most` hosts; the largest groups first.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub(in crate::fleet::hosts) async fn spread(
        self: &Arc<Self>,
        hosts: RoaringTreemap,
        most: usize,
        now: Moment,
    ) -> Result<Vec<SpreadGroup>> {
        self.read(move |tables, seen| {
            let mut numbers: HashMap<(&str, &str), usize> = HashMap::new();
            let mut of_kind = HashMap::new();
            for (kind, platform, version) in tables.kinds() {
                let next = numbers.len();
                of_kind.insert(kind, *numbers.entry((platform, version)).or_insert(next));
            }
            let mut chosen: Vec<SpreadChoice> = vec![<_>::default(); numbers.len()];
            let (mut seen, salt) = (SlotsSeen::of(tables, seen, now), RandomState::new());
            let mut cursor = tables.slot_cursor();
            for slot in hosts.iter().filter_map(|id| cursor.get(id.cast_signed())) {
                let group = of_kind.get(&tables.kind(slot)).and_then(|number| chosen.get_mut(*number));
                let Some((size, best)) = group else { continue };
                *size += 1;
                let rank = (!seen.is_in(slot, HostState::Online), salt.hash_one(slot), slot);
                if best.len() < most || best.last().is_some_and(|last| rank < *last) {
                    best.insert(rank);
                    if best.len() > most {
                        best.pop_last();
                    }
                }
            }
            let mut groups: Vec<SpreadGroup> = numbers
                .into_iter()
                .filter_map(|((platform, version), number)| {
                    let (size, best) = chosen.get(number)?;
                    let host = |(is_offline, _, slot): &(bool, u64, u32)| SpreadHost {
                        id: tables.id(*slot),
                        is_online: !is_offline,
                    };
                    let hosts = best.iter().map(host).collect();
                    Some(SpreadGroup { platform: platform.to_owned(), version: version.to_owned(), size: *size, hosts })
                })
                .filter(|group| group.size > 0)
                .collect();
            groups.sort_by(|a, b| {
                (Reverse(a.size), &a.platform, &a.version).cmp(&(Reverse(b.size), &b.platform, &b.version))
            });
            groups
        })
        .await
    }
}

/// So many hosts of groups in turn, the online ones of all groups before the others.
pub(in crate::fleet::hosts) fn in_turn(groups: &[SpreadGroup], count: usize) -> RoaringTreemap {
    let mut chosen = RoaringTreemap::new();
    for is_online in [true, false] {
        let mut rounds: Vec<_> = groups
            .iter()
            .map(|group| group.hosts.iter().filter(move |host| host.is_online == is_online).map(|host| host.id))
            .collect();
        let mut has_more = true;
        while has_more {
            has_more = false;
            for id in rounds.iter_mut().filter_map(Iterator::next) {
                has_more = true;
                if chosen.len() == count as u64 {
                    return chosen;
                }
                chosen.insert(id.cast_unsigned());
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(platform: &str, online: &[i64], offline: &[i64]) -> SpreadGroup {
        let host = |is_online| move |id: &i64| SpreadHost { id: *id, is_online };
        let hosts: Vec<_> = online.iter().map(host(true)).chain(offline.iter().map(host(false))).collect();
        SpreadGroup { platform: platform.to_owned(), version: "5.23.0".to_owned(), size: hosts.len() as u64, hosts }
    }

    #[test]
    fn each_group_has_its_turn_and_offline_hosts_come_last() {
        let groups =
            [group("ubuntu", &[1, 2, 3], &[4]), group("windows", &[11], &[12, 13]), group("darwin", &[], &[21])];
        let ids = |count| in_turn(&groups, count).iter().collect::<Vec<_>>();
        assert_eq!(ids(2), [1, 11]);
        assert_eq!(ids(4), [1, 2, 3, 11], "those online first");
        assert_eq!(ids(6), [1, 2, 3, 4, 11, 12]);
        assert_eq!(ids(7), [1, 2, 3, 4, 11, 12, 21]);
        assert_eq!(ids(100).len(), 8, "all there are");
        assert!(ids(0).is_empty());
    }
}
