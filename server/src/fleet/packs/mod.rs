//! Packs: sets of scheduled queries and the labels whose hosts run them.

mod narrowed;
mod rules;

pub(super) use narrowed::{Narrowing, is_of_own_schedules};
pub(super) use rules::{GLOBAL, TWICE, check, check_not_global, quoted, row};

use std::collections::{BTreeSet, HashMap, HashSet};

use muster_api::rest::{Pack, PackInput, QueryPack};
use muster_api::spec::PackSpec;
use sea_orm::{ConnectionTrait, Set, Unchanged};
use serde_json::json;

use super::access::{Permission, Principal};
use super::changes::{Changes, Draft, ObjectChange, ObjectKind};
use super::error::none_of;
use super::hosts::{ALL_HOSTS, TargetGroups};
use super::listing::listed;
use super::resource::{PlanResource, check_name_free};
use super::{Error, Problem, Result, specs};
use crate::clock::Moment;
use crate::store::entity::packs;
use crate::store::packs::TargetLabels;
use crate::store::{self, entity};

/// All packs but the global schedule, by the queries they schedule.
pub(super) async fn by_query(db: &impl ConnectionTrait) -> Result<HashMap<i64, Vec<QueryPack>>> {
    let packs: HashMap<i64, packs::Model> = visible(db).await?.into_iter().map(|pack| (pack.id, pack)).collect();
    let pairs: BTreeSet<(i64, i64)> =
        store::packs::all_scheduled(db).await?.into_iter().map(|row| (row.query_id, row.pack_id)).collect();
    let mut by_query: HashMap<i64, Vec<QueryPack>> = HashMap::new();
    for (query_id, pack_id) in pairs {
        let Some(pack) = packs.get(&pack_id) else { continue };
        by_query.entry(query_id).or_default().push(QueryPack {
            created_at: pack.created_at.to_utc(),
            updated_at: pack.updated_at.to_utc(),
            id: pack.id,
            name: pack.name.clone(),
            description: pack.description.clone(),
            platform: pack.platform.clone(),
            disabled: pack.disabled,
        });
    }
    Ok(by_query)
}

/// All packs but the global schedule.
pub(super) async fn visible(db: &impl ConnectionTrait) -> Result<Vec<packs::Model>> {
    let mut packs = store::named::all::<packs::Entity>(db).await?;
    packs.retain(|pack| pack.name != GLOBAL);
    Ok(packs)
}

/// The pack of the global schedule, targeted at all hosts; created if it does not exist.
pub(super) async fn global(db: &impl ConnectionTrait, now: Moment) -> Result<packs::Model> {
    if let Some(pack) = store::named::by_name::<packs::Entity>(db, GLOBAL).await? {
        return Ok(pack);
    }
    let spec = PackSpec { name: GLOBAL.to_owned(), ..PackSpec::default() };
    let id = store::named::insert(db, packs::ActiveModel { created_at: Set(now), ..row(&spec, now)? }).await?;
    let all_hosts = store::named::by_name::<entity::labels::Entity>(db, ALL_HOSTS).await?;
    let all_hosts = all_hosts.ok_or_else(|| Error::Unavailable(format!("the label {ALL_HOSTS:?} is not there yet")))?;
    store::packs::set_targets(db, id, &TargetLabels::any(vec![all_hosts.id])).await?;
    store::named::by_id::<packs::Entity>(db, id).await?.ok_or_else(|| Error::no_such(Packs::KIND, id))
}

/// The hosts of those of these packs that are enabled.
pub(super) async fn hosts_of_enabled(db: &impl ConnectionTrait, pack_ids: &BTreeSet<i64>) -> Result<Vec<TargetGroups>> {
    if pack_ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = store::named::all::<packs::Entity>(db).await?;
    let enabled: HashSet<i64> =
        rows.into_iter().filter(|pack| !pack.disabled && pack_ids.contains(&pack.id)).map(|pack| pack.id).collect();
    let targets = store::packs::all_targets(db).await?.into_iter();
    Ok(targets.filter(|(pack_id, _)| enabled.contains(pack_id)).map(|(_, targets)| hosts_of(&targets)).collect())
}

/// The hosts that labels choose. Those of which it is not known yet whether a label leaves them out are among them.
fn hosts_of(targets: &TargetLabels) -> TargetGroups {
    if targets.has_unknown || targets.is_empty() {
        return TargetGroups::default();
    }
    let any = (!targets.any.is_empty()).then(|| targets.any.clone());
    TargetGroups {
        all: targets.any.is_empty() && targets.all.is_empty(),
        label_lists: any.into_iter().chain(targets.all.iter().map(|id| vec![*id])).collect(),
        excluded_labels: targets.excluded.clone(),
        ..TargetGroups::default()
    }
}

