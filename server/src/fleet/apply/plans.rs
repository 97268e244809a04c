//! Plans: documents that were tried, and are applied later if that changes the very same.
//!
//! A plan keeps a mark of each outcome of its documents: what was there, and what becomes of it. Applying it goes the usual way,
//! and works out the same marks in the transaction that writes: if one differs, nothing is changed. So whatever the documents
//! touch is compared with what is there then, with the SQL of saved queries that their packs and schedules name, and nothing else.

mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use muster_api::rest::{Action, Applied, ApplyPlan, Change};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Applier, ApplyWish, Expected, Ran, check_count, parse};
use crate::fleet::access::Principal;
use crate::fleet::changes::content_mark;
use crate::fleet::{Error, Result};
use crate::store::entity::plans::Model;
use crate::store::{self, plans};

/// How long a plan can be applied.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Most objects that a refusal names.
const NAMED: usize = 5;

/// The path of the problem when too many objects would be deleted.
pub(in crate::fleet) const MAX_DELETES: &str = "max_deletes";

/// What outcomes were worked out from, by their positions.
pub(super) type Marks = BTreeMap<usize, String>;

/// What an apply changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PlannedOutcome(BTreeSet<ObjectOutcome>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct ObjectOutcome {
    kind: String,
    name: String,
    /// What is done, and a digest of what was there and what becomes of it.
    mark: String,
}

/// The SQL of saved queries that packs and schedules of an apply run.
#[derive(Debug, Default)]
pub(super) struct RestsOn(BTreeSet<ObjectOutcome>);

impl RestsOn {
    pub fn add_query(&mut self, name: &str, sql: &str) {
        let mark = format!("sql {}", content_mark(&Value::from(sql)));
        self.0.insert(ObjectOutcome { kind: "query".to_owned(), name: name.to_owned(), mark });
    }
}

/// A plan that is applied.
#[derive(Debug)]
pub(super) struct KeptPlan {
    pub id: i64,
    outcome: PlannedOutcome,
}

impl PlannedOutcome {
    pub fn of(changes: &[(usize, Change)], marks: &Marks, rests: RestsOn) -> Self {
        let outcome = |(position, (_, change)): (usize, &(usize, Change))| {
            let mark = marks.get(&position).map(String::as_str).unwrap_or_default();
            let mark = format!("{}{mark}", word(change.action));
            ObjectOutcome { kind: change.kind.clone(), name: change.name.clone(), mark }
        };
        Self(changes.iter().enumerate().map(outcome).chain(rests.0).collect())
    }
}

fn word(action: Action) -> &'static str {
    match action {
        Action::Created => "+",
        Action::Changed => "~",
        Action::Unchanged => "=",
        Action::Deleted => "-",
        Action::Absent => "?",
        Action::Ignored => "!",
    }
}

impl KeptPlan {
    /// # Errors
    /// [`Error::Outdated`] if the documents would change something else by now.
    pub fn check(&self, now: &PlannedOutcome) -> Result<()> {
        let differing: BTreeSet<_> =
            self.outcome.0.symmetric_difference(&now.0).map(|outcome| (&outcome.kind, &outcome.name)).collect();
        if differing.is_empty() {
            return Ok(());
        }
        let named = differing.iter().take(NAMED).map(|(kind, name)| object(kind, name));
        let named = named.collect::<Vec<_>>().join(", ");
        let more = match differing.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Err(Error::Outdated(format!(
            "plan {} is out of date, and nothing was changed: since it was made, somebody has changed {named}{more}; make a new plan \
             with fleetctl plan -f, and look at it",
            self.id
        )))
    }
}

fn object(kind: &str, name: &str) -> String {
    if name.is_empty() { kind.to_owned() } else { format!("{kind} {name:?}") }
}

/// Refuses to delete too many objects.
///
/// # Errors
/// [`Error::Invalid`] that names some of them.
pub(super) fn check_deletes(changes: &[(usize, Change)], most: Option<u64>) -> Result<()> {
    let Some(most) = most else { return Ok(()) };
    let deleted: Vec<&Change> =
        changes.iter().map(|(_, change)| change).filter(|change| change.action == Action::Deleted).collect();
    if deleted.len() as u64 <= most {
        return Ok(());
    }
    let named = deleted.iter().take(NAMED).map(|change| object(&change.kind, &change.name));
    let named = named.collect::<Vec<_>>().join(", ");
    let reason = format!("is {most}, and more would be deleted ({} in all): {named}", deleted.len());
    Err(Error::invalid(MAX_DELETES, reason))
}

/// Makes the error of a plan that cannot be read.
fn unreadable(id: i64) -> impl Fn(serde_json::Error) -> Error {
    move |error| Error::from(store::Error::Corrupt { table: "plans", key: id.to_string(), reason: error.to_string() })
}

