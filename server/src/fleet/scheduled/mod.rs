//! Scheduled queries of packs.

mod rules;

pub(super) use rules::{check, row};

use std::collections::{BTreeSet, HashMap};

use muster_api::rest::{Scheduled, ScheduledInput};
use muster_api::spec::PackQuery;
use sea_orm::{ConnectionTrait, Set, Unchanged};
use serde_json::{Value, json};

use super::access::{Permission, Principal};
use super::changes::{Changes, Draft};
use super::error::none_of;
use super::listing::{Listing, listed};
use super::packs::{GLOBAL, Packs};
use super::resource::{Made, existing};
use super::{Error, Fleet, Result, packs, specs, statistics};
use crate::store::{
    self,
    entity::{self, scheduled_queries},
};

/// The word for a scheduled query in errors.
const KIND: &str = "ScheduledQuery";

/// The schedules that an operation may touch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScheduleScope {
    /// The schedules of all packs, including the global one.
    AnyPack,
    /// Only the global schedule, which all hosts run.
    Global,
}

/// Reads and changes schedules.
#[derive(Debug, Clone)]
pub struct Schedules {
    changes: Changes,
}

impl Schedules {
    pub fn of(fleet: &Fleet) -> Self {
        Self { changes: fleet.changes.clone() }
    }

    /// The schedule of a pack.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such pack.
    pub async fn of_pack(&self, principal: &Principal, pack_id: i64, listing: &Listing) -> Result<Vec<Scheduled>> {
        principal.may(Permission::ReadPacks)?;
        let db = self.changes.reader();
        let pack = existing::<Packs>(db, pack_id).await?;
        self.show(listing.page(store::scheduled::of_pack(db, pack.id).await?)).await
    }

    /// The global schedule; empty until a query is added.
    ///
    /// # Errors
    /// [`Error::Forbidden`] to users without the permission to read packs.
    pub async fn global(&self, principal: &Principal, listing: &Listing) -> Result<Vec<Scheduled>> {
        principal.may(Permission::ReadPacks)?;
        let db = self.changes.reader();
        let Some(pack) = store::named::by_name::<entity::packs::Entity>(db, GLOBAL).await? else {
            return Ok(Vec::new());
        };
        self.show(listing.page(store::scheduled::of_pack(db, pack.id).await?)).await
    }

    /// # Errors
    /// [`Error::NotFound`].
    pub async fn by_id(&self, principal: &Principal, id: i64) -> Result<Scheduled> {
        principal.may(Permission::ReadPacks)?;
        let (row, _) = find(self.changes.reader(), ScheduleScope::AnyPack, id).await?;
        self.show(vec![row]).await?.pop().ok_or_else(|| Error::no_such(KIND, id))
    }

    /// Adds a query to a schedule.
    ///
    /// # Errors
    /// [`Error::Invalid`] for wrong contents, [`Error::AlreadyExists`] if the schedule already has the name.
    pub async fn add(
        &self,
        principal: &Principal,
        within: ScheduleScope,
        input: &ScheduledInput,
    ) -> Result<Made<Scheduled>> {
        principal.may_change(Permission::WriteSchedule)?;
        let (id, warnings) = self
            .changes
            .make_and_warn(principal, async |draft| {
                let pack = target(draft, within, input.pack_id).await?;
                let query = named_query(draft.tx, input.query_id).await?;
                let taken = store::scheduled::of_pack(draft.tx, pack.id).await?;
                let is_taken = |name: &str| taken.iter().any(|row| row.name == name);
                let mut spec = PackQuery { query: query.name.clone(), ..PackQuery::default() };
                if input.name.is_none() {
                    let mut name = query.name.clone();
                    while is_taken(&name) {
                        name.push_str("-1");
                    }
                    spec.name = name;
                }
                let spec = put_over(spec, input)?;
                if is_taken(spec.scheduled_name()) {
                    return Err(already_exists(&spec));
                }
                let scheduled = scheduled_queries::ActiveModel {
                    pack_id: Set(pack.id),
                    created_at: Set(draft.now),
                    ..row(query.id, &spec, draft.now)
                };
                let before = specs::pack_value(draft.tx, pack.id).await?;
                let id = store::scheduled::insert(draft.tx, scheduled).await?;
                record_edit(draft, &pack, before).await?;
                Ok(id)
            })
            .await?;
        Ok(Made { view: self.by_id(principal, id).await?, warnings })
    }

