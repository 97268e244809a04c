//! Deletes what no document names, so that the documents are all there is.
//!
//! Packs, queries, labels that operators have made and entries of schedules are deleted; agent options and the expiry of hosts become
//! what the server starts with. Users, enroll secrets, and the name and address that the set-up asks for stay as they are unless a
//! document says otherwise. What a document names stays also if the document is skipped.

use std::collections::HashSet;

use muster_api::rest::{Action, Change};
use muster_api::spec::{DocumentKind, SpecDocument};
use serde_json::{Value, json};

use super::parse::ReadDocuments;
use super::rollouts::inner_documents;
use super::{ApplyRun, Located};
use crate::fleet::access::{Permission, Principal};
use crate::fleet::changes::Draft;
use crate::fleet::hosts::HOST_EXPIRY;
use crate::fleet::packs::is_of_own_schedules;
use crate::fleet::specs::{self, to_value};
use crate::fleet::{Error, Result, labels, packs, queries};
use crate::store::entity::labels::LabelTypeWord;
use crate::store::{self, case, entity, settings};

/// The position of what no document names: behind all documents.
pub(super) const UNNAMED: usize = usize::MAX;

/// The part of the configuration with the agent options.
const AGENT_OPTIONS: &str = "agent_options";

/// Whether operators have made a label; not so those of a type that this version does not know.
pub(super) fn is_ours(label: &entity::labels::Model) -> bool {
    matches!(label.label_type, LabelTypeWord::Regular)
}

/// Refuses to delete everything because there are no documents, and those who may not change all that may be deleted.
pub(super) fn check(principal: &Principal, read: &ReadDocuments, dry_run: bool) -> Result<()> {
    principal.may_write(Permission::WriteConfig, dry_run)?;
    principal.may_write(Permission::WriteSchedule, dry_run)?;
    if read.located.is_empty() && read.problems.is_empty() {
        let reason = "there are none that can be applied, so everything would be deleted; nothing was";
        return Err(Error::invalid("documents", reason));
    }
    Ok(())
}

/// Deletes what no document names, after all of them were applied. Schedules are done already.
pub(super) async fn delete(run: &mut ApplyRun<'_>, draft: &mut Draft<'_>, read: &ReadDocuments) -> Result<()> {
    if !run.problems.is_empty() {
        // Nothing of it will be kept.
        return Ok(());
    }
    run.reset_config(&read.located).await?;
    let named = Named::of(read);
    for pack in store::named::all::<entity::packs::Entity>(draft.tx).await? {
        if is_of_own_schedules(&pack.name) || named.has(DocumentKind::Pack, &pack.name) {
            continue;
        }
        let before = specs::pack_value(draft.tx, pack.id).await?;
        packs::delete(draft, &pack).await?;
        run.deleted(DocumentKind::Pack, &pack.name, &json!(before));
    }
    for query in store::named::all::<entity::queries::Entity>(draft.tx).await? {
        if !named.has(DocumentKind::Query, &query.name) {
            queries::delete(draft, String::new, &query, &mut run.problems).await?;
            run.deleted(DocumentKind::Query, &query.name, &to_value(&specs::query_spec(query.clone()))?);
        }
    }
    for label in store::named::all::<entity::labels::Entity>(draft.tx).await? {
        if is_ours(&label) && !named.has(DocumentKind::Label, &label.name) {
            labels::delete(draft, String::new, &label, &mut run.problems).await?;
            run.deleted(DocumentKind::Label, &label.name, &to_value(&specs::label_spec(label.clone()))?);
        }
    }
    Ok(())
}

/// The documents in rollouts.
pub(super) fn rolled_out(documents: &[Located]) -> Vec<Located> {
    let rollouts = documents.iter().filter_map(|document| match &document.spec {
        SpecDocument::Rollout(rollout) => Some(inner_documents(rollout)),
        _ => None,
    });
    rollouts.flatten().collect()
}

/// The objects that documents name, those of rollouts included.
struct Named(HashSet<(String, String)>);

