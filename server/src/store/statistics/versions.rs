//! The versions of queries that samples name.

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set};

use crate::clock::Moment;
use crate::store::entity::query_versions::{ActiveModel, Column, Entity, Model};
use crate::store::{Error, MAX_PARAMETERS, Result, Store, Tx, bulk};

/// Most words of one statement, which padding may make four times as many.
const WORDS: usize = MAX_PARAMETERS / 4;

/// Versions with these ids.
pub async fn by_ids(db: &impl ConnectionTrait, ids: Vec<i64>) -> Result<Vec<Model>> {
    let mut found = Vec::new();
    for ids in ids.chunks(WORDS) {
        found.extend(Entity::find().filter(Column::Id.is_in(bulk::padded(ids.to_vec()))).all(db).await?);
    }
    Ok(found)
}

/// Versions with SQL of these hashes.
pub async fn by_hashes(db: &impl ConnectionTrait, hashes: Vec<i64>) -> Result<Vec<Model>> {
    let mut found = Vec::new();
    for hashes in hashes.chunks(WORDS) {
        found.extend(with_hashes(hashes).all(db).await?);
    }
    Ok(found)
}

/// As [`by_hashes`], for few hashes: the latest, so many at most.
pub async fn latest_by_hashes(db: &impl ConnectionTrait, hashes: &[i64], limit: u64) -> Result<Vec<Model>> {
    let mut found = Vec::new();
    for hashes in hashes.chunks(WORDS) {
        found.extend(with_hashes(hashes).order_by_desc(Column::Id).limit(limit).all(db).await?);
    }
    Ok(found)
}

/// As [`by_hashes`], with all that any node has committed.
pub async fn by_hashes_now(store: &Store, hashes: Vec<i64>) -> Result<Vec<Model>> {
    let mut found = Vec::new();
    for hashes in hashes.chunks(WORDS) {
        found.extend(with_hashes(hashes).lock_exclusive().all(store.current()).await?);
    }
    Ok(found)
}

fn with_hashes(hashes: &[i64]) -> sea_orm::Select<Entity> {
    Entity::find().filter(Column::SqlHash.is_in(bulk::padded(hashes.to_vec())))
}

/// The ids of all versions of a query, the latest first, so many at most.
pub async fn ids_of_name(db: &impl ConnectionTrait, pack: &str, name: &str, limit: u64) -> Result<Vec<i64>> {
    let versions = Entity::find().filter(Column::Pack.eq(pack)).filter(Column::Name.eq(name));
    let latest = versions.order_by_desc(Column::Id).limit(limit);
    Ok(latest.select_only().column(Column::Id).into_tuple().all(db).await?)
}

/// Adds a version of a query. One that another node has added meanwhile is there, too.
pub async fn add(tx: &Tx, pack: &str, name: &str, sql_hash: i64, now: Moment) -> Result<()> {
    let version = ActiveModel {
        pack: Set(pack.to_owned()),
        name: Set(name.to_owned()),
        sql_hash: Set(sql_hash),
        created_at: Set(now),
        ..Default::default()
    };
    match Entity::insert(version).exec_without_returning(tx).await.map_err(Error::from) {
        Ok(_) | Err(Error::Conflict(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
