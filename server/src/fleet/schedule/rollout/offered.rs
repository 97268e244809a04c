//! What rollouts put in the place of a plan's packs and options, and for whom.

use serde_json::Value;

use super::super::retired::Retired;
use super::super::{Plan, PlannedPack, options};
use super::{Cohorts, OptionsChange, PlannedRollout, RolloutChange};
use crate::fleet::hosts::Assignment;

/// A pack that hosts in the cohort of a rollout get, by the position of the rollout.
#[derive(Debug)]
pub(in crate::fleet::schedule) struct OfferedPack {
    pub rollout: usize,
    /// The position of the pack that it replaces.
    pub replaces: Option<usize>,
    pub pack: PlannedPack,
}

impl Plan {
    /// All packs as hosts in these cohorts may get them.
    pub fn packs_in(&self, cohorts: Cohorts) -> impl Iterator<Item = &PlannedPack> {
        let offered = move |offered: &&OfferedPack| cohorts.has(offered.rollout);
        let is_replaced = move |position: usize| {
            !cohorts.is_empty() && self.offered.iter().filter(offered).any(|offered| offered.replaces == Some(position))
        };
        let base = self.packs.iter().enumerate().filter(move |(position, _)| !is_replaced(*position));
        base.map(|(_, pack)| pack).chain(self.offered.iter().filter(offered).map(|offered| &offered.pack))
    }

    /// The packs of the tables, and those that rollouts put in their place.
    pub fn packs_of_all(&self) -> impl Iterator<Item = &PlannedPack> {
        self.packs.iter().chain(self.offered.iter().map(|offered| &offered.pack))
    }

    /// The agent options of the tables, and those that rollouts put in their place.
    pub fn options_of_all(&self) -> impl Iterator<Item = &Value> {
        let served = self.rollouts.iter().filter(|rollout| rollout.is_served());
        let offered = served.filter_map(|rollout| Some(&rollout.change.options.as_ref()?.new));
        std::iter::once(&self.agent_options).chain(offered)
    }

    /// The packs of this name: the one that hosts outside of all cohorts may get, and those that rollouts have.
    pub fn packs_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a PlannedPack> {
        self.packs_of_all().filter(move |pack| pack.name == name)
    }

