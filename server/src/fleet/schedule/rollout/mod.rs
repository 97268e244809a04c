//! Rollouts in the plan.
//!
//! The tables hold the old version of everything until a rollout is done; the new version is in the row of the rollout. A host
//! of the cohort is served the new version of what the rollout changes, every other host what it was served before: its config
//! is assembled from the same parts. What a config is made of is its key, so hosts whose config a rollout does not change share
//! it, whatever cohorts they are in.
//!
//! A rollout that was reverted goes on in one respect. Hosts keep options that are no longer in their config, so hosts of the
//! last cohort are served the defaults of those that only the new version had.

mod change;
mod cohort;
mod offered;

use sea_orm::ConnectionTrait;

pub(super) use change::OptionsReach;
pub use change::{OptionsChange, RolloutChange};
pub use cohort::{Cohort, Cohorts};
pub(super) use offered::{OfferedPack, offered, rollout_platforms};

use super::retired::Retired;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::hosts::Assignment;
use crate::store;
use crate::store::entity::rollouts::{Model, RolloutStateWord};

/// A rollout as it decides about configs.
#[derive(Debug, Clone)]
pub struct PlannedRollout {
    pub id: i64,
    pub name: String,
    /// The number of the stage, from 0.
    pub stage: i64,
    pub stage_began_at: Moment,
    /// Hosts that are served the new version, or were.
    pub cohort: Cohort,
    /// The labels that its stages name.
    pub(super) stage_label_ids: Vec<i64>,
    pub change: RolloutChange,
    pub(super) reach: OptionsReach,
    /// What hosts of the cohort may still have of the new options; `None` while the new version is served.
    pub(super) remains: Option<Retired>,
}

impl PlannedRollout {
    /// Whether hosts of the cohort are served the new version.
    pub fn is_served(&self) -> bool {
        self.remains.is_none()
    }

    pub fn has(&self, host_id: i64, assignment: &Assignment) -> bool {
        self.cohort.has(self.id, host_id, assignment)
    }
}

/// The rollouts that decide about configs, and when one of them ends to do so by itself. One that cannot be read is left out:
/// its hosts are served what all others are.
pub(super) async fn load(db: &impl ConnectionTrait, now: Moment) -> Result<(Vec<PlannedRollout>, Moment)> {
    let (mut rollouts, mut outdated_at) = (Vec::new(), Moment(i64::MAX));
    for row in store::rollouts::in_force(db, now).await? {
        if rollouts.len() == Cohorts::MOST {
            break;
        }
        if let Some((rollout, until)) = read(&row, now) {
            rollouts.push(rollout);
            outdated_at = outdated_at.min(until);
        }
    }
    Ok((rollouts, outdated_at))
}

/// What decides of a stage as it is stored.
#[derive(serde::Deserialize)]
struct StageCohort {
    cohort: Cohort,
}

fn read(row: &Model, now: Moment) -> Option<(PlannedRollout, Moment)> {
    let change: Option<RolloutChange> = serde_json::from_str(&row.change).ok();
    let cohort: Option<Cohort> = serde_json::from_str(&row.cohort).ok();
    let (Some(change), Some(cohort)) = (change, cohort) else {
        tracing::warn!(rollout = row.name, "a rollout that this version cannot read is left out; abort it");
        return None;
    };
    let (remains, until) = match &row.state {
        RolloutStateWord::Running | RolloutStateWord::Paused => {
            let retired = change.options.as_ref().map_or_else(Retired::default, |options| options.retired.clone());
            (None, retired.at(now).1)
        }
        RolloutStateWord::Reverted => {
            let (remains, until) = change.remains(row.ended_at.unwrap_or(now)).at(now);
            (Some(remains), until)
        }
        // Finished ones are in the tables. One in a state of a newer version is left to nodes that know it.
        RolloutStateWord::Done | RolloutStateWord::Unknown(_) => return None,
    };
    let mut change = change;
    if let Some(options) = &mut change.options {
        options.retired = std::mem::take(&mut options.retired).at(now).0;
    }
    let (id, name) = (row.id, row.name.clone());
    let (stage, stage_began_at) = (row.stage, row.stage_began_at);
    let reach = OptionsReach::of(&change);
    let stages: Vec<StageCohort> = serde_json::from_str(&row.stages).unwrap_or_default();
    // The last stage has those of all others.
    let stage_label_ids = stages.last().map(|stage| stage.cohort.label_ids().to_vec()).unwrap_or_default();
    let rollout = PlannedRollout { id, name, stage, stage_began_at, cohort, stage_label_ids, change, reach, remains };
    Some((rollout, until))
}

#[cfg(test)]
mod tests;
