//! Steps that operators take.

use muster_api::rest::Rollout;

use super::Rollouts;
use super::steps::{Figures, OpenRollout, Step, Verdict};
use crate::fleet::access::{Permission, Principal};
use crate::fleet::{Error, Result};
use crate::store::entity::rollouts::RolloutStateWord;

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
        let row = self.row(name).await?;
        // Whoever asks a second time gets what the first has made.
        let is_so = match wish {
            RolloutWish::Pause => row.state == RolloutStateWord::Paused,
            RolloutWish::Resume => row.state == RolloutStateWord::Running,
            RolloutWish::Abort => row.state == RolloutStateWord::Reverted,
            RolloutWish::Promote => false,
        };
        if is_so {
            return self.status(principal, name).await;
        }
        if !matches!(row.state, RolloutStateWord::Running | RolloutStateWord::Paused) {
            return Err(Error::invalid("rollout", format!("is over: it is {}", row.state)));
        }
        let rollout = OpenRollout::read(row.clone())?;
        if rollout.change.options.is_some() {
            principal.may_steer(Permission::WriteConfig)?;
        }
        let step = match wish {
            RolloutWish::Pause => Step::Pause,
            RolloutWish::Resume => Step::Resume,
            RolloutWish::Abort => Step::Abort,
            RolloutWish::Promote => Step::Advance,
        };
        let figures = match self.verdicts(vec![row]).await {
            Ok(verdicts) => verdicts.into_iter().next().map(|(_, verdict)| verdict.figures).unwrap_or_default(),
            // It must be possible to abort a rollout at any time.
            Err(_) => Figures::default(),
        };
        self.take(principal, rollout, Verdict { step, reason: String::new(), figures }).await?;
        self.status(principal, name).await
    }
}
