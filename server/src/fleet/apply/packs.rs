use std::collections::{BTreeSet, HashMap};

use muster_api::rest::Action;
use muster_api::spec::{PackQuery, PackSpec, PackTargets};
use sea_orm::{Set, Unchanged};

use super::{ApplyRun, Located, of_kind, unnamed};
use crate::fleet::packs::{check, check_not_global, row};
use crate::fleet::{Result, path, scheduled, specs};
use crate::store::case::ByName;
use crate::store::packs::TargetLabels;
use crate::store::{self, entity, entity::scheduled_queries};

impl ApplyRun<'_> {
    pub(super) async fn packs(&mut self, documents: &[Located]) -> Result<()> {
        if of_kind!(documents, Pack).next().is_none() {
            return Ok(());
        }
        let existing: ByName<PackSpec> =
            specs::packs(self.tx).await?.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        let names = self.pack_names(documents).await?;
        for (document, spec) in of_kind!(documents, Pack) {
            check(|key| document.path(key), spec, &mut self.problems, &mut self.warnings);
            check_not_global(document.path("name"), spec, &mut self.problems);
            self.check_references(|key| document.path(key), spec, &names);
            let old = existing.get(&spec.name);
            self.warn_of_idle(document, spec, old);
            let spec = names.normal(spec, old);
            let action = self.note(document, (spec.id.unwrap_or_default(), &spec.name), old, &spec)?;
            self.rests_on_sql(&spec, &names);
            if action == Action::Unchanged || !self.problems.is_empty() {
                continue;
            }
            let pack_id = self.write_pack(&spec, old, &names).await?;
            if action == Action::Created {
                self.objects.identify_last(pack_id);
            }
        }
        Ok(())
    }

    /// What packs may name, the documents of this apply included.
    pub(super) async fn pack_names(&self, documents: &[Located]) -> Result<PackNames> {
        let applied_queries: ByName<()> = of_kind!(documents, Query).map(|(_, spec)| (spec.name.clone(), ())).collect();
        let applied_labels: ByName<()> = of_kind!(documents, Label).map(|(_, spec)| (spec.name.clone(), ())).collect();
        let mut queries = store::named::all::<entity::queries::Entity>(self.tx).await?;
        let mut labels = store::named::all::<entity::labels::Entity>(self.tx).await?;
        if self.is_whole {
            // What is about to be deleted cannot be named.
            let rolled_out = unnamed::rolled_out(documents);
            let rolled_out: ByName<()> = of_kind!(rolled_out, Query).map(|(_, spec)| (spec.name.clone(), ())).collect();
            queries.retain(|row| applied_queries.contains_key(&row.name) || rolled_out.contains_key(&row.name));
            labels.retain(|row| !unnamed::is_ours(row) || applied_labels.contains_key(&row.name));
        }
        let mut sql = HashMap::new();
        let queries = queries.into_iter().map(|row| {
            sql.insert(row.id, row.query);
            (row.name, row.id)
        });
        Ok(PackNames {
            queries: queries.collect(),
            sql,
            applied_queries,
            labels: labels.into_iter().map(|row| (row.name, row.id)).collect(),
            applied_labels,
        })
    }

    /// Notes the SQL of saved queries that a pack runs: whoever planned the pack has seen it with that.
    pub(super) fn rests_on_sql(&mut self, spec: &PackSpec, names: &PackNames) {
        for query in &spec.queries {
            let named = names.queries.named(&query.query);
            if let Some((name, sql)) = named.and_then(|(name, id)| Some((name, names.sql.get(id)?))) {
                self.rests.add_query(name, sql);
            }
        }
    }

    /// Reports queries and labels that a pack names and that are not there; `path` gives the path of each of its keys.
    pub(super) fn check_references(&mut self, path: impl Fn(&str) -> String, spec: &PackSpec, names: &PackNames) {
        for (position, query) in spec.queries.iter().enumerate() {
            if !names.has_query(&query.query) {
                let path = path::member(&path::item(&path("queries"), position), "query");
                let hint = if self.is_whole { "; no document has it" } else { "" };
                self.problem(path, format!("cannot schedule unknown query {:?}{hint}", query.query));
            }
        }
        for (key, list) in spec.targets.lists() {
            for (position, label) in list.iter().enumerate() {
                if !names.has_label(label) {
                    self.problem(path::item(&path(&format!("targets.{key}")), position), no_such_label(label));
                }
            }
        }
    }

    /// Warns of a pack that no host runs, or that has nothing to run: both are usually forgotten keys.
    fn warn_of_idle(&mut self, document: &Located, spec: &PackSpec, old: Option<&PackSpec>) {
        // Targets of Fleet alone have a warning of their own.
        if spec.targets.are_none() && spec.targets.teams.is_empty() {
            let had_some = old.is_some_and(|old| !old.targets.are_none());
            let reason = match had_some {
                true => "no targets, so the pack is taken off every host; put the labels it had into targets.labels",
                false => "no targets, so no host runs it; name labels in targets.labels",
            };
            self.warn(document.path("targets"), reason);
        }
        if spec.queries.is_empty() {
            let had_some = old.is_some_and(|old| !old.queries.is_empty());
            let reason = match had_some {
                true => "no queries, so all that the pack scheduled are removed from it; list those to keep",
                false => "no queries, so hosts run nothing of it; list them",
            };
            self.warn(document.path("queries"), reason);
        }
    }

    pub(super) async fn write_pack(
        &mut self,
        spec: &PackSpec,
        old: Option<&PackSpec>,
        names: &PackNames,
    ) -> Result<i64> {
        let PackNames { queries, labels, .. } = names;
        let mut pack = row(spec, self.now)?;
        let pack_id = match old.and_then(|old| old.id) {
            Some(id) => {
                pack.id = Unchanged(id);
                store::named::update(self.tx, pack).await?;
                id
            }
            None => {
                pack.created_at = Set(self.now);
                store::named::insert(self.tx, pack).await?
            }
        };
        let ids = |names: &[String]| names.iter().filter_map(|name| labels.get(name).copied()).collect();
        let targets = TargetLabels {
            any: ids(&spec.targets.labels),
            all: ids(&spec.targets.labels_include_all),
            excluded: ids(&spec.targets.labels_exclude_any),
            has_unknown: false,
        };
        store::packs::set_targets(self.tx, pack_id, &targets).await?;
        let scheduled = spec
            .queries
            .iter()
            .filter_map(|query| Some(self.scheduled_row(pack_id, *queries.get(&query.query)?, query)))
            .collect();
        store::packs::set_scheduled(self.tx, pack_id, scheduled).await?;
        Ok(pack_id)
    }

    fn scheduled_row(&self, pack_id: i64, query_id: i64, query: &PackQuery) -> scheduled_queries::ActiveModel {
        scheduled_queries::ActiveModel {
            pack_id: Set(pack_id),
            created_at: Set(self.now),
            ..scheduled::row(query_id, query, self.now)
        }
    }
}