/// Keeps with the activity what differs in a pack, its targets and its schedule, since it read as `before`.
pub(super) async fn keep(draft: &mut Draft<'_>, id: i64, name: &str, before: Option<serde_json::Value>) -> Result<()> {
    let after = specs::pack_value(draft.tx, id).await?;
    draft.objects.add(ObjectChange { kind: ObjectKind::Pack, id, name: name.to_owned(), before, after })
}

/// Deletes a pack with its schedule.
pub(super) async fn delete(draft: &mut Draft<'_>, pack: &packs::Model) -> Result<()> {
    let before = specs::pack_value(draft.tx, pack.id).await?;
    store::packs::delete(draft.tx, pack.id).await?;
    keep(draft, pack.id, &pack.name, before).await
}

/// Reads and changes packs.
#[derive(Debug, Clone)]
pub struct Packs {
    changes: Changes,
}

listed!(packs::Model);

impl PlanResource for Packs {
    const KIND: &'static str = "Pack";
    const READ: Permission = Permission::ReadPacks;
    type Row = packs::Model;
    type Table = packs::Entity;
    type Spec = PackSpec;
    type View = Pack;
    type Input = PackInput;

    fn new(changes: Changes) -> Self {
        Self { changes }
    }

    fn changes(&self) -> &Changes {
        &self.changes
    }

    async fn all(db: &impl ConnectionTrait) -> Result<Vec<packs::Model>> {
        visible(db).await
    }

    async fn find(db: &impl ConnectionTrait, id: i64) -> Result<Option<packs::Model>> {
        Ok(store::named::by_id::<packs::Entity>(db, id).await?.filter(|pack| pack.name != GLOBAL))
    }

    async fn find_named(db: &impl ConnectionTrait, name: &str) -> Result<Option<packs::Model>> {
        named(db, name).await
    }

    async fn can_show(&self) -> Result<()> {
        self.changes.hosts().directory.loaded().await
    }

    async fn show(&self, _: &Principal, rows: Vec<packs::Model>) -> Result<Vec<Pack>> {
        let db = self.changes.reader();
        let mut targets = store::packs::all_targets(db).await?;
        let mut query_counts: HashMap<i64, u64> = HashMap::new();
        for scheduled in store::packs::all_scheduled(db).await? {
            *query_counts.entry(scheduled.pack_id).or_default() += 1;
        }
        let directory = self.changes.hosts().current_directory().await?;
        let groups = |row: &packs::Model| targets.get(&row.id).map(hosts_of).into_iter().collect();
        let host_counts = directory.count_in_any(rows.iter().map(groups).collect()).await?;
        let mut packs = Vec::new();
        for (row, total_hosts_count) in rows.into_iter().zip(host_counts) {
            let TargetLabels { any, all, excluded, .. } = targets.remove(&row.id).unwrap_or_default();
            packs.push(Pack {
                created_at: row.created_at.to_utc(),
                updated_at: row.updated_at.to_utc(),
                id: row.id,
                name: row.name,
                description: row.description,
                platform: row.platform,
                disabled: row.disabled,
                pack_type: None,
                query_count: query_counts.get(&row.id).copied().unwrap_or(0),
                total_hosts_count,
                host_ids: Vec::new(),
                label_ids: any,
                label_ids_exclude_any: excluded,
                label_ids_include_all: all,
                team_ids: Vec::new(),
            });
        }
        Ok(packs)
    }

    fn check_new(input: &PackInput) -> Result<PackSpec> {
        put_over(PackSpec::default(), input)
    }

    /// Inserts a pack without queries.
    async fn insert(draft: &mut Draft<'_>, _: &Principal, spec: &PackSpec, input: &PackInput) -> Result<i64> {
        let targets = targets(draft.tx, input, TargetLabels::default()).await?;
        check_name_free::<Packs>(draft, &spec.name, None).await?;
        let pack = packs::ActiveModel { created_at: Set(draft.now), ..row(spec, draft.now)? };
        let id = store::named::insert(draft.tx, pack).await?;
        store::packs::set_targets(draft.tx, id, &targets).await?;
        keep(draft, id, &spec.name, None).await?;
        draft.record("created_pack", json!({ "pack_id": id, "pack_name": spec.name }));
        Ok(id)
    }

