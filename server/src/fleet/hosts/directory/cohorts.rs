//! Hosts that rollouts reach, inside of their cohorts and outside.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::Directory;
use super::states::SlotsSeen;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::Assignment;
use crate::fleet::hosts::list::HostState;
use crate::fleet::hosts::seen::seconds;
use crate::fleet::schedule::{Cohorts, Plan};

/// A host that has not called for so long is lost to a rollout if it has called when the stage began.
const LOST_AFTER: Duration = Duration::from_secs(15 * 60);

/// Hosts whose config a rollout changes, or will, on one side of its cohort.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SideHosts {
    pub hosts: i64,
    pub online: i64,
    /// Hosts that have called shortly before the stage began, or since.
    pub followed: i64,
    /// Those of them that have not called for [`LOST_AFTER`].
    pub lost: i64,
}

impl Directory {
    /// The hosts that each rollout of a plan touches: first those outside of its cohort, then those inside.
    ///
    /// # Errors
    /// As for [`Directory::loaded`].
    pub(in crate::fleet) async fn rollout_hosts(
        self: &Arc<Self>,
        plan: Arc<Plan>,
        now: Moment,
    ) -> Result<Vec<[SideHosts; 2]>> {
        self.read(move |tables, seen| {
            let mut seen = SlotsSeen::of(tables, seen, now);
            let mut sides = vec![<[SideHosts; 2]>::default(); plan.rollouts.len()];
            let began: Vec<u32> =
                plan.rollouts.iter().map(|rollout| seconds(rollout.stage_began_at.minus(LOST_AFTER))).collect();
            let lost_before = seconds(now.minus(LOST_AFTER));
            let mut assignments: HashMap<(u32, u32), Assignment> = HashMap::new();
            let mut touched: HashMap<((u32, u32), Cohorts), Vec<bool>> = HashMap::new();
            for slot in &tables.hosts {
                let likeness = tables.likeness(slot);
                let assignment = assignments.entry(likeness).or_insert_with(|| tables.assignment(likeness));
                let cohorts = plan.cohorts_of(tables.id(slot), assignment);
                let touched = touched.entry((likeness, cohorts)).or_insert_with(|| {
                    let of_host = Assignment { cohorts, ..assignment.clone() };
                    (0..plan.rollouts.len()).map(|position| plan.is_touched(position, &of_host)).collect()
                });
                if !touched.contains(&true) {
                    continue;
                }
                let (second, is_online) = (seen.at(slot), seen.is_in(slot, HostState::Online));
                for (position, sides) in sides.iter_mut().enumerate() {
                    if !touched.get(position).is_some_and(|is_touched| *is_touched) {
                        continue;
                    }
                    let side = &mut sides[usize::from(cohorts.has(position))];
                    side.hosts += 1;
                    side.online += i64::from(is_online);
                    let is_followed = began.get(position).is_some_and(|began| second >= *began);
                    side.followed += i64::from(is_followed);
                    side.lost += i64::from(is_followed && second < lost_before);
                }
            }
            sides
        })
        .await
    }
}
