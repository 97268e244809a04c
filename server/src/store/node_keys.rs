//! Hashes of the keys agents authenticate with. The keys themselves are nowhere.

use std::collections::{BTreeMap, HashMap};

use sea_orm::sea_query::{Alias, Condition, Expr, ExprTrait, Func, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect};

use super::bulk::{self, Keep};
use super::entity::{hosts, node_keys};
use super::{MAX_PARAMETERS, Result, Store};
use crate::clock::Moment;

/// SHA-256 of a node key.
pub type KeyHash = [u8; 32];

/// A key, and whether its host has no other one.
#[derive(Debug, Clone, FromQueryResult)]
pub struct KeyOfHost {
    #[sea_orm(nested)]
    pub key: node_keys::Model,
    pub is_only: bool,
}

/// Those of these keys that there are; a few hundred at most.
pub async fn by_hashes(db: &impl ConnectionTrait, hashes: &[KeyHash]) -> Result<Vec<KeyOfHost>> {
    let hashes = bulk::padded(hashes.iter().map(|hash| hash.to_vec()).collect());
    let (this, other) = (node_keys::Entity, Alias::new("other"));
    let another = Query::select()
        .expr(Expr::val(1))
        .from_as(this, other.clone())
        .and_where(Expr::col((other.clone(), node_keys::Column::HostId)).equals((this, node_keys::Column::HostId)))
        .and_where(Expr::col((other, node_keys::Column::KeyHash)).not_equals((this, node_keys::Column::KeyHash)))
        .take();
    let found = node_keys::Entity::find()
        .filter(node_keys::Column::KeyHash.is_in(hashes))
        .column_as(Expr::not_exists(another), "is_only");
    Ok(found.into_model().all(db).await?)
}

/// Writes down one use of a key; `false` if there is no such key any more.
pub async fn mark_used_now(db: &impl ConnectionTrait, used: KeyUse) -> Result<bool> {
    let hash = used.hash.to_vec();
    mark_used(db, vec![used]).await?;
    // Locking, as plain readings may lag behind.
    Ok(node_keys::Entity::find_by_id(hash).lock_exclusive().one(db).await?.is_some())
}

/// Those of these keys that there are, however far behind other readings are; a few hundred at most.
pub async fn confirmed(store: &Store, hashes: &[KeyHash]) -> Result<Vec<node_keys::Model>> {
    let is_meant = node_keys::Column::KeyHash.is_in(hashes.iter().map(|hash| hash.to_vec()));
    Ok(node_keys::Entity::find().filter(is_meant).lock_exclusive().all(store.current()).await?)
}

pub async fn delete(db: &impl ConnectionTrait, hashes: Vec<Vec<u8>>) -> Result<()> {
    for batch in hashes.chunks(MAX_PARAMETERS / 10) {
        node_keys::Entity::delete_many().filter(node_keys::Column::KeyHash.is_in(batch.to_vec())).exec(db).await?;
    }
    Ok(())
}

/// Those of these keys that there are, with the hosts they belong to.
pub async fn owners(db: &impl ConnectionTrait, hashes: &[KeyHash]) -> Result<HashMap<KeyHash, i64>> {
    let mut owners = HashMap::new();
    for batch in hashes.chunks(MAX_PARAMETERS / 10) {
        let rows: Vec<(Vec<u8>, i64)> = node_keys::Entity::find()
            .filter(node_keys::Column::KeyHash.is_in(batch.iter().map(|hash| hash.to_vec())))
            .select_only()
            .columns([node_keys::Column::KeyHash, node_keys::Column::HostId])
            .into_tuple()
            .all(db)
            .await?;
        let known = rows.into_iter().filter_map(|(hash, host_id)| Some((hash.try_into().ok()?, host_id)));
        owners.extend(known);
    }
    Ok(owners)
}

/// Hosts that have more than one key.
pub async fn hosts_of_several(db: &impl ConnectionTrait) -> Result<Vec<i64>> {
    hosts_with(db, None, node_keys::Column::KeyHash.count().gt(1)).await
}

