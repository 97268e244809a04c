//! Steps that operators take.

use muster_api::rest::Rollout;

use super::Rollouts;
use super::steps::{Figures, OpenRollout, RolloutStep, RolloutVerdict};
use crate::fleet::access::{Permission, Principal};
use crate::fleet::{Error, Result};
use crate::store;
use crate::store::entity::rollouts::{Model, RolloutStateWord};

/// What an operator wants of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutWish {
    Pause,
    Resume,
    /// Serve all hosts the old version again.
    Abort,
    /// Begin the next stage now, or end the last one.
    Promote,
}

impl Rollouts {
    /// Takes a step with the latest rollout of this name.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users who may not change what the rollout changes, [`Error::NotFound`], and [`Error::Invalid`] if it
    /// is over, or the step cannot be taken.
    pub async fn operate(&self, principal: &Principal, name: &str, wish: RolloutWish) -> Result<Rollout> {
        principal.may_steer(Permission::WriteSchedule)?;
        self.operate_row(principal, self.row(name).await?, wish).await
    }

    /// As [`Rollouts::operate`], with a rollout by its id: there may be a later one of its name.
    ///
    /// # Errors
    /// As there.
    pub async fn operate_by_id(&self, principal: &Principal, id: i64, wish: RolloutWish) -> Result<Rollout> {
        principal.may_steer(Permission::WriteSchedule)?;
        let row = store::rollouts::by_id(self.changes.reader(), id).await?;
        self.operate_row(principal, row.ok_or_else(|| Error::no_such("Rollout", id))?, wish).await
    }

    async fn operate_row(&self, principal: &Principal, row: Model, wish: RolloutWish) -> Result<Rollout> {
        let id = row.id;
        // Whoever asks a second time gets what the first has made.
        let is_so = match wish {
            RolloutWish::Pause => row.state == RolloutStateWord::Paused,
            RolloutWish::Resume => row.state == RolloutStateWord::Running,
            RolloutWish::Abort => row.state == RolloutStateWord::Reverted,
            RolloutWish::Promote => false,
        };
        if is_so {
            return self.by_id(principal, id).await;
        }
        if !matches!(row.state, RolloutStateWord::Running | RolloutStateWord::Paused) {
            return Err(Error::invalid("rollout", format!("is over: it is {}", row.state)));
        }
        let rollout = OpenRollout::read(row.clone())?;
        if rollout.change.options.is_some() {
            principal.may_steer(Permission::WriteConfig)?;
        }
        let step = match wish {
            RolloutWish::Pause => RolloutStep::Pause,
            RolloutWish::Resume => RolloutStep::Resume,
            RolloutWish::Abort => RolloutStep::Abort,
            RolloutWish::Promote => RolloutStep::Advance,
        };
        let figures = match self.verdicts(vec![row]).await {
            Ok(verdicts) => verdicts.into_iter().next().map(|(_, verdict)| verdict.figures).unwrap_or_default(),
            // It must be possible to abort a rollout at any time.
            Err(_) => Figures::default(),
        };
        self.take(principal, rollout, RolloutVerdict { step, reason: String::new(), figures }).await?;
        self.by_id(principal, id).await
    }
}
