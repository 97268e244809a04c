//! What a rollout changes: the old and the new version of what hosts are served.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::options::{document_for, general_document, overridden_platforms};
use super::super::retired::Retired;
use super::super::{Plan, PlannedPack, ScheduledQuery};
use crate::clock::Moment;
use crate::store::case;

/// What a rollout changes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RolloutChange {
    pub packs: Vec<PackChange>,
    pub options: Option<OptionsChange>,
}

/// A pack before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackChange {
    /// `None` of a pack that is new. A pack that is new has the id 0 until the rollout is done.
    #[serde(default)]
    pub old: Option<PlannedPack>,
    pub new: PlannedPack,
}

/// Agent options before and after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OptionsChange {
    pub old: Value,
    pub new: Value,
    /// What hosts with the new options may still have of older ones.
    #[serde(default)]
    pub retired: Retired,
}

/// The platforms whose hosts get other options by a change.
#[derive(Debug, Clone, Default)]
pub(in crate::fleet::schedule) struct OptionsReach {
    /// Platforms that have or had options of their own.
    apart: BTreeMap<String, bool>,
    all_others: bool,
}

impl OptionsReach {
    pub fn of(change: &RolloutChange) -> Self {
        let Some(OptionsChange { old, new, .. }) = &change.options else { return Self::default() };
        let differs = |platform: &String| document_for(old, platform) != document_for(new, platform);
        let apart = overridden_platforms(old).chain(overridden_platforms(new));
        Self {
            apart: apart.map(|platform| (platform.clone(), differs(platform))).collect(),
            all_others: general_document(old) != general_document(new),
        }
    }

    pub fn has(&self, platform: &str) -> bool {
        self.apart.get(platform).copied().unwrap_or(self.all_others)
    }
}

impl RolloutChange {
    /// What differs between the plan before and the plan after documents were applied.
    pub fn between(old: &Plan, new: &Plan) -> Self {
        let before: BTreeMap<i64, &PlannedPack> = old.packs.iter().map(|pack| (pack.id, pack)).collect();
        let change = |pack: &PlannedPack| {
            let old = before.get(&pack.id).map(|old| (*old).clone());
            let mut new = pack.clone();
            if old.is_none() {
                new.id = 0;
            }
            (old.as_ref() != Some(&new)).then_some(PackChange { old, new })
        };
        let packs = new.packs.iter().filter_map(change).collect();
        let options = (old.agent_options != new.agent_options).then(|| OptionsChange {
            old: old.agent_options.clone(),
            new: new.agent_options.clone(),
            retired: new.retired.clone(),
        });
        Self { packs, options }
    }

    pub fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.options.is_none()
    }

    /// What both change, as operators call it.
    pub fn common(&self, other: &Self) -> Option<String> {
        if self.options.is_some() && other.options.is_some() {
            return Some("the agent options".to_owned());
        }
        let theirs: BTreeSet<String> = other.packs.iter().map(|change| case::fold(&change.new.name)).collect();
        let both = self.packs.iter().find(|change| theirs.contains(&case::fold(&change.new.name)));
        both.map(|change| format!("the pack {:?}", change.new.name))
    }

    /// What is not as it was when the rollout began, as operators call it: the plan must have all that is old.
    pub fn changed_in(&self, plan: &Plan) -> Option<String> {
        if self.options.as_ref().is_some_and(|options| options.old != plan.agent_options) {
            return Some("the agent options".to_owned());
        }
        let is_as_it_was = |change: &&PackChange| match &change.old {
            Some(old) => plan.packs.iter().any(|pack| pack == old),
            None => !plan.packs.iter().any(|pack| case::fold(&pack.name) == case::fold(&change.new.name)),
        };
        if let Some(changed) = self.packs.iter().find(|change| !is_as_it_was(change)) {
            return Some(format!("the pack {:?}", changed.new.name));
        }
        let label_ids = self.packs.iter().flat_map(|change| change.new.targets.label_ids());
        let has_all = label_ids.into_iter().all(|id| plan.label_name(id).is_some());
        (!has_all).then(|| "a label of one of its packs".to_owned())
    }

    /// Whether a plan has all that is new.
    pub fn is_made_in(&self, plan: &Plan) -> bool {
        let is_there = |change: &PackChange| {
            let is_it = |pack: &&PlannedPack| match &change.old {
                Some(old) => pack.id == old.id,
                None => pack.name == change.new.name,
            };
            let made = plan.packs.iter().find(is_it);
            made.is_some_and(|pack| PlannedPack { id: change.new.id, ..pack.clone() } == change.new)
        };
        self.packs.iter().all(is_there) && self.options.as_ref().is_none_or(|options| options.new == plan.agent_options)
    }

    /// What hosts that had the new options may still have of them once they are served the old ones again.
    pub fn remains(&self, now: Moment) -> Retired {
        let Some(options) = &self.options else { return Retired::default() };
        Retired::default().after(&options.new, &options.old, now).0
    }

    /// The queries that hosts of the new version run otherwise, or anew, with the names of their packs.
    pub fn queries(&self) -> impl Iterator<Item = (&str, &ScheduledQuery)> {
        let is_same = |change: &PackChange, query: &ScheduledQuery| {
            change.old.as_ref().is_some_and(|old| old.query(&query.name) == Some(query))
        };
        self.packs.iter().flat_map(move |change| {
            let changed = change.new.queries.iter().filter(move |query| !is_same(change, query));
            changed.map(|query| (change.new.name.as_str(), query))
        })
    }
}
