//! Hosts that get the same config, and how many they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Directory;
use crate::fleet::Result;
use crate::fleet::hosts::Assignment;

/// Labels that hosts join and leave by a change that is not made yet.
#[derive(Debug, Clone, Default)]
pub struct LabelMoves(BTreeMap<i64, BTreeMap<i64, bool>>);

impl LabelMoves {
    /// Adds hosts that join a label, and hosts that leave it.
    pub fn add(&mut self, label_id: i64, joining: &[i64], leaving: &[i64]) {
        let moves = joining.iter().map(|id| (id, true)).chain(leaving.iter().map(|id| (id, false)));
        for (host_id, joins) in moves {
            self.0.entry(*host_id).or_default().insert(label_id, joins);
        }
    }

    /// Whether hosts leave a label.
    pub fn leave(&self, label_id: i64) -> bool {
        self.0.values().any(|moves| moves.get(&label_id) == Some(&false))
    }

    /// The assignment of a host once the change is made.
    fn put_into(&self, host_id: i64, before: &Assignment) -> Assignment {
        let mut label_ids: BTreeSet<i64> = before.label_ids.iter().copied().collect();
        for (label_id, joins) in self.0.get(&host_id).into_iter().flatten() {
            if *joins {
                label_ids.insert(*label_id)
            } else {
                label_ids.remove(label_id)
            };
        }
        Assignment {
            platform: before.platform.clone(),
            label_ids: label_ids.into_iter().collect(),
            ..Assignment::default()
        }
    }
}

/// Hosts that have had one assignment and will have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlikeHosts {
    pub before: Assignment,
    pub after: Assignment,
    pub count: u64,
}

impl Directory {
    /// All hosts, by what decides their configs before and after a change. Takes time with the number of hosts, on a thread of
    /// its own, and memory with the number of different assignments and of hosts that move.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub(in crate::fleet) async fn alike(self: &Arc<Self>, moves: LabelMoves) -> Result<Vec<AlikeHosts>> {
        self.read(move |tables, _| {
            let mut counts: HashMap<(u32, u32), u64> = HashMap::new();
            for slot in &tables.hosts {
                *counts.entry(tables.likeness(slot)).or_default() += 1;
            }
            let mut moved: HashMap<(Assignment, Assignment), u64> = HashMap::new();
            for host_id in moves.0.keys() {
                let Some(slot) = tables.slot(*host_id) else { continue };
                let likeness = tables.likeness(slot);
                if let Some(count) = counts.get_mut(&likeness) {
                    *count -= 1;
                }
                let before = tables.assignment(likeness);
                let after = moves.put_into(*host_id, &before);
                *moved.entry((before, after)).or_default() += 1;
            }
            let stay = counts.into_iter().filter(|(_, count)| *count > 0).map(|(likeness, count)| {
                let before = tables.assignment(likeness);
                AlikeHosts { after: before.clone(), before, count }
            });
            let moved = moved.into_iter().map(|((before, after), count)| AlikeHosts { before, after, count });
            stay.chain(moved).collect()
        })
        .await
    }
}
