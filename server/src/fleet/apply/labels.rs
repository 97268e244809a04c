use std::collections::BTreeSet;

use muster_api::rest::Action;
use muster_api::spec::{LabelMembership, LabelSpec};
use sea_orm::{Set, Unchanged};

use super::{ApplyRun, Located, of_kind};
use crate::fleet::labels::{check, is_of_other_version, refusal, row};
use crate::fleet::{Result, path, specs};
use crate::store::case::ByName;
use crate::store::{self, entity, hosts::NamedHost};

impl ApplyRun<'_> {
    pub(super) async fn labels(&mut self, documents: &[Located]) -> Result<()> {
        if of_kind!(documents, Label).next().is_none() {
            return Ok(());
        }
        let existing: ByName<LabelSpec> =
            specs::labels(self.tx).await?.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        let rows = store::named::all::<entity::labels::Entity>(self.tx).await?;
        let unknown: BTreeSet<String> =
            rows.into_iter().filter(|row| specs::label_kind(row).is_none()).map(|row| row.name).collect();
        for (document, spec) in of_kind!(documents, Label) {
            check(|key| document.path(key), spec, &mut self.problems);
            let old = existing.get(&spec.name);
            let Some((spec, members)) = self.with_members(document, spec, old).await? else { continue };
            let action = self.note(document, &spec.name, old, &spec)?;
            if action == Action::Unchanged {
                continue;
            }
            if unknown.contains(&spec.name) {
                self.problems.push(is_of_other_version(document.path("name"), &spec.name));
            }
            let of_type = |label_type| refusal(document.path("name"), &spec.name, Some(label_type));
            self.problems.extend(of_type(spec.label_type).or_else(|| of_type(old?.label_type)));
            if !self.problems.is_empty() {
                continue;
            }
            let label_id = self.write_label(&spec, old).await?;
            if let Some(members) = members {
                self.set_members(label_id, members).await?;
            }
        }
        Ok(())
    }

    /// The spec with its hosts under their identifiers, as it will read back, and their ids. `None` if a host is unknown.
    async fn with_members(
        &mut self,
        document: &Located,
        spec: &LabelSpec,
        old: Option<&LabelSpec>,
    ) -> Result<Option<(LabelSpec, Option<BTreeSet<i64>>)>> {
        // An id in the file is what some server said once; it changes nothing.
        let mut spec = LabelSpec { id: old.and_then(|old| old.id), ..spec.clone() };
        match spec.label_membership_type {
            LabelMembership::Dynamic => {
                spec.hosts = None;
                return Ok(Some((spec, old.and_then(|old| old.hosts.is_some().then(BTreeSet::new)))));
            }
            LabelMembership::Manual => {}
        }
        let Some(words) = spec.hosts.take() else {
            spec.hosts = Some(old.and_then(|old| old.hosts.clone()).unwrap_or_default());
            return Ok(Some((spec, None)));
        };
        let found = store::hosts::named_many(self.tx, &words).await?;
        let mut members = BTreeSet::new();
        let mut identifiers = BTreeSet::new();
        let mut is_complete = true;
        for (position, word) in words.iter().enumerate() {
            let path = path::item(&document.path("hosts"), position);
            match found.get(word) {
                Some(NamedHost::One { id, identifier }) => {
                    members.insert(*id);
                    identifiers.insert(identifier.clone());
                }
                Some(NamedHost::Several) => {
                    is_complete = false;
                    self.problem(path, format!("more than one host is called {word:?}; use its identifier or UUID"));
                }
                None => {
                    is_complete = false;
                    self.problem(path, format!("no host is called {word:?}; see `fleetctl get hosts`"));
                }
            }
        }
        spec.hosts = Some(identifiers.into_iter().collect());
        Ok(is_complete.then_some((spec, Some(members))))
    }

    async fn write_label(&mut self, spec: &LabelSpec, old: Option<&LabelSpec>) -> Result<i64> {
        let mut label = row(spec, old, self.now);
        match old.and_then(|old| old.id) {
            Some(id) => {
                label.id = Unchanged(id);
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
        self.touched_hosts.extend(added.iter().chain(&removed));
        store::labels::add_members(self.tx, label_id, added).await?;
        store::labels::remove_members(self.tx, label_id, removed).await?;
        Ok(())
    }
}
