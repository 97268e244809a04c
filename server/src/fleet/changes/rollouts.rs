//! Refuses a change of what a rollout is about: it would be lost, or make the rollout something that nobody has looked at.

use crate::fleet::schedule::Plan;
use crate::fleet::{Error, Result};

/// # Errors
/// [`Error::Invalid`] with the name of the rollout.
pub(super) fn check(plan: &Plan) -> Result<()> {
    match plan.disturbed_rollout() {
        None => Ok(()),
        Some((rollout, what)) => Err(Error::invalid(
            "base",
            format!(
                "the rollout {:?} is changing {what}; wait until it is done, or abort it with `fleetctl rollout abort {:?}`",
                rollout.name, rollout.name
            ),
        )),
    }
}