/// Those of these hosts that have more than one key.
pub async fn of_several_among(db: &impl ConnectionTrait, host_ids: &[i64]) -> Result<Vec<i64>> {
    let mut several = Vec::new();
    for batch in host_ids.chunks(MAX_PARAMETERS / 10) {
        let among = node_keys::Column::HostId.is_in(bulk::padded(batch.to_vec()));
        several.extend(hosts_with(db, Some(among), node_keys::Column::KeyHash.count().gt(1)).await?);
    }
    Ok(several)
}

/// Hosts that have keys of more than one agent instance.
pub async fn hosts_of_several_instances(db: &impl ConnectionTrait) -> Result<Vec<i64>> {
    let instances = Func::count_distinct(Expr::col(node_keys::Column::InstanceId));
    hosts_with(db, None, Expr::expr(instances).gt(1)).await
}

async fn hosts_with(db: &impl ConnectionTrait, among: Option<Expr>, condition: Expr) -> Result<Vec<i64>> {
    Ok(node_keys::Entity::find()
        .filter(Condition::all().add_option(among))
        .select_only()
        .column(node_keys::Column::HostId)
        .group_by(node_keys::Column::HostId)
        .having(condition)
        .order_by_asc(node_keys::Column::HostId)
        .into_tuple()
        .all(db)
        .await?)
}

/// All keys of these hosts, oldest first.
pub async fn of_hosts(db: &impl ConnectionTrait, host_ids: &[i64]) -> Result<BTreeMap<i64, Vec<node_keys::Model>>> {
    let mut by_host: BTreeMap<i64, Vec<node_keys::Model>> = BTreeMap::new();
    for batch in host_ids.chunks(MAX_PARAMETERS / 10) {
        let rows = node_keys::Entity::find()
            .filter(node_keys::Column::HostId.is_in(batch.iter().copied()))
            .order_by_asc(node_keys::Column::CreatedAt)
            .all(db)
            .await?;
        for row in rows {
            by_host.entry(row.host_id).or_default().push(row);
        }
    }
    Ok(by_host)
}

/// When keys were last moved from or to each of these hosts, where that has happened.
pub async fn moved_at(db: &impl ConnectionTrait, host_ids: &[i64]) -> Result<HashMap<i64, Moment>> {
    let mut moved_at = HashMap::new();
    for batch in host_ids.chunks(MAX_PARAMETERS / 10) {
        let separated = hosts::Entity::find()
            .filter(hosts::Column::Id.is_in(batch.iter().copied()))
            .filter(hosts::Column::ClonedAt.is_not_null())
            .select_only()
            .columns([hosts::Column::Id, hosts::Column::ClonedAt]);
        let rows: Vec<(i64, Moment)> = separated.into_tuple().all(db).await?;
        moved_at.extend(rows);
    }
    Ok(moved_at)
}

/// Drops those of these keys that have not been used since a moment.
pub async fn delete_idle(db: &impl ConnectionTrait, hashes: &[Vec<u8>], since: Moment) -> Result<()> {
    for batch in hashes.chunks(MAX_PARAMETERS / 10) {
        node_keys::Entity::delete_many()
            .filter(node_keys::Column::KeyHash.is_in(batch.to_vec()))
            .filter(node_keys::Column::UsedAt.is_null().or(node_keys::Column::UsedAt.lt(since)))
            .exec(db)
            .await?;
    }
    Ok(())
}

/// When a key was used, first and last, as one server has seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyUse {
    pub hash: KeyHash,
    pub first: Moment,
    pub last: Moment,
}

/// Writes down when keys were used, none over a later use, and no first use over an earlier one.
pub async fn mark_used(db: &impl ConnectionTrait, mut uses: Vec<KeyUse>) -> Result<()> {
    // In one order, as two nodes may write uses of the same keys.
    uses.sort_unstable();
    let columns = [(node_keys::Column::UsedAt, Keep::Larger), (node_keys::Column::FirstUsedAt, Keep::Smaller)];
    let rows = uses.into_iter().map(|key| (key.hash.to_vec().into(), vec![key.last.into(), key.first.into()]));
    bulk::merge::<node_keys::Entity>(db, node_keys::Column::KeyHash, &columns, rows.collect()).await
}