    /// Changes the fields that `input` has.
    ///
    /// # Errors
    /// As for adding, and [`Error::NotFound`].
    pub async fn edit(
        &self,
        principal: &Principal,
        within: ScheduleScope,
        id: i64,
        input: &ScheduledInput,
    ) -> Result<Made<Scheduled>> {
        principal.may_change(Permission::WriteSchedule)?;
        let ((), warnings) = self
            .changes
            .make_and_warn(principal, async |draft| {
                let (old, pack) = find(draft.tx, within, id).await?;
                if input.pack_id.is_some_and(|pack_id| pack_id != pack.id) {
                    return Err(Error::invalid("pack_id", "cannot be changed; schedule the query in the other pack"));
                }
                let query = named_query(draft.tx, input.query_id.or(Some(old.query_id))).await?;
                let mut old_spec = specs::pack_query(old.clone(), &query.name);
                // The name stays when another query replaces the old one.
                old_spec.name = old.name.clone();
                let spec = put_over(old_spec.clone(), input)?;
                if spec == old_spec && query.id == old.query_id {
                    return Ok(());
                }
                let others = store::scheduled::of_pack(draft.tx, pack.id).await?;
                if others.iter().any(|other| other.id != id && other.name == spec.scheduled_name()) {
                    return Err(already_exists(&spec));
                }
                let scheduled = scheduled_queries::ActiveModel { id: Unchanged(id), ..row(query.id, &spec, draft.now) };
                let before = specs::pack_value(draft.tx, pack.id).await?;
                store::scheduled::update(draft.tx, scheduled).await?;
                record_edit(draft, &pack, before).await
            })
            .await?;
        Ok(Made { view: self.by_id(principal, id).await?, warnings })
    }

    /// Removes a query from a schedule.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the schedule does not have the query.
    pub async fn delete(&self, principal: &Principal, within: ScheduleScope, id: i64) -> Result<()> {
        principal.may_change(Permission::WriteSchedule)?;
        self.changes
            .make(principal, false, async |draft| {
                let (row, pack) = find(draft.tx, within, id).await?;
                let before = specs::pack_value(draft.tx, pack.id).await?;
                store::scheduled::delete(draft.tx, row.id).await?;
                record_edit(draft, &pack, before).await
            })
            .await
    }

    async fn show(&self, rows: Vec<scheduled_queries::Model>) -> Result<Vec<Scheduled>> {
        let queries: HashMap<i64, entity::queries::Model> =
            store::named::all::<entity::queries::Entity>(self.changes.reader())
                .await?
                .into_iter()
                .map(|query| (query.id, query))
                .collect();
        let pack_ids: BTreeSet<i64> = rows.iter().map(|row| row.pack_id).collect();
        let pack_ids: Vec<i64> = pack_ids.into_iter().collect();
        let details = store::packs::scheduled_details_of_packs(self.changes.reader(), &pack_ids).await?;
        let details: HashMap<i64, _> = details.iter().map(|detail| (detail.scheduled.id, detail)).collect();
        let wanted: Vec<Vec<_>> = rows
            .iter()
            .map(|row| details.get(&row.id).map(|detail| statistics::wanted(detail)).into_iter().collect())
            .collect();
        let mut stats = self.changes.statistics().stats_of(&wanted).await.into_iter();
        let mut show = |row: scheduled_queries::Model| {
            let query = queries.get(&row.query_id);
            let (created_at, updated_at) = (row.created_at.to_utc(), row.updated_at.to_utc());
            let (id, pack_id, query_id, name) = (row.id, row.pack_id, row.query_id, row.name.clone());
            let query_name = query.map(|query| query.name.clone()).unwrap_or_default();
            let spec = specs::pack_query(row, &query_name);
            Scheduled {
                created_at,
                updated_at,
                id,
                pack_id,
                name,
                query_id,
                query_name,
                query: query.map(|query| query.query.clone()).unwrap_or_default(),
                description: spec.description,
                interval: spec.interval,
                snapshot: spec.snapshot,
                removed: spec.removed,
                platform: spec.platform,
                version: spec.version,
                shard: spec.shard,
                denylist: spec.denylist,
                stats: stats.next().flatten(),
            }
        };
        Ok(rows.into_iter().map(&mut show).collect())
    }
}

