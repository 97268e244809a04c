//! Packs: sets of scheduled queries and the labels whose hosts run them.

mod rules;

pub(super) use rules::{GLOBAL, check, quoted, row};

use std::collections::{BTreeSet, HashMap, HashSet};

use muster_api::rest::{Pack, PackInput, QueryPack};
use muster_api::spec::PackSpec;
use sea_orm::{ConnectionTrait, Set, Unchanged};
use serde_json::json;

use super::access::{Permission, Principal};
use super::changes::Changes;
use super::error::none_of;
use super::hosts::ALL_HOSTS;
use super::listing::Listing;
use super::{Error, Problem, Result, specs};
use crate::clock::Moment;
use crate::store;
use crate::store::entity::packs;

/// What a pack is called in errors.
const KIND: &str = "Pack";

/// Packs that operators see, by the queries they schedule.
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
    let mut packs = store::packs::all(db).await?;
    packs.retain(|pack| pack.name != GLOBAL);
    Ok(packs)
}

/// The pack of the global schedule, targeted at all hosts; made if it is not there.
pub(super) async fn global(db: &impl ConnectionTrait, now: Moment) -> Result<packs::Model> {
    if let Some(pack) = store::packs::by_name(db, GLOBAL).await? {
        return Ok(pack);
    }
    let spec = PackSpec { name: GLOBAL.to_owned(), ..PackSpec::default() };
    let id = store::packs::insert(db, packs::ActiveModel { created_at: Set(now), ..row(&spec, now)? }).await?;
    let all_hosts = store::labels::by_name(db, ALL_HOSTS).await?;
    let all_hosts = all_hosts.ok_or_else(|| Error::Unavailable(format!("the label {ALL_HOSTS:?} is not there yet")))?;
    store::packs::set_targets(db, id, &[all_hosts.id]).await?;
    store::packs::by_id(db, id).await?.ok_or_else(|| Error::no_such(KIND, id))
}

/// Reads and changes packs.
#[derive(Debug, Clone)]
pub struct Packs {
    changes: Changes,
}

impl Packs {
    pub fn new(changes: Changes) -> Self {
        Self { changes }
    }

    /// # Errors
    /// [`Error::Forbidden`] to who may not read packs.
    pub async fn list(&self, principal: &Principal, listing: &Listing) -> Result<Vec<Pack>> {
        principal.may(Permission::ReadPacks)?;
        let rows = visible(self.changes.reader()).await?;
        self.show(listing.page(rows)).await
    }

    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn by_id(&self, principal: &Principal, id: i64) -> Result<Pack> {
        principal.may(Permission::ReadPacks)?;
        let row = find(self.changes.reader(), id).await?;
        self.show(vec![row]).await?.pop().ok_or_else(|| Error::no_such(KIND, id))
    }

    /// Makes a pack without queries.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what it cannot be, [`Error::AlreadyExists`] when the name is taken.
    pub async fn create(&self, principal: &Principal, input: &PackInput) -> Result<Pack> {
        principal.may(Permission::WriteSchedule)?;
        let id = self
            .changes
            .make(principal, false, async |draft| {
                let spec = put_over(PackSpec::default(), input)?;
                let label_ids = existing_labels(draft.tx, input).await?.unwrap_or_default();
                check_free(draft.tx, &spec.name, None).await?;
                let pack = packs::ActiveModel { created_at: Set(draft.now), ..row(&spec, draft.now)? };
                let id = store::packs::insert(draft.tx, pack).await?;
                store::packs::set_targets(draft.tx, id, &label_ids).await?;
                draft.record("created_pack", json!({ "pack_id": id, "pack_name": spec.name }));
                Ok(id)
            })
            .await?;
        self.by_id(principal, id).await
    }

    /// Changes what `input` has; its queries stay as they are.
    ///
    /// # Errors
    /// As for making one, and [`Error::NotFound`].
    pub async fn edit(&self, principal: &Principal, id: i64, input: &PackInput) -> Result<Pack> {
        principal.may(Permission::WriteSchedule)?;
        self.changes
            .make(principal, false, async |draft| {
                let old = specs::pack_spec(find(draft.tx, id).await?)?;
                let spec = put_over(old.clone(), input)?;
                let targets = targets(draft.tx).await?.remove(&id).unwrap_or_default();
                let label_ids = existing_labels(draft.tx, input).await?.unwrap_or_else(|| targets.clone());
                if spec == old && label_ids == targets {
                    return Ok(());
                }
                check_free(draft.tx, &spec.name, Some(id)).await?;
                let pack = packs::ActiveModel { id: Unchanged(id), ..row(&spec, draft.now)? };
                store::packs::update(draft.tx, pack).await?;
                store::packs::set_targets(draft.tx, id, &label_ids).await?;
                draft.record("edited_pack", json!({ "pack_id": id, "pack_name": spec.name }));
                Ok(())
            })
            .await?;
        self.by_id(principal, id).await
    }