    /// Positions of the packs that hosts with this assignment get.
    pub(in crate::fleet::schedule) fn chosen<'a>(
        &'a self,
        assignment: &'a Assignment,
    ) -> impl Iterator<Item = usize> + 'a {
        let cohorts = assignment.cohorts;
        let offered = self.offered.iter().enumerate().filter(move |(_, offered)| cohorts.has(offered.rollout));
        let is_replaced = move |position: usize| {
            let mut offered = self.offered.iter().filter(|offered| cohorts.has(offered.rollout));
            !cohorts.is_empty() && offered.any(|offered| offered.replaces == Some(position))
        };
        let base = self.packs.iter().enumerate();
        let base = base.filter(move |(position, pack)| pack.is_for(assignment) && !is_replaced(*position));
        let offered = offered.filter(move |(_, offered)| offered.pack.is_for(assignment));
        base.map(|(position, _)| position).chain(offered.map(move |(position, _)| self.packs.len() + position))
    }

    pub(in crate::fleet::schedule) fn pack(&self, position: usize) -> Option<&PlannedPack> {
        let offered = || Some(&self.offered.get(position - self.packs.len())?.pack);
        self.packs.get(position).or_else(offered)
    }

    /// The rollouts whose cohorts a host is in.
    pub fn cohorts_of(&self, host_id: i64, assignment: &Assignment) -> Cohorts {
        let has = self.rollouts.iter().enumerate().filter(|(_, rollout)| rollout.has(host_id, assignment));
        has.fold(Cohorts::default(), |cohorts, (position, _)| cohorts.with(position))
    }

    /// The cohorts of rollouts that another plan does not have yet: of all hosts once these are done.
    pub fn cohorts_beyond(&self, before: &Self) -> Cohorts {
        let is_new = |rollout: &PlannedRollout| {
            rollout.is_served() && !before.rollouts.iter().any(|other| other.id == rollout.id)
        };
        let new = self.rollouts.iter().enumerate().filter(|(_, rollout)| is_new(rollout));
        new.fold(Cohorts::default(), |cohorts, (position, _)| cohorts.with(position))
    }

    /// All cohorts that hosts may be in together, as far as their configs differ by much: with or without each new version.
    pub fn possible_cohorts(&self) -> Vec<Cohorts> {
        let is_served = |served: bool| {
            let all = self.rollouts.iter().enumerate().filter(move |(_, rollout)| rollout.is_served() == served);
            all.map(|(position, _)| position)
        };
        let reverted = is_served(false).fold(Cohorts::default(), Cohorts::with);
        let mut possible = vec![Cohorts::default()];
        if !reverted.is_empty() {
            possible.push(reverted);
        }
        for position in is_served(true) {
            let with: Vec<Cohorts> = possible.iter().map(|cohorts| cohorts.with(position)).collect();
            possible.extend(with);
        }
        possible
    }

    /// Whether a rollout in progress decides about the config of hosts with this assignment, whatever else they get.
    pub fn is_touched(&self, position: usize, assignment: &Assignment) -> bool {
        let with = |cohorts| self.key(&Assignment { cohorts, ..assignment.clone() });
        with(assignment.cohorts.with(position)) != with(assignment.cohorts.without(position))
    }

    /// What a rollout began with and somebody has changed since, with the name of the rollout.
    pub fn disturbed_rollout(&self) -> Option<(&PlannedRollout, String)> {
        let mut served = self.rollouts.iter().filter(|rollout| rollout.is_served());
        served.find_map(|rollout| {
            let has_all = rollout.stage_label_ids.iter().all(|id| self.label_name(*id).is_some());
            let label = (!has_all).then(|| "hosts of a label that one of its stages names".to_owned());
            Some((rollout, rollout.change.changed_in(self).or(label)?))
        })
    }

    /// The rollouts that change the options of hosts with this assignment.
    pub(in crate::fleet::schedule) fn options_rollouts(
        &self,
        assignment: &Assignment,
    ) -> impl Iterator<Item = (usize, &PlannedRollout, &OptionsChange)> {
        let is_for = move |(position, rollout): &(usize, &PlannedRollout)| {
            assignment.cohorts.has(*position) && rollout.reach.has(&assignment.platform)
        };
        let all = self.rollouts.iter().enumerate().filter(is_for);
        all.filter_map(|(position, rollout)| Some((position, rollout, rollout.change.options.as_ref()?)))
    }
}

/// The packs that the new versions of rollouts consist of.
pub(in crate::fleet::schedule) fn offered(packs: &[PlannedPack], rollouts: &[PlannedRollout]) -> Vec<OfferedPack> {
    let served = rollouts.iter().enumerate().filter(|(_, rollout)| rollout.is_served());
    let of_rollout = |(rollout, planned): (usize, &PlannedRollout)| {
        let RolloutChange { packs: changes, .. } = &planned.change;
        let offered = changes.iter().map(|change| {
            let id = change.old.as_ref().map(|old| old.id);
            let replaces = packs.iter().position(|pack| Some(pack.id) == id);
            OfferedPack { rollout, replaces, pack: change.new.clone() }
        });
        offered.collect::<Vec<_>>()
    };
    served.flat_map(of_rollout).collect()
}

/// Platforms whose hosts do not get the same of a rollout as all others.
pub(in crate::fleet::schedule) fn rollout_platforms(rollout: &PlannedRollout) -> impl Iterator<Item = &str> {
    let options = rollout.change.options.iter().filter(move |_| rollout.is_served());
    let new =
        options.flat_map(|options| options::overridden_platforms(&options.new).chain(options.retired.platforms()));
    new.chain(rollout.remains.iter().flat_map(Retired::platforms)).map(String::as_str)
}
