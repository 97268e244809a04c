use std::collections::{BTreeSet, HashMap, HashSet};

use muster_api::rest::Action;
use muster_api::spec::{PackQuery, PackSpec};
use sea_orm::{Set, Unchanged};

use super::names::{
    check_description, check_name, check_pack_name, check_platform, check_scheduled_name, check_shard, check_sql,
    check_version,
};
use super::{Located, Run, of_kind, to_value};
use crate::fleet::{Result, place, specs};
use crate::store::{
    self,
    entity::{packs, scheduled_queries},
};

/// What agents allow, in seconds: up to a week.
const INTERVALS: std::ops::RangeInclusive<u32> = 1..=604_800;

impl Run<'_> {
    pub(super) async fn packs(&mut self, documents: &[Located]) -> Result<()> {
        if of_kind!(documents, Pack).next().is_none() {
            return Ok(());
        }
        let existing: HashMap<String, PackSpec> =
            specs::packs(self.tx).await?.into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        let queries: HashMap<String, i64> =
            store::queries::all(self.tx).await?.into_iter().map(|row| (row.name, row.id)).collect();
        let applied: HashSet<&str> = of_kind!(documents, Query).map(|(_, spec)| spec.name.as_str()).collect();
        let labels: HashMap<String, i64> =
            store::labels::all(self.tx).await?.into_iter().map(|row| (row.name, row.id)).collect();
        let applied_labels: HashSet<&str> = of_kind!(documents, Label).map(|(_, spec)| spec.name.as_str()).collect();
        for (document, spec) in of_kind!(documents, Pack) {
            self.check_pack(document, spec);
            for (position, query) in spec.queries.iter().enumerate() {
                if !queries.contains_key(&query.query) && !applied.contains(query.query.as_str()) {
                    let place = place::member(&place::item(&document.place("queries"), position), "query");
                    self.problem(place, format!("cannot schedule unknown query {:?}", query.query));
                }
            }
            for (position, label) in spec.targets.labels.iter().enumerate() {
                if !labels.contains_key(label) && !applied_labels.contains(label.as_str()) {
                    let place = place::item(&document.place("targets.labels"), position);
                    self.problem(place, format!("there is no label {label:?}; see `fleetctl get labels`"));
                }
            }
            let old = existing.get(&spec.name);
            let spec = normal(spec, old);
            let action = self.note(document, &spec.name, old, &spec)?;
            if action == Action::Unchanged || !self.problems.is_empty() {
                continue;
            }
            self.write_pack(&spec, old, &queries, &labels).await?;
        }
        Ok(())
    }

    fn check_pack(&mut self, document: &Located, spec: &PackSpec) {
        let problems = &mut self.problems;
        check_pack_name(&document.place("name"), &spec.name, problems);
        check_description(&document.place("description"), &spec.description, problems);
        check_platform(&document.place("platform"), &spec.platform, problems, &mut self.warnings);
        check_version(&document.place("version"), &spec.version, problems);
        check_shard(&document.place("shard"), spec.shard, problems);
        for (position, sql) in spec.discovery.iter().enumerate() {
            check_sql(&place::item(&document.place("discovery"), position), sql, problems);
        }
        if !spec.targets.teams.is_empty() {
            self.problem(document.place("targets.teams"), "there are no teams; target labels instead");
        }
        let mut names = HashSet::new();
        for (position, query) in spec.queries.iter().enumerate() {
            let place = |key: &str| place::member(&place::item(&document.place("queries"), position), key);
            self.check_scheduled(&place, query);
            if !names.insert(query.scheduled_name()) {
                let key = if query.name.is_empty() { "query" } else { "name" };
                self.problem(
                    place(key),
                    format!("{:?} is scheduled twice in this pack; give one another name", query.scheduled_name()),
                );
            }
        }
    }

    fn check_scheduled(&mut self, place: &impl Fn(&str) -> String, query: &PackQuery) {
        let problems = &mut self.problems;
        check_name(&place("query"), &query.query, problems);
        check_scheduled_name(
            &place(if query.name.is_empty() { "query" } else { "name" }),
            query.scheduled_name(),
            problems,
        );
        check_description(&place("description"), &query.description, problems);
        check_platform(&place("platform"), &query.platform, problems, &mut self.warnings);
        check_version(&place("version"), &query.version, problems);
        check_shard(&place("shard"), query.shard, problems);
        if !INTERVALS.contains(&query.interval) {
            let reason =
                format!("expects {} to {} seconds; agents skip anything else", INTERVALS.start(), INTERVALS.end());
            self.problem(place("interval"), reason);
        }
    }

    async fn write_pack(
        &mut self,
        spec: &PackSpec,
        old: Option<&PackSpec>,
        queries: &HashMap<String, i64>,
        labels: &HashMap<String, i64>,
    ) -> Result<()> {
        let mut pack = packs::ActiveModel {
            name: Set(spec.name.clone()),
            description: Set(spec.description.clone()),
            platform: Set(spec.platform.clone()),
            version: Set(spec.version.clone()),
            shard: Set(spec.shard.map(i64::from)),
            discovery: Set(to_value(&spec.discovery)?.to_string()),
            disabled: Set(spec.disabled),
            updated_at: Set(self.now),
            ..Default::default()
        };
        let pack_id = match old.and_then(|old| old.id) {
            Some(id) => {
                pack.id = Unchanged(id);
                store::packs::update(self.tx, pack).await?;
                id
            }
            None => {
                pack.created_at = Set(self.now);
                store::packs::insert(self.tx, pack).await?
            }
        };
        let label_ids: Vec<i64> = spec.targets.labels.iter().filter_map(|name| labels.get(name).copied()).collect();
        store::packs::set_targets(self.tx, pack_id, &label_ids).await?;
        let scheduled = spec
            .queries
            .iter()
            .filter_map(|query| Some(self.scheduled_row(pack_id, *queries.get(&query.query)?, query)))
            .collect();
        store::packs::set_scheduled(self.tx, pack_id, scheduled).await?;
        Ok(())
    }

    fn scheduled_row(&self, pack_id: i64, query_id: i64, query: &PackQuery) -> scheduled_queries::ActiveModel {
        scheduled_queries::ActiveModel {
            pack_id: Set(pack_id),
            query_id: Set(query_id),
            name: Set(query.scheduled_name().to_owned()),
            description: Set(query.description.clone()),
            interval_secs: Set(i64::from(query.interval)),
            snapshot: Set(query.snapshot),
            removed: Set(query.removed),
            denylist: Set(query.denylist),
            shard: Set(query.shard.map(i64::from)),
            platform: Set(query.platform.clone()),
            version: Set(query.version.clone()),
            created_at: Set(self.now),
            updated_at: Set(self.now),
            ..Default::default()
        }
    }
}

/// The spec as it will read back.
fn normal(spec: &PackSpec, old: Option<&PackSpec>) -> PackSpec {
    let labels: BTreeSet<String> = spec.targets.labels.iter().cloned().collect();
    let mut normal = spec.clone();
    normal.id = old.and_then(|old| old.id);
    normal.targets.labels = labels.into_iter().collect();
    for query in &mut normal.queries {
        if query.name == query.query {
            query.name.clear();
        }
    }
    normal
}
