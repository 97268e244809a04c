use crate::clock::Moment;
use crate::fleet::rollouts::stages::Stage;
use crate::fleet::schedule::RolloutChange;
use crate::fleet::specs::to_value;
use crate::fleet::{Error, Result};
use crate::store::Tx;
use crate::store::entity::rollout_decisions::DecisionWord;
use crate::store::entity::rollouts::{Model, RolloutStateWord};
use crate::store::rollouts::{self, NewRolloutDecision};

/// A rollout that is about to begin.
pub(in crate::fleet) struct NewRollout<'a> {
    pub name: &'a str,
    /// The spec, as JSON.
    pub document: String,
    pub stages: Vec<Stage>,
    pub change: RolloutChange,
    pub actor: &'a str,
}

impl NewRollout<'_> {
    /// Adds it, in its first stage. Hosts of that are served the new version once this is committed.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn begin(self, tx: &Tx, now: Moment) -> Result<()> {
        let Self { name, document, stages, change, actor } = self;
        let first = stages.first().ok_or_else(|| Error::invalid("cohorts", "there is no stage"))?;
        let row = Model {
            id: 0,
            name: name.to_owned(),
            state: RolloutStateWord::Running,
            stage: 0,
            revision: 0,
            began_at: now,
            stage_began_at: now,
            ended_at: None,
            remains_until: None,
            cohort: to_value(&first.cohort)?.to_string(),
            stages: to_value(&stages)?.to_string(),
            document,
            change: to_value(&change)?.to_string(),
        };
        let rollout_id = rollouts::add(tx, row).await?;
        let decision = NewRolloutDecision {
            rollout_id,
            at: now,
            stage: 0,
            kind: DecisionWord::Began,
            actor: actor.to_owned(),
            reason: String::new(),
            figures: String::new(),
        };
        Ok(rollouts::decide(tx, decision).await?)
    }
}