impl Named {
    fn of(read: &ReadDocuments) -> Self {
        let name = |spec: &SpecDocument| {
            match spec {
                SpecDocument::Query(spec) => Some((DocumentKind::Query, &spec.name)),
                SpecDocument::Pack(spec) => Some((DocumentKind::Pack, &spec.name)),
                SpecDocument::Label(spec) => Some((DocumentKind::Label, &spec.name)),
                _ => None,
            }
            .map(|(kind, name)| (kind.as_str().to_owned(), case::fold(name)))
        };
        let skipped = read.ignored.iter().map(|(_, change)| (change.kind.clone(), case::fold(&change.name)));
        let rolled_out = rolled_out(&read.located);
        let specs = read.located.iter().chain(&rolled_out).map(|document| &document.spec);
        Self(specs.filter_map(name).chain(skipped).collect())
    }

    fn has(&self, kind: DocumentKind, name: &str) -> bool {
        self.0.contains(&(kind.as_str().to_owned(), case::fold(name)))
    }
}

impl ApplyRun<'_> {
    fn deleted(&mut self, kind: DocumentKind, name: &str, before: &Value) {
        self.outcome(UNNAMED, kind, name, Action::Deleted);
        self.rests_on(before);
    }

    /// Makes the outcome noted last a deletion of what has this name.
    pub(super) fn as_deleted(&mut self, name: &str) {
        if let Some((_, Change { name: noted, action, fields, differences, .. })) = self.changes.last_mut() {
            name.clone_into(noted);
            *action = Action::Deleted;
            fields.clear();
            differences.clear();
        }
    }

    /// Puts agent options and the expiry of hosts back to what the server starts with, as far as no document sets them.
    async fn reset_config(&mut self, documents: &[Located]) -> Result<()> {
        let configs = || {
            documents.iter().filter_map(|document| match &document.spec {
                SpecDocument::Config(config) => Some(config),
                _ => None,
            })
        };
        let part = |config: &Value, part: &str| config.get(part).filter(|part| !part.is_null()).cloned();
        let rolled_out = rolled_out(documents);
        let sets_options =
            documents.iter().chain(&rolled_out).any(|document| matches!(&document.spec, SpecDocument::Options(_)))
                || configs().any(|config| part(config, AGENT_OPTIONS).is_some());
        let expiry = configs().find_map(|config| part(config, HOST_EXPIRY));
        let stored = settings::get(self.tx, settings::APP_CONFIG).await?.unwrap_or_else(|| json!({}));
        if !sets_options {
            self.reset_part(AGENT_OPTIONS, |config| {
                config.remove(AGENT_OPTIONS);
            })
            .await?;
        }
        if stored.get(HOST_EXPIRY).is_none_or(Value::is_null) {
            return Ok(());
        }
        self.reset_part(HOST_EXPIRY, |config| match (&expiry, config.get_mut(HOST_EXPIRY)) {
            (Some(Value::Object(set)), Some(Value::Object(keys))) => {
                keys.retain(|key, _| set.get(key).is_some_and(|value| !value.is_null()));
            }
            _ => drop(config.remove(HOST_EXPIRY)),
        })
        .await
    }

    /// Changes a part of the configuration that no document sets, or not all of it.
    async fn reset_part(&mut self, name: &str, reset: impl FnOnce(&mut serde_json::Map<String, Value>)) -> Result<()> {
        let stored = settings::get(self.tx, settings::APP_CONFIG).await?.unwrap_or_else(|| json!({}));
        let mut kept = stored.clone();
        let Some(parts) = kept.as_object_mut() else { return Ok(()) };
        reset(parts);
        let (old, new) = (specs::shown_config(&stored, self.built_in), specs::shown_config(&kept, self.built_in));
        if old == new {
            return Ok(());
        }
        self.note_as(UNNAMED, DocumentKind::Config, (0, ""), Some(&old), &new)?;
        self.as_deleted(name);
        settings::set(self.tx, settings::APP_CONFIG, &kept, self.now).await?;
        self.retire(name, &stored, &kept).await
    }
}
