//! Kept plans, shown again to whoever is to apply them.

use muster_api::rest::{Action, Applied, FieldError, ListedPlan, PlanSummary, ShownPlan};

use super::{ApplyWish, unreadable};
use crate::fleet::access::{Permission, Principal};
use crate::fleet::apply::{Applier, field_error};
use crate::fleet::{Error, Result};
use crate::store::plans;

impl Applier {
    /// The plans that can be applied, the latest first.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to those who may not apply any.
    pub async fn kept_plans(&self, principal: &Principal) -> Result<Vec<ListedPlan>> {
        principal.may(Permission::WriteSchedule)?;
        let found = plans::list(self.changes.reader(), self.changes.now()).await?;
        Ok(found.into_iter().map(listed).collect())
    }

    /// A plan as whoever made it was shown it, and whether applying it would still change that. Changes nothing, but waits for
    /// changes under way.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none; [`Error::Forbidden`] to those who may not apply its documents.
    pub async fn show_plan(&self, principal: &Principal, id: i64) -> Result<ShownPlan> {
        principal.may(Permission::WriteSchedule)?;
        let found = plans::get(self.changes.reader(), id, self.changes.now()).await?;
        let row = found.ok_or_else(|| Error::NotFound { kind: "Plan", key: id.to_string() })?;
        let applied: Option<Applied> =
            row.shown.as_deref().map(serde_json::from_str).transpose().map_err(unreadable(id))?;
        let plan = listed(plans::ListedPlan {
            id,
            created_at: row.created_at,
            expires_at: row.expires_at,
            author_email: row.author_email.clone(),
            is_forced: row.is_forced,
            summary: row.summary.clone(),
        });
        let wish = ApplyWish { dry_run: true, ..ApplyWish::default() };
        let refusals = match Box::pin(self.apply_kept(principal, row, wish)).await {
            Ok(_) => Vec::new(),
            Err(Error::Invalid(problems)) => problems.into_iter().map(field_error).collect(),
            Err(Error::Outdated(reason)) => vec![FieldError { name: "plan".to_owned(), reason }],
            Err(error) => return Err(error),
        };
        Ok(ShownPlan { plan, applied, is_good: refusals.is_empty(), refusals })
    }
}

/// What was shown, and its numbers, as they are kept.
pub(super) fn texts(applied: &Applied) -> Result<(String, String)> {
    let json = |error| Error::Internal(Box::new(error));
    let shown = serde_json::to_string(applied).map_err(json)?;
    Ok((shown, serde_json::to_string(&summary(applied)).map_err(json)?))
}

fn summary(applied: &Applied) -> PlanSummary {
    let count = |action| applied.changes.iter().filter(|change| change.action == action).count() as u64;
    PlanSummary {
        created: count(Action::Created),
        changed: count(Action::Changed),
        deleted: count(Action::Deleted),
        unchanged: count(Action::Unchanged),
        hosts: applied.hosts.as_ref().map(|hosts| hosts.changed),
    }
}

fn listed(row: plans::ListedPlan) -> ListedPlan {
    let plans::ListedPlan { id, created_at, expires_at, author_email, is_forced, summary } = row;
    let (created_at, expires_at) = (created_at.to_utc(), expires_at.to_utc());
    // What a newer version has written in another way is left out.
    let summary = summary.as_deref().and_then(|text| serde_json::from_str(text).ok());
    ListedPlan { id, created_at, expires_at, author: author_email, force: is_forced, summary }
}