impl Applier {
    /// Keeps what applying `documents` would change.
    ///
    /// # Errors
    /// As for [`Applier::apply`].
    pub async fn plan(&self, principal: &Principal, documents: Vec<Value>, wish: ApplyWish) -> Result<ApplyPlan> {
        check_count(&documents)?;
        let text = serde_json::to_string(&documents).map_err(|error| Error::Internal(Box::new(error)))?;
        let wish = ApplyWish { dry_run: true, ..wish };
        let Ran { mut applied, outcome, queries, .. } =
            self.run(principal, move || parse::documents(documents), Expected::default(), wish).await?;
        applied.costs = Box::pin(self.changes.predict(queries)).await?;
        let outcome = serde_json::to_string(&outcome).map_err(|error| Error::Internal(Box::new(error)))?;
        let author_email = principal.user.email.clone();
        let (shown, summary) = shown::texts(&applied)?;
        let plan = plans::NewPlan {
            author_email,
            is_forced: wish.force,
            deletes_unnamed: wish.delete_unnamed,
            outcome,
            documents: text,
            shown,
            summary,
        };
        let now = self.changes.now();
        let expires_at = now.plus(LIFETIME);
        let id = self.changes.store().write(async |tx| {
            let id = plans::add(tx, now, expires_at, &plan).await?;
            plans::prune(tx, now).await?;
            Ok(id)
        });
        let id = id.await?;
        Ok(ApplyPlan { id, created_at: now.to_utc(), expires_at: expires_at.to_utc(), applied })
    }

    /// Applies the documents of a plan, if that changes what the plan says.
    ///
    /// # Errors
    /// [`Error::Outdated`] if it would change something else; [`Error::Invalid`] if there is no such plan; else as for
    /// [`Applier::apply`].
    pub async fn apply_plan(&self, principal: &Principal, id: i64, wish: ApplyWish) -> Result<Applied> {
        principal.may_apply(wish.dry_run)?;
        let found = plans::get(self.changes.reader(), id, self.changes.now()).await?;
        let plan = found.ok_or_else(|| {
            let hours = LIFETIME.as_secs() / 3600;
            Error::invalid(
                "plan",
                format!(
                    "there is no plan {id}: it was applied, is older than {hours} hours, or made room for newer ones; see fleetctl plan \
                     list"
                ),
            )
        })?;
        self.apply_kept(principal, plan, wish).await
    }

    async fn apply_kept(&self, principal: &Principal, plan: Model, wish: ApplyWish) -> Result<Applied> {
        let id = plan.id;
        let unreadable = unreadable(id);
        let documents: Vec<Value> = serde_json::from_str(&plan.documents).map_err(&unreadable)?;
        let outcome = serde_json::from_str(&plan.outcome).map_err(&unreadable)?;
        let expected = Expected { plan: Some(KeptPlan { id, outcome }), ..Expected::default() };
        let wish = ApplyWish { force: plan.is_forced, delete_unnamed: plan.deletes_unnamed, ..wish };
        Ok(self.run(principal, move || parse::documents(documents), expected, wish).await?.applied)
    }

    /// Removes plans that have expired.
    ///
    /// # Errors
    /// If the database does not answer; the next call removes them.
    pub async fn prune_plans(&self) -> Result<()> {
        let now = self.changes.now();
        Ok(self.changes.store().write(async |tx| plans::prune(tx, now).await).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(objects: &[(&str, Action, &str)]) -> PlannedOutcome {
        let changes: Vec<(usize, Change)> = (0..)
            .zip(objects)
            .map(|(index, (name, action, _))| {
                let (kind, name) = ("query".to_owned(), (*name).to_owned());
                (index, Change { kind, name, action: *action, ..Change::default() })
            })
            .collect();
        let marks = (0..).zip(objects).map(|(index, (.., mark))| (index, (*mark).to_owned())).collect();
        PlannedOutcome::of(&changes, &marks, RestsOn::default())
    }

    #[test]
    fn a_plan_names_what_has_changed_since() {
        let planned = [("a", Action::Changed, "1"), ("b", Action::Unchanged, ""), ("c", Action::Created, "2")];
        let plan = KeptPlan { id: 7, outcome: outcome(&planned) };
        assert!(plan.check(&outcome(&planned)).is_ok());
        for (now, named) in [
            ([("a", Action::Changed, "9"), planned[1], planned[2]], "query \"a\";"),
            ([("a", Action::Unchanged, ""), planned[1], planned[2]], "query \"a\";"),
            ([planned[0], ("b", Action::Changed, "3"), planned[2]], "query \"b\";"),
            ([("a", Action::Changed, "9"), planned[1], ("c", Action::Changed, "4")], "query \"a\", query \"c\";"),
        ] {
            let refusal = plan.check(&outcome(&now)).unwrap_err().to_string();
            assert!(refusal.starts_with("plan 7 is out of date") && refusal.contains(named), "{refusal}");
        }
        let names: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), Action::Created, "1")).collect();
        assert!(plan.check(&outcome(&many)).unwrap_err().to_string().contains(" and 18 more;"));
    }

    #[test]
    fn too_many_deletions_are_refused() {
        let change =
            |action| (0, Change { kind: "pack".to_owned(), name: "p".to_owned(), action, ..Change::default() });
        let changes = [Action::Deleted, Action::Deleted, Action::Absent, Action::Changed].map(change);
        assert!(check_deletes(&changes, None).is_ok() && check_deletes(&changes, Some(2)).is_ok());
        let refusal = check_deletes(&changes, Some(1)).unwrap_err().to_string();
        assert!(refusal.contains("max_deletes: is 1, and more would be deleted (2 in all): pack \"p\""), "{refusal}");
    }
}
