use serde::{Deserialize, Serialize};

use crate::fleet::Result;
use crate::fleet::hosts::Assignment;
use crate::store::Error;
use crate::store::entity;
use crate::store::packs::TargetLabels;

/// A pack as it is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPack {
    pub id: i64,
    pub name: String,
    pub platform: String,
    pub version: String,
    pub shard: Option<i64>,
    pub discovery: Vec<String>,
    pub is_disabled: bool,
    pub targets: TargetLabels,
    pub queries: Vec<ScheduledQuery>,
}

/// A scheduled query with the SQL of the saved query it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledQuery {
    pub name: String,
    pub sql: String,
    pub interval_secs: i64,
    pub snapshot: Option<bool>,
    pub removed: Option<bool>,
    pub denylist: Option<bool>,
    pub shard: Option<i64>,
    pub platform: String,
    pub version: String,
}

impl PlannedPack {
    /// The query that the pack schedules under this name.
    pub fn query(&self, name: &str) -> Option<&ScheduledQuery> {
        self.queries.iter().find(|query| query.name == name)
    }

    pub(super) fn of(row: entity::packs::Model, targets: TargetLabels, queries: Vec<ScheduledQuery>) -> Result<Self> {
        let discovery = serde_json::from_str(&row.discovery).map_err(|error| Error::Corrupt {
            table: "packs",
            key: row.name.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            id: row.id,
            name: row.name,
            platform: row.platform,
            version: row.version,
            shard: row.shard,
            discovery,
            is_disabled: row.disabled,
            targets,
            queries,
        })
    }

    /// Whether hosts with this assignment are its targets.
    pub fn is_for(&self, assignment: &Assignment) -> bool {
        // Shard 0 means nobody; osquery would take it for everybody.
        !self.is_disabled && self.shard != Some(0) && self.left_out(assignment).is_none()
    }

    /// Why its labels leave out hosts with this assignment; `None` if they do not.
    pub fn left_out(&self, assignment: &Assignment) -> Option<LeftOut> {
        let TargetLabels { any, all, excluded, has_unknown } = &self.targets;
        if *has_unknown {
            return Some(LeftOut::OfOtherVersion);
        }
        if self.targets.is_empty() {
            return Some(LeftOut::NoTargets);
        }
        let those = |label_ids: &[i64], has: &dyn Fn(&i64) -> bool| -> Vec<i64> {
            label_ids.iter().filter(|id| has(id)).copied().collect()
        };
        let is_in = |id: &i64| assignment.label_ids.binary_search(id).is_ok();
        if excluded.iter().any(is_in) {
            return Some(LeftOut::InExcluded(those(excluded, &is_in)));
        }
        if !any.is_empty() && !any.iter().any(is_in) {
            return Some(LeftOut::InNone);
        }
        if !all.iter().all(is_in) {
            return Some(LeftOut::NotInAll(those(all, &|id| !is_in(id))));
        }
        let is_unknown = |id: &i64| assignment.unknown_label_ids.binary_search(id).is_ok();
        let unknown = those(excluded, &is_unknown);
        (!unknown.is_empty()).then_some(LeftOut::NotKnown(unknown))
    }
}

/// Why the labels of a pack leave out a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeftOut {
    /// The pack has no labels.
    NoTargets,
    /// A later version has set a condition that this one does not know.
    OfOtherVersion,
    InNone,
    /// It lacks these.
    NotInAll(Vec<i64>),
    InExcluded(Vec<i64>),
    /// It is not known yet whether the host is in these, which the pack excludes.
    NotKnown(Vec<i64>),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ids() -> impl Strategy<Value = BTreeSet<i64>> {
        prop::collection::btree_set(1..6_i64, 0..4)
    }

    proptest! {
        /// A host is in any of the first labels, if there are some, in all of the second and in none of the third, which is known.
        #[test]
        fn labels_choose_hosts(any in ids(), all in ids(), excluded in ids(), is_in in ids(), unknown in ids()) {
            let unknown = &unknown - &is_in;
            let sorted = |ids: &BTreeSet<i64>| ids.iter().copied().collect::<Vec<i64>>();
            let pack = PlannedPack {
                id: 1,
                name: String::new(),
                platform: String::new(),
                version: String::new(),
                shard: None,
                discovery: Vec::new(),
                is_disabled: false,
                targets: TargetLabels {
                    any: sorted(&any),
                    all: sorted(&all),
                    excluded: sorted(&excluded),
                    has_unknown: false,
                },
                queries: Vec::new(),
            };
            let assignment = Assignment {
                label_ids: sorted(&is_in).into(),
                unknown_label_ids: sorted(&unknown).into(),
                ..Assignment::default()
            };
            let expected = !(any.is_empty() && all.is_empty() && excluded.is_empty())
                && (any.is_empty() || !any.is_disjoint(&is_in))
                && all.is_subset(&is_in)
                && excluded.is_disjoint(&is_in)
                && excluded.is_disjoint(&unknown);
            prop_assert_eq!(pack.is_for(&assignment), expected);
            prop_assert_eq!(pack.left_out(&assignment).is_none(), expected);
            let later = PlannedPack { targets: TargetLabels { has_unknown: true, ..pack.targets.clone() }, ..pack };
            prop_assert!(!later.is_for(&assignment));
        }
    }
}
