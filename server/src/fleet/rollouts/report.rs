//! Tells a webhook of the steps of rollouts.

use std::time::Duration;

use serde_json::{Value, json};

use super::Rollouts;
use super::show::shown_decision;
use crate::fleet::Result;
use crate::store;
use crate::store::entity::rollouts::Model;
use crate::store::rollouts::UnreportedDecision;

/// Most steps that one call tells of.
const AT_ONCE: u64 = 20;

/// After so long a step is not told of any more.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 3600);

impl Rollouts {
    /// Tells the webhook of steps that it has not been told of, in their order. A step counts as told once the answer was a success,
    /// so it may be told twice. The leader calls it.
    ///
    /// # Errors
    /// When the database does not answer. A webhook that does not is tried again by the next call.
    pub async fn report_steps(&self) -> Result<()> {
        let Some(webhook) = &self.webhook else { return Ok(()) };
        let (now, store) = (self.changes.now(), self.changes.store());
        let since = now.minus(GIVEN_UP_AFTER);
        for UnreportedDecision { rollout, decision } in
            store::rollouts::unreported(store.reader(), since, AT_ONCE).await?
        {
            let id = decision.id;
            if let Err(error) = webhook.post(&message(&rollout, shown_decision(decision))).await {
                self.metrics.rollout_webhook("failed");
                tracing::warn!(rollout = rollout.name, %error, "the webhook of rollouts was not told of a step; it is tried again");
                return Ok(());
            }
            self.metrics.rollout_webhook("told");
            store.write(async |tx| store::rollouts::reported(tx, id, now).await).await?;
        }
        Ok(())
    }
}

/// What is posted. Chats show `text`.
fn message(rollout: &Model, decision: muster_api::rest::RolloutDecision) -> Value {
    let (name, stage) = (&rollout.name, decision.stage + 1);
    let by = if decision.actor.is_empty() { String::new() } else { format!(" by {}", decision.actor) };
    let why = if decision.reason.is_empty() { String::new() } else { format!(": {}", decision.reason) };
    let text = format!("Rollout {name:?}: {} in stage {stage}{by}{why}", decision.kind);
    json!({ "text": text, "rollout": { "id": rollout.id, "name": name }, "decision": decision })
}
