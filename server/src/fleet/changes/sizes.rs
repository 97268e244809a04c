//! A config that no agent could load is refused before it is saved.

use std::collections::HashSet;
use std::sync::Arc;

use crate::clock::Moment;
use crate::fleet::hosts::Assignment;
use crate::fleet::schedule::{MAX_CONFIG_BYTES, Plan};
use crate::fleet::{Error, Result};
use crate::store;

/// Assembles what the hosts in memory would get, and the options of every platform alone.
pub(super) async fn check(tx: &store::Tx, assignments: &HashSet<Arc<Assignment>>, now: Moment) -> Result<()> {
    let plan = Plan::load(tx, now).await?;
    let alone = plan
        .platforms()
        .into_iter()
        .map(|platform| Assignment { platform: platform.into(), label_ids: Box::default() })
        .chain([Assignment::default()]);
    let every_pack = plan.packs.iter().map(|pack| Assignment {
        platform: Box::default(),
        label_ids: pack.label_ids.first().copied().into_iter().collect(),
    });
    let mut largest: Option<usize> = None;
    for assignment in alone.chain(every_pack).chain(assignments.iter().map(|assignment| (**assignment).clone())) {
        let bytes = plan.config(&assignment, usize::MAX).bytes.len();
        if bytes > MAX_CONFIG_BYTES {
            largest = largest.max(Some(bytes));
        }
    }
    match largest {
        None => Ok(()),
        Some(bytes) => Err(Error::invalid(
            "base",
            format!(
                "some hosts' config would have {bytes} bytes, and agents load at most {MAX_CONFIG_BYTES}; split packs over labels or shorten queries"
            ),
        )),
    }
}