listed!(scheduled_queries::Model);

/// The pack to schedule in; the global one is created on first use.
async fn target(draft: &Draft<'_>, within: ScheduleScope, pack_id: Option<i64>) -> Result<entity::packs::Model> {
    match (within, pack_id) {
        (ScheduleScope::AnyPack, Some(id)) => match existing::<Packs>(draft.tx, id).await {
            Err(Error::NotFound { .. }) => Err(Error::invalid("pack_id", format!("there is no pack {id}"))),
            outcome => outcome,
        },
        (ScheduleScope::AnyPack, None) => Err(Error::invalid("pack_id", "cannot be empty")),
        (ScheduleScope::Global, Some(_)) => {
            Err(Error::invalid("pack_id", "the global schedule has no pack; remove it"))
        }
        (ScheduleScope::Global, None) => packs::global(draft.tx, draft.now).await,
    }
}

async fn named_query(db: &impl ConnectionTrait, id: Option<i64>) -> Result<entity::queries::Model> {
    let id = id.ok_or_else(|| Error::invalid("query_id", "cannot be empty"))?;
    let query = store::named::by_id::<entity::queries::Entity>(db, id).await?;
    query.ok_or_else(|| Error::invalid("query_id", format!("there is no query {id}")))
}

async fn find(
    db: &impl ConnectionTrait,
    within: ScheduleScope,
    id: i64,
) -> Result<(scheduled_queries::Model, entity::packs::Model)> {
    let missing = || Error::no_such(KIND, id);
    let row = store::scheduled::by_id(db, id).await?.ok_or_else(missing)?;
    let pack = store::named::by_id::<entity::packs::Entity>(db, row.pack_id).await?.ok_or_else(missing)?;
    if within == ScheduleScope::Global && pack.name != GLOBAL {
        return Err(missing());
    }
    Ok((row, pack))
}

async fn record_edit(draft: &mut Draft<'_>, pack: &entity::packs::Model, before: Option<Value>) -> Result<()> {
    packs::keep(draft, pack.id, &pack.name, before).await?;
    draft.record("edited_pack", json!({ "pack_id": pack.id, "pack_name": pack.name }));
    Ok(())
}

fn already_exists(spec: &PackQuery) -> Error {
    Error::AlreadyExists { kind: KIND, name: spec.scheduled_name().to_owned() }
}

/// The scheduled query with the fields of `input`, checked.
fn put_over(mut spec: PackQuery, input: &ScheduledInput) -> Result<PackQuery> {
    spec.name = input.name.clone().unwrap_or(spec.name);
    spec.description = input.description.clone().unwrap_or(spec.description);
    spec.interval = input.interval.unwrap_or(spec.interval);
    spec.snapshot = input.snapshot.unwrap_or(spec.snapshot);
    spec.removed = input.removed.unwrap_or(spec.removed);
    spec.platform = input.platform.clone().map_or(spec.platform, Option::unwrap_or_default);
    spec.version = input.version.clone().map_or(spec.version, Option::unwrap_or_default);
    spec.shard = input.shard.unwrap_or(spec.shard);
    spec.denylist = input.denylist.unwrap_or(spec.denylist);
    let mut problems = Vec::new();
    // Fleet's responses have no field for warnings.
    check(str::to_owned, &spec, &mut problems, &mut Vec::new());
    none_of(problems)?;
    Ok(spec)
}
