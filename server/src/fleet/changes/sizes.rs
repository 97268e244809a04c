//! Refuses a change after which agents could not load the config of some host.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use crate::fleet::hosts::Assignment;
use crate::fleet::schedule::{Cohorts, MAX_CONFIG_BYTES, Plan, Schedule};
use crate::fleet::{Error, Result};
use crate::store::packs::TargetLabels;

/// Assembles the configs that the hosts in memory would get from `plan`, and those of hosts it may meet later: the
/// options of every platform alone, and every pack.
///
/// # Errors
/// [`Error::Invalid`] with the size of the largest config, if that is too large.
pub(super) fn check(schedule: &Schedule, plan: &Plan, assignments: &HashSet<Arc<Assignment>>) -> Result<()> {
    let alone = plan
        .platforms()
        .into_iter()
        .map(|platform| Assignment { platform: platform.into(), ..Assignment::default() })
        .chain([Assignment::default()]);
    let every_pack = plan.packs.iter().map(|pack| {
        let TargetLabels { any, all, .. } = &pack.targets;
        let label_ids: BTreeSet<i64> = any.first().into_iter().chain(all).copied().collect();
        Assignment { label_ids: label_ids.into_iter().collect(), ..Assignment::default() }
    });
    let possible: Vec<Assignment> = alone.chain(every_pack).collect();
    let largest = schedule.largest_config(plan, assignments.iter().map(|assignment| &**assignment));
    let bytes_of = |assignment: &Assignment| plan.assemble(assignment).bytes.len();
    let in_cohorts = |cohorts: Cohorts| {
        let with = |assignment: &Arc<Assignment>| Assignment { cohorts, ..(**assignment).clone() };
        let all: Vec<Assignment> = assignments.iter().map(with).collect();
        plan.largest_config(all.iter(), bytes_of)
    };
    // Hosts of cohorts ask for theirs later.
    let of_cohorts = plan.possible_cohorts().into_iter().filter(|cohorts| !cohorts.is_empty()).map(in_cohorts).max();
    let largest = largest.max(of_cohorts.unwrap_or_default());
    // Perhaps no host ever gets these: they take no room in the cache.
    match largest.max(plan.largest_config(possible.iter(), bytes_of)) {
        bytes if bytes <= MAX_CONFIG_BYTES => Ok(()),
        bytes => Err(Error::invalid(
            "base",
            format!(
                "some hosts' config would have {bytes} bytes, and agents load at most {MAX_CONFIG_BYTES}; split packs over labels or shorten queries"
            ),
        )),
    }
}
