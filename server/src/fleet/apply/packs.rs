use std::collections::BTreeSet;

use muster_api::rest::Action;
use muster_api::spec::{PackQuery, PackSpec, PackTargets};
use sea_orm::{Set, Unchanged};

use super::{ApplyBy, ApplyRun, Located, of_kind};
use crate::fleet::packs::{GLOBAL, check, check_not_global, row};
use crate::fleet::{Result, path, scheduled, specs};
use crate::store::case::ByName;
use crate::store::packs::TargetLabels;
use crate::store::{self, entity, entity::scheduled_queries};

impl ApplyRun<'_> {
    pub(super) async fn packs(&mut self, documents: &[Located]) -> Result<()> {
        if of_kind!(documents, Pack).next().is_none() {
            return Ok(());
        }
        let mut existing = specs::packs(self.tx).await?;
        if self.by == ApplyBy::Import
            && let Some(global) = store::named::by_name::<entity::packs::Entity>(self.tx, GLOBAL).await?
        {
            existing.push(specs::whole_pack(self.tx, global).await?);
        }
        let existing: ByName<PackSpec> = existing.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        let queries: ByName<i64> = store::named::all::<entity::queries::Entity>(self.tx)
            .await?
            .into_iter()
            .map(|row| (row.name, row.id))
            .collect();
        let applied: ByName<()> = of_kind!(documents, Query).map(|(_, spec)| (spec.name.clone(), ())).collect();
        let labels: ByName<i64> = store::named::all::<entity::labels::Entity>(self.tx)
            .await?
            .into_iter()
            .map(|row| (row.name, row.id))
            .collect();
        let applied_labels: ByName<()> = of_kind!(documents, Label).map(|(_, spec)| (spec.name.clone(), ())).collect();
        for (document, spec) in of_kind!(documents, Pack) {
            check(|key| document.path(key), spec, &mut self.problems, &mut self.warnings);
            if self.by == ApplyBy::Operator {
                check_not_global(document.path("name"), spec, &mut self.problems);
            }
            for (position, query) in spec.queries.iter().enumerate() {
                if !queries.contains_key(&query.query) && !applied.contains_key(&query.query) {
                    let path = path::member(&path::item(&document.path("queries"), position), "query");
                    self.problem(path, format!("cannot schedule unknown query {:?}", query.query));
                }
            }
            for (key, list) in spec.targets.lists() {
                for (position, label) in list.iter().enumerate() {
                    if !labels.contains_key(label) && !applied_labels.contains_key(label) {
                        let path = path::item(&document.path(&format!("targets.{key}")), position);
                        self.problem(path, format!("there is no label {label:?}; see `fleetctl get labels`"));
                    }
                }
            }
            let old = existing.get(&spec.name);
            self.warn_of_idle(document, spec, old);
            let spec = normal(spec, old, &queries, &labels);
            let action = self.note(document, (spec.id.unwrap_or_default(), &spec.name), old, &spec)?;
            if action == Action::Unchanged || !self.problems.is_empty() {
                continue;
            }
            let pack_id = self.write_pack(&spec, old, &queries, &labels).await?;
            if action == Action::Created {
                self.objects.identify_last(pack_id);
            }
        }
        Ok(())
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

    async fn write_pack(
        &mut self,
        spec: &PackSpec,
        old: Option<&PackSpec>,
        queries: &ByName<i64>,
        labels: &ByName<i64>,
    ) -> Result<i64> {
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

/// The spec as it will read back.
fn normal(spec: &PackSpec, old: Option<&PackSpec>, queries: &ByName<i64>, labels: &ByName<i64>) -> PackSpec {
    let own_name =
        |of: &ByName<i64>, name: &String| of.named(name).map_or_else(|| name.clone(), |(own, _)| own.to_owned());
    let own_names = |lists: &[&Vec<String>]| -> Vec<String> {
        let names: BTreeSet<String> = lists.iter().copied().flatten().map(|name| own_name(labels, name)).collect();
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
        query.query = own_name(queries, &query.query);
        if query.name == query.query {
            query.name.clear();
        }
    }
    normal
}
