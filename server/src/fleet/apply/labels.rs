use std::collections::BTreeSet;

use muster_api::rest::Action;
use muster_api::spec::{LabelMembership, LabelSpec, LabelType};
use sea_orm::{Set, Unchanged};
use serde_json::json;

use super::{ApplyRun, Located, of_kind};
use crate::fleet::labels::{check, is_of_other_version, refusal, row};
use crate::fleet::names::check_short;
use crate::fleet::{Result, path, specs};
use crate::store::case::ByName;
use crate::store::{self, entity, hosts::NamedHost};

/// Whether hosts are asked for a label that were not asked for it before.
fn is_found_otherwise(old: &LabelSpec, new: &LabelSpec) -> bool {
    let is_dynamic = |spec: &LabelSpec| spec.label_membership_type == LabelMembership::Dynamic;
    is_dynamic(new) && (!is_dynamic(old) || old.platform != new.platform)
}

impl ApplyRun<'_> {
    pub(super) async fn labels(&mut self, documents: &[Located]) -> Result<()> {
        if of_kind!(documents, Label).next().is_none() {
            return Ok(());
        }
        let existing: ByName<LabelSpec> =
            specs::labels(self.tx).await?.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        let rows = store::named::all::<entity::labels::Entity>(self.tx).await?;
        let unknown: ByName<()> =
            rows.into_iter().filter(|row| specs::label_kind(row).is_none()).map(|row| (row.name, ())).collect();
        for (document, spec) in of_kind!(documents, Label) {
            let old = existing.get(&spec.name);
            if is_built_in_here(spec, old) {
                if let Some(old) = old.filter(|old| !differs(old, spec)) {
                    self.note(document, (0, &spec.name), Some(old), old)?;
                    continue;
                }
                let reason = format!("skipped: label {:?} is built in, so the server decides what it is", spec.name);
                self.warn(document.path("name"), reason);
                self.ignore(document, &spec.name);
                continue;
            }
            check(|key| document.path(key), spec, &mut self.problems);
            if unknown.contains_key(&spec.name) {
                self.problems.push(is_of_other_version(document.path("name"), &spec.name));
            }
            self.problems.extend(old.and_then(|old| refusal(document.path("name"), &spec.name, Some(old.label_type))));
            let (spec, members) = self.with_members(document, spec, old).await?;
            let id = spec.id.unwrap_or_default();
            let mut action = self.note(document, (id, &spec.name), old, &spec)?;
            if action == Action::Unchanged && self.have_changed(&spec, members.as_ref()).await? {
                // Hosts that the label names have come or gone since.
                action = self.as_changed("hosts");
            }
            if action == Action::Unchanged || !self.problems.is_empty() {
                continue;
            }
            let label_id = self.write_label(&spec, old).await?;
            if action == Action::Created {
                self.objects.identify_last(label_id);
            }
            if let Some(members) = members {
                self.set_members(label_id, members).await?;
                let names = spec.hosts.as_deref().unwrap_or_default();
                store::labels::set_host_names(self.tx, label_id, names).await?;
            }
        }
        Ok(())
    }

    /// The spec as it will read back, and the ids of its hosts. Names of hosts that are not there are kept and warned of.
    async fn with_members(
        &mut self,
        document: &Located,
        spec: &LabelSpec,
        old: Option<&LabelSpec>,
    ) -> Result<(LabelSpec, Option<BTreeSet<i64>>)> {
        // An id in the file is what some server said once; it changes nothing.
        let mut spec = LabelSpec { id: old.and_then(|old| old.id), ..spec.clone() };
        match spec.label_membership_type {
            LabelMembership::Dynamic => {
                spec.hosts = None;
                return Ok((spec, old.and_then(|old| old.hosts.is_some().then(BTreeSet::new))));
            }
            LabelMembership::Manual => {}
        }
        let Some(words) = spec.hosts.take() else {
            spec.hosts = Some(old.and_then(|old| old.hosts.clone()).unwrap_or_default());
            return Ok((spec, None));
        };
        let words: Vec<String> = words.iter().map(|word| word.trim().to_owned()).collect();
        let found = store::hosts::named_many(self.tx, &words).await?;
        let mut members = BTreeSet::new();
        let mut names = BTreeSet::new();
        for (position, word) in words.into_iter().enumerate() {
            let at = path::item(&document.path("hosts"), position);
            match found.get(&word) {
                _ if word.is_empty() => continue,
                Some(NamedHost::One { id, .. }) => {
                    members.insert(*id);
                }
                Some(NamedHost::Several) => {
                    self.problem(at, format!("more than one host is called {word:?}; use its identifier or UUID"));
                }
                None => {
                    check_short(&at, &word, &mut self.problems);
                    self.warn(at, format!("no host is called {word:?}; the label keeps the name, apply it again when the host is there"));
                }
            }
            names.insert(word);
        }
        spec.hosts = Some(names.into_iter().collect());
        Ok((spec, Some(members)))
    }

    /// Whether a label that reads the same has other members now.
    async fn have_changed(&self, spec: &LabelSpec, members: Option<&BTreeSet<i64>>) -> Result<bool> {
        let (Some(id), Some(members)) = (spec.id, members) else { return Ok(false) };
        let current = store::labels::members(self.tx, id).await?;
        Ok(!members.iter().eq(&current))
    }

    async fn write_label(&mut self, spec: &LabelSpec, old: Option<&LabelSpec>) -> Result<i64> {
        let mut label = row(spec, old, self.now);
        match old.and_then(|old| old.id) {
            Some(id) => {
                label.id = Unchanged(id);
                if old.is_some_and(|old| is_found_otherwise(old, spec)) {
                    // As a new one: no host was asked for it.
                    label.created_at = Set(self.now);
                }
                store::named::update(self.tx, label).await?;
                Ok(id)
            }
            None => {
                label.created_at = Set(self.now);
                Ok(store::named::insert(self.tx, label).await?)
            }
        }
    }

    async fn set_members(&mut self, label_id: i64, wanted: BTreeSet<i64>) -> Result<()> {
        let current: BTreeSet<i64> = store::labels::members(self.tx, label_id).await?.into_iter().collect();
        let added: Vec<i64> = wanted.difference(&current).copied().collect();
        let removed: Vec<i64> = current.difference(&wanted).copied().collect();
        self.rests_on(&json!([added, removed]));
        self.touched_hosts.extend(added.iter().chain(&removed));
        self.label_moves.add(label_id, &added, &removed);
        store::labels::add_members(self.tx, added.into_iter().map(|host_id| (label_id, host_id))).await?;
        store::labels::remove_members(self.tx, label_id, removed).await?;
        Ok(())
    }
}

/// Whether a document is about a label that the server makes: one of its own, or one that only Fleet makes.
fn is_built_in_here(spec: &LabelSpec, old: Option<&LabelSpec>) -> bool {
    spec.label_type == LabelType::Builtin && old.is_none_or(|old| old.label_type == LabelType::Builtin)
}

/// Whether a document would change a built-in label.
fn differs(old: &LabelSpec, spec: &LabelSpec) -> bool {
    (&old.description, &old.platform, &old.query) != (&spec.description, &spec.platform, &spec.query)
}
