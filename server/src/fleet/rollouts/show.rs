//! Rollouts as operators see them.

use muster_api::rest::{GateReading, Rollout, RolloutDecision, RolloutHosts, RolloutStage, RolloutState};
use serde::Deserialize;

use super::stages::Stage;
use super::{DECISIONS_SHOWN, KEPT, Rollouts};
use crate::fleet::access::{Permission, Principal};
use crate::fleet::schedule::RolloutChange;
use crate::fleet::{Error, Result};
use crate::store;
use crate::store::entity::rollout_decisions::Model as Decision;
use crate::store::entity::rollouts::{Model, RolloutStateWord};

impl Rollouts {
    /// The latest rollouts, the newest first.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users who may not read packs.
    pub async fn list(&self, principal: &Principal) -> Result<Vec<Rollout>> {
        principal.may(Permission::ReadPacks)?;
        let rows = store::rollouts::latest(self.changes.reader(), KEPT).await?;
        Ok(rows.into_iter().map(shown).collect())
    }

    /// The latest rollout of this name, with its gates as they are now and what was decided.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users who may not read packs, and [`Error::NotFound`].
    pub async fn status(&self, principal: &Principal, name: &str) -> Result<Rollout> {
        principal.may(Permission::ReadPacks)?;
        self.detail(self.row(name).await?).await
    }

    /// As [`Rollouts::status`], of a rollout by its id.
    ///
    /// # Errors
    /// As there.
    pub async fn by_id(&self, principal: &Principal, id: i64) -> Result<Rollout> {
        principal.may(Permission::ReadPacks)?;
        let row = store::rollouts::by_id(self.changes.reader(), id).await?;
        self.detail(row.ok_or_else(|| Error::no_such("Rollout", id))?).await
    }

    async fn detail(&self, row: Model) -> Result<Rollout> {
        let decisions = store::rollouts::decisions(self.changes.reader(), row.id, DECISIONS_SHOWN).await?;
        let mut rollout = shown(row.clone());
        rollout.decisions = decisions.into_iter().map(shown_decision).collect();
        let is_open = matches!(row.state, RolloutStateWord::Running | RolloutStateWord::Paused);
        match self.verdicts(if is_open { vec![row] } else { Vec::new() }).await {
            Ok(verdicts) => {
                for (_, verdict) in verdicts {
                    rollout.reason = verdict.reason;
                    rollout.hosts = Some(verdict.figures.hosts);
                    rollout.gates = verdict.figures.gates;
                }
            }
            // What was decided is there all the same.
            Err(Error::Unavailable(reason)) => rollout.reason = reason,
            Err(error) => return Err(error),
        }
        if rollout.hosts.is_none() && rollout.reason.is_empty() {
            rollout.reason = rollout.decisions.last().map(|last| last.reason.clone()).unwrap_or_default();
        }
        Ok(rollout)
    }

    pub(super) async fn row(&self, name: &str) -> Result<Model> {
        let row = store::rollouts::by_name(self.changes.reader(), name).await?;
        row.ok_or_else(|| Error::NotFound { kind: "Rollout", key: name.to_owned() })
    }
}

fn shown(row: Model) -> Rollout {
    let stages: Vec<Stage> = serde_json::from_str(&row.stages).unwrap_or_default();
    let stages = stages.into_iter().map(|stage| RolloutStage { title: stage.title, bake_secs: stage.bake_secs });
    let change: RolloutChange = serde_json::from_str(&row.change).unwrap_or_default();
    let packs = change.packs.iter().map(|pack| format!("pack {}", pack.new.name));
    Rollout {
        id: row.id,
        name: row.name,
        state: match row.state {
            RolloutStateWord::Running => RolloutState::Running,
            RolloutStateWord::Paused => RolloutState::Paused,
            RolloutStateWord::Done => RolloutState::Done,
            RolloutStateWord::Reverted => RolloutState::Reverted,
            RolloutStateWord::Unknown(_) => RolloutState::Unknown,
        },
        stage: row.stage,
        stages: stages.collect(),
        began_at: row.began_at.to_utc(),
        stage_began_at: row.stage_began_at.to_utc(),
        ended_at: row.ended_at.map(crate::clock::Moment::to_utc),
        changes: packs.chain(change.options.iter().map(|_| "agent options".to_owned())).collect(),
        reason: String::new(),
        hosts: None,
        gates: Vec::new(),
        decisions: Vec::new(),
    }
}

/// What a decision was made by, as it is stored.
#[derive(Default, Deserialize)]
struct StoredFigures {
    hosts: Option<RolloutHosts>,
    #[serde(default)]
    gates: Vec<GateReading>,
}

pub(super) fn shown_decision(row: Decision) -> RolloutDecision {
    let StoredFigures { hosts, gates } = serde_json::from_str(&row.figures).unwrap_or_default();
    RolloutDecision {
        at: row.at.to_utc(),
        stage: row.stage,
        kind: row.kind.as_str().to_owned(),
        actor: row.actor,
        reason: row.reason,
        hosts,
        gates,
    }
}
