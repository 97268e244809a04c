//! Passing a change freeze with a reason.

use muster_api::rest::{FREEZE_OVERRIDE, Role};
use serde_json::json;

use super::change_gate::AttemptKind;
use super::{Access, Principal};
use crate::fleet::{Error, Result};
use crate::store::activities;

/// The kind of the activity that tells of a freeze that somebody passed.
const OVERRODE: &str = "overrode_freeze";

/// Longest reason, in characters.
const MAX_REASON: usize = 300;

/// Longest operation that is kept, in characters.
const MAX_OPERATION: usize = 200;

impl Access {
    /// The same user, whom no freeze refuses this request; an activity tells of it before anything is done. Whoever may not pass
    /// one, or does not need to, is given back as before.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a reason that says nothing or too much; if the activity cannot be written.
    pub async fn override_freeze(&self, principal: Principal, reason: &[u8], operation: &str) -> Result<Principal> {
        let may_override = self.gate.freezes.allow_override && principal.role == Some(Role::Admin);
        let Some(frozen) = self.gate.frozen(AttemptKind::Change).filter(|_| may_override) else {
            return Ok(principal);
        };
        let reason = checked(reason)?;
        let operation: String = operation.chars().take(MAX_OPERATION).collect();
        let (now, actor) = (self.clock.now(), principal.actor());
        let details = json!({
            "reason": reason, "operation": operation, "window": frozen.window, "until": frozen.until.to_utc(),
        });
        self.store.write(async |tx| activities::add(tx, now, &actor, OVERRODE, &details).await).await?;
        tracing::warn!(user = actor.email, reason, operation, window = &*frozen.window, "a change freeze was passed");
        Ok(Principal { passes_freezes: true, ..principal })
    }
}

fn checked(reason: &[u8]) -> Result<&str> {
    let text = std::str::from_utf8(reason).unwrap_or_default().trim();
    if text.is_empty() || text.chars().count() > MAX_REASON || text.chars().any(char::is_control) {
        let expected = format!("expects the reason for a change during a freeze, with 1 to {MAX_REASON} characters");
        return Err(Error::invalid(FREEZE_OVERRIDE, expected));
    }
    Ok(text)
}