    /// Deletes the pack of this id with its schedule; its queries stay.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is none.
    pub async fn delete(&self, principal: &Principal, id: i64) -> Result<()> {
        self.delete_one(principal, async |db| find(db, id).await).await
    }

    /// As [`Packs::delete`], by name.
    ///
    /// # Errors
    /// The same.
    pub async fn delete_named(&self, principal: &Principal, name: &str) -> Result<()> {
        let missing = || Error::NotFound { kind: KIND, key: name.to_owned() };
        self.delete_one(principal, async |db| named(db, name).await?.ok_or_else(missing)).await
    }

    async fn delete_one(
        &self,
        principal: &Principal,
        find: impl AsyncFn(&store::Tx) -> Result<packs::Model>,
    ) -> Result<()> {
        principal.may(Permission::WriteSchedule)?;
        self.changes
            .make(principal, false, async |draft| {
                let pack = find(draft.tx).await?;
                store::packs::delete(draft.tx, pack.id).await?;
                draft.record("deleted_pack", json!({ "pack_id": pack.id, "pack_name": pack.name }));
                Ok(())
            })
            .await
    }

    async fn show(&self, rows: Vec<packs::Model>) -> Result<Vec<Pack>> {
        let db = self.changes.reader();
        let mut targets = targets(db).await?;
        let mut query_counts: HashMap<i64, u64> = HashMap::new();
        for scheduled in store::packs::all_scheduled(db).await? {
            *query_counts.entry(scheduled.pack_id).or_default() += 1;
        }
        let host_counts = store::labels::counts(db).await?;
        let mut packs = Vec::new();
        for row in rows {
            let label_ids = targets.remove(&row.id).unwrap_or_default();
            let total_hosts_count = match label_ids.as_slice() {
                [] => 0,
                [label_id] => host_counts.get(label_id).copied().unwrap_or(0),
                several => store::labels::count_in_any(db, several).await?,
            };
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
                label_ids,
                team_ids: Vec::new(),
            });
        }
        Ok(packs)
    }
}

pub(super) async fn find(db: &impl ConnectionTrait, id: i64) -> Result<packs::Model> {
    let pack = store::packs::by_id(db, id).await?.filter(|pack| pack.name != GLOBAL);
    pack.ok_or_else(|| Error::no_such(KIND, id))
}

/// The pack of a name, unless that is the global schedule.
pub(super) async fn named(db: &impl ConnectionTrait, name: &str) -> Result<Option<packs::Model>> {
    Ok(store::packs::by_name(db, name).await?.filter(|pack| pack.name != GLOBAL))
}

/// Label ids of every pack, sorted.
async fn targets(db: &impl ConnectionTrait) -> Result<HashMap<i64, Vec<i64>>> {
    let mut targets: HashMap<i64, Vec<i64>> = HashMap::new();
    for target in store::packs::all_targets(db).await? {
        targets.entry(target.pack_id).or_default().push(target.label_id);
    }
    Ok(targets)
}

/// Refuses a name that another pack has.
async fn check_free(db: &impl ConnectionTrait, name: &str, own_id: Option<i64>) -> Result<()> {
    match store::packs::by_name(db, name).await? {
        Some(other) if Some(other.id) != own_id => Err(Error::AlreadyExists { kind: KIND, name: name.to_owned() }),
        _ => Ok(()),
    }
}

/// The labels `input` targets, sorted, if all of them are there.
async fn existing_labels(db: &impl ConnectionTrait, input: &PackInput) -> Result<Option<Vec<i64>>> {
    let Some(wanted) = &input.label_ids else { return Ok(None) };
    let known: HashSet<i64> = store::labels::all(db).await?.into_iter().map(|label| label.id).collect();
    let unknown = wanted.iter().enumerate().filter(|(_, id)| !known.contains(id));
    let problem = |(position, id): (usize, &i64)| {
        Problem::new(format!("label_ids[{position}]"), format!("there is no label {id}"))
    };
    none_of(unknown.map(problem).collect())?;
    let sorted: BTreeSet<i64> = wanted.iter().copied().collect();
    Ok(Some(sorted.into_iter().collect()))
}

/// The pack with what `input` has put in, if it can be one.
fn put_over(mut spec: PackSpec, input: &PackInput) -> Result<PackSpec> {
    spec.name = input.name.clone().unwrap_or(spec.name);
    spec.description = input.description.clone().unwrap_or(spec.description);
    spec.platform = input.platform.clone().unwrap_or(spec.platform);
    spec.disabled = input.disabled.unwrap_or(spec.disabled);
    let mut problems = Vec::new();
    // Fleet's answers have no place for warnings.
    check(str::to_owned, &spec, &mut problems, &mut Vec::new());
    for (key, ids) in [("host_ids", &input.host_ids), ("team_ids", &input.team_ids)] {
        if ids.as_ref().is_some_and(|ids| !ids.is_empty()) {
            let reason = "packs are targeted at labels; put the hosts into a label and send its id in label_ids";
            problems.push(Problem::new(key, reason));
        }
    }
    none_of(problems)?;
    Ok(spec)
}