    /// Changes the pack; its queries stay.
    async fn update(draft: &mut Draft<'_>, old: packs::Model, input: &PackInput) -> Result<()> {
        let id = old.id;
        let old = specs::pack_spec(old)?;
        let spec = put_over(old.clone(), input)?;
        let old_targets = store::packs::targets_of(draft.tx, id).await?;
        let targets = targets(draft.tx, input, old_targets.clone()).await?;
        if spec == old && targets == old_targets {
            return Ok(());
        }
        check_name_free::<Packs>(draft, &spec.name, Some(id)).await?;
        let before = specs::pack_value(draft.tx, id).await?;
        let pack = packs::ActiveModel { id: Unchanged(id), ..row(&spec, draft.now)? };
        store::named::update(draft.tx, pack).await?;
        if targets != old_targets {
            store::packs::set_targets(draft.tx, id, &targets).await?;
        }
        keep(draft, id, &spec.name, before).await?;
        draft.record("edited_pack", json!({ "pack_id": id, "pack_name": spec.name }));
        Ok(())
    }

    /// Deletes the pack with its schedule; its queries stay.
    async fn remove(draft: &mut Draft<'_>, pack: packs::Model) -> Result<()> {
        delete(draft, &pack).await?;
        draft.record("deleted_pack", json!({ "pack_id": pack.id, "pack_name": pack.name }));
        Ok(())
    }
}

/// The pack of a name, unless that is the global schedule.
pub(super) async fn named(db: &impl ConnectionTrait, name: &str) -> Result<Option<packs::Model>> {
    Ok(store::named::by_name::<packs::Entity>(db, name).await?.filter(|pack| pack.name != GLOBAL))
}

/// The targets with those of `input`; all of its labels must exist, and none be in two lists.
async fn targets(db: &impl ConnectionTrait, input: &PackInput, before: TargetLabels) -> Result<TargetLabels> {
    let PackInput { label_ids, label_ids_include_all, label_ids_exclude_any, .. } = input;
    let lists = [
        ("label_ids", label_ids, before.any),
        ("label_ids_include_all", label_ids_include_all, before.all),
        ("label_ids_exclude_any", label_ids_exclude_any, before.excluded),
    ];
    if lists.iter().all(|(_, wanted, _)| wanted.is_none()) {
        let [(_, _, any), (_, _, all), (_, _, excluded)] = lists;
        return Ok(TargetLabels { any, all, excluded, has_unknown: before.has_unknown });
    }
    let known: HashSet<i64> =
        store::named::all::<entity::labels::Entity>(db).await?.into_iter().map(|label| label.id).collect();
    let (mut problems, mut listed) = (Vec::new(), BTreeSet::new());
    let sorted = lists.map(|(key, wanted, before)| {
        for (position, id) in wanted.iter().flatten().enumerate().filter(|(_, id)| !known.contains(id)) {
            problems.push(Problem::new(format!("{key}[{position}]"), format!("there is no label {id}")));
        }
        let ids: BTreeSet<i64> = wanted.as_ref().map_or(before, Clone::clone).into_iter().collect();
        for id in ids.iter().filter(|id| !listed.insert(**id)) {
            problems.push(Problem::new(key, format!("{}: {id}", TWICE)));
        }
        ids.into_iter().collect::<Vec<i64>>()
    });
    none_of(problems)?;
    let [any, all, excluded] = sorted;
    Ok(TargetLabels { any, all, excluded, has_unknown: false })
}

/// The pack with the fields of `input`, checked.
fn put_over(mut spec: PackSpec, input: &PackInput) -> Result<PackSpec> {
    spec.name = input.name.clone().unwrap_or(spec.name);
    spec.description = input.description.clone().unwrap_or(spec.description);
    spec.platform = input.platform.clone().unwrap_or(spec.platform);
    spec.disabled = input.disabled.unwrap_or(spec.disabled);
    let mut problems = Vec::new();
    // Fleet's responses have no field for warnings.
    check(str::to_owned, &spec, &mut problems, &mut Vec::new());
    check_not_global("name".to_owned(), &spec, &mut problems);
    for (key, ids) in [("host_ids", &input.host_ids), ("team_ids", &input.team_ids)] {
        if ids.as_ref().is_some_and(|ids| !ids.is_empty()) {
            let reason = "packs are targeted at labels; put the hosts into a label and send its id in label_ids";
            problems.push(Problem::new(key, reason));
        }
    }
    none_of(problems)?;
    Ok(spec)
}