/// What packs may name: queries and labels that are there, with their ids, and those that are applied with them.
pub(super) struct PackNames {
    queries: ByName<i64>,
    /// By the id of the query.
    sql: HashMap<i64, String>,
    applied_queries: ByName<()>,
    labels: ByName<i64>,
    applied_labels: ByName<()>,
}

impl PackNames {
    pub fn has_query(&self, name: &str) -> bool {
        self.queries.contains_key(name) || self.applied_queries.contains_key(name)
    }

    pub fn has_label(&self, name: &str) -> bool {
        self.own_label_name(name).is_some()
    }

    /// The name that a label really has.
    pub fn own_label_name(&self, name: &str) -> Option<&str> {
        let own = self.labels.named(name).map(|(own, _)| own);
        own.or_else(|| self.applied_labels.named(name).map(|(own, ())| own))
    }

    /// The spec as it will read back.
    pub fn normal(&self, spec: &PackSpec, old: Option<&PackSpec>) -> PackSpec {
        let own_name =
            |of: &ByName<i64>, name: &String| of.named(name).map_or_else(|| name.clone(), |(own, _)| own.to_owned());
        let own_names = |lists: &[&Vec<String>]| -> Vec<String> {
            let names: BTreeSet<String> =
                lists.iter().copied().flatten().map(|name| own_name(&self.labels, name)).collect();
            names.into_iter().collect()
        };
        let targets = &spec.targets;
        let mut normal = spec.clone();
        normal.id = old.and_then(|old| old.id);
        normal.targets = PackTargets {
            labels: own_names(&[&targets.labels, &targets.labels_include_any]),
            labels_exclude_any: own_names(&[&targets.labels_exclude_any]),
            labels_include_all: own_names(&[&targets.labels_include_all]),
            ..PackTargets::default()
        };
        for query in &mut normal.queries {
            query.query = own_name(&self.queries, &query.query);
            if query.name == query.query {
                query.name.clear();
            }
        }
        normal
    }
}

pub(super) fn no_such_label(name: &str) -> String {
    format!("there is no label {name:?}; see `fleetctl get labels`")
}
