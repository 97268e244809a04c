//! Applies the documents that were made of Fleet's rows.

use std::collections::HashSet;

use muster_api::rest::{Action, Applied, Change};
use muster_api::spec::DocumentKind;
use serde_json::Value;

use super::documents::Converted;
use super::prune::{named, prune};
use super::report::{ImportReport, KeptObject};
use super::{IMPORTER, ImportWish, Importer};
use crate::fleet::access::Principal;
use crate::fleet::apply::ApplyWish;
use crate::fleet::changes::ObjectKind;
use crate::fleet::packs::GLOBAL;
use crate::fleet::{Error, Result};
use crate::store::entity::{labels, packs, queries};
use crate::store::{self, activities, object_changes, settings};

/// How often documents are tried without what was refused before: each time something else may come to light.
const ATTEMPTS: usize = 8;

const DRY_RUN: ApplyWish = ApplyWish { dry_run: true, force: false, max_deletes: None, delete_unnamed: false };

impl Importer {
    /// Applies documents, without what this server refuses and what was changed here.
    pub(super) async fn objects(
        &self,
        principal: &Principal,
        made: Converted,
        wish: ImportWish,
        report: &mut ImportReport,
    ) -> Result<()> {
        let Converted { mut documents, left, notes, .. } = made;
        report.left.extend(left);
        report.notes.extend(notes);
        let mut plan = self.planned(principal, &mut documents, report).await?;
        if !wish.overwrite {
            report.kept = self.changed_here(&plan).await?;
            if !report.kept.is_empty() {
                let kept: HashSet<(&str, &str)> =
                    report.kept.iter().map(|kept| (kept.kind.as_str(), kept.name.as_str())).collect();
                documents.retain(|document| {
                    let name = document["spec"]["name"].as_str().unwrap_or_default();
                    !kept.contains(&(document["kind"].as_str().unwrap_or_default(), name))
                });
                plan = self.planned(principal, &mut documents, report).await?;
            }
        }
        let notes = |plan: &Applied| -> Vec<String> {
            plan.warnings.iter().map(|warning| named(&documents, &warning.name, &warning.reason)).collect()
        };
        report.notes.extend(notes(&plan));
        if !wish.dry_run {
            plan = self.applier.apply(principal, documents, ApplyWish::default()).await?;
        }
        report.objects = plan.changes;
        Ok(())
    }

    /// What applying the documents would change; what is refused is taken out of them.
    async fn planned(
        &self,
        principal: &Principal,
        documents: &mut Vec<Value>,
        report: &mut ImportReport,
    ) -> Result<Applied> {
        for _ in 0..ATTEMPTS {
            match self.applier.apply(principal, documents.clone(), DRY_RUN).await {
                Err(Error::Invalid(problems)) => match prune(documents, &problems) {
                    Some(left) => report.left.extend(left),
                    None => return Err(Error::Invalid(problems)),
                },
                outcome => return outcome,
            }
        }
        self.applier.apply(principal, documents.clone(), DRY_RUN).await
    }

    /// Objects that would change, and that somebody else has changed last.
    async fn changed_here(&self, plan: &Applied) -> Result<Vec<KeptObject>> {
        let mut kept = Vec::new();
        for change in plan.changes.iter().filter(|change| change.action == Action::Changed) {
            if !self.is_as_imported(change).await? {
                let Change { kind, name, fields, .. } = change.clone();
                kept.push(KeptObject { kind, name, fields });
            }
        }
        Ok(kept)
    }

    /// Whether an import was the last to change an object, or nobody has chosen it.
    async fn is_as_imported(&self, change: &Change) -> Result<bool> {
        let db = self.store.reader();
        let id = |id: Option<i64>| id.unwrap_or_default();
        let (kind, id) = match DocumentKind::parse(&change.kind) {
            Some(DocumentKind::Query) => {
                let row = store::named::by_name::<queries::Entity>(db, &change.name).await?;
                (ObjectKind::Query, id(row.map(|row| row.id)))
            }
            Some(DocumentKind::Pack) => {
                let row = store::named::by_name::<packs::Entity>(db, &change.name).await?;
                (ObjectKind::Pack, id(row.map(|row| row.id)))
            }
            Some(DocumentKind::GlobalSchedule) => {
                // A server has one, even if nobody has put anything into it.
                let Some(row) = store::named::by_name::<packs::Entity>(db, GLOBAL).await? else { return Ok(true) };
                (ObjectKind::Pack, row.id)
            }
            Some(DocumentKind::Label) => {
                let row = store::named::by_name::<labels::Entity>(db, &change.name).await?;
                (ObjectKind::Label, id(row.map(|row| row.id)))
            }
            Some(DocumentKind::Options) => {
                let stored = settings::get(db, settings::APP_CONFIG).await?.unwrap_or_default();
                if self.schedule.built_in().chosen(&stored).is_none() {
                    return Ok(true);
                }
                (ObjectKind::Config, 0)
            }
            // Only what is not set here comes, and secrets are added.
            _ => return Ok(true),
        };
        self.is_last_changed_by_import(kind, id).await
    }

    pub(super) async fn is_last_changed_by_import(&self, kind: ObjectKind, id: i64) -> Result<bool> {
        let db = self.store.reader();
        let Some(last) = object_changes::of_object(db, kind.word(), id, None, 1).await?.pop() else { return Ok(false) };
        let activity = activities::by_id(db, last.activity_id).await?;
        Ok(activity.is_some_and(|activity| activity.actor_id.is_none() && activity.actor_name == IMPORTER))
    }
}
