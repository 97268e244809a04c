//! Which hosts say which tables their agents have, and the sets of tables. What is in a set is the business of its users.

use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict, Query};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel as _, QueryFilter, QueryOrder, QuerySelect};

use super::entity::schema_reports::{Column, Entity, Model};
use super::entity::table_sets;
use super::{Result, Tx, bulk};
use crate::clock::Moment;

/// Sets of tables that one statement reads: each has some ten kilobytes, and a quarter of a megabyte at most.
const SETS_AT_ONCE: usize = 16;

/// All hosts that were picked, so many at most.
pub async fn reports(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>> {
    Ok(Entity::find().order_by_asc(Column::HostId).limit(limit).all(db).await?)
}

/// Hosts picked since a moment that have not reported since they were picked, so many at most.
pub async fn awaited(db: &impl ConnectionTrait, since: Moment, limit: u64) -> Result<Vec<Model>> {
    let picked = Entity::find().filter(Column::PickedAt.gte(since));
    let awaited = picked.filter(Expr::col(Column::ReportedAt).lt(Expr::col(Column::PickedAt)));
    Ok(awaited.order_by_desc(Column::PickedAt).limit(limit).all(db).await?)
}

/// Picks hosts, whether they were picked before or not.
pub async fn pick(tx: &Tx, picked: Vec<Model>) -> Result<()> {
    const REPLACED: [Column; 8] = [
        Column::Platform,
        Column::Version,
        Column::Address,
        Column::Picks,
        Column::PickedAt,
        Column::AskedAt,
        Column::ReportedAt,
        Column::SetHash,
    ];
    if picked.is_empty() {
        return Ok(());
    }
    let newest = OnConflict::column(Column::HostId).update_columns(REPLACED).to_owned();
    let rows = picked.into_iter().map(Model::into_active_model);
    Entity::insert_many(rows).on_conflict(newest).exec_without_returning(tx).await?;
    Ok(())
}

/// Those of these hosts that were picked and not asked since.
pub async fn unasked(tx: &Tx, host_ids: &[i64]) -> Result<Vec<i64>> {
    let unasked = Entity::find()
        .filter(Column::HostId.is_in(bulk::padded(host_ids.to_vec())))
        .filter(Expr::col(Column::AskedAt).lt(Expr::col(Column::PickedAt)));
    Ok(unasked.select_only().column(Column::HostId).into_tuple().all(tx).await?)
}

/// Notes that these hosts are asked. By the clock of whoever has picked them, so that those of other nodes do not matter.
pub async fn asked(tx: &Tx, host_ids: &[i64]) -> Result<()> {
    let asked = Entity::update_many().col_expr(Column::AskedAt, Expr::col(Column::PickedAt));
    asked.filter(Column::HostId.is_in(bulk::padded(host_ids.to_vec()))).exec(tx).await?;
    Ok(())
}

/// These hosts, as far as they were picked. Nobody else changes them until the transaction is over.
pub async fn locked(tx: &Tx, host_ids: &[i64]) -> Result<Vec<Model>> {
    let picked = Entity::find().filter(Column::HostId.is_in(bulk::padded(host_ids.to_vec())));
    Ok(picked.order_by_asc(Column::HostId).lock_exclusive().all(tx).await?)
}

/// Writes that a host has reported a set of tables.
pub async fn report(tx: &Tx, host_id: i64, set: table_sets::Model) -> Result<()> {
    let (hash, now) = (set.set_hash.clone(), set.used_at);
    let used = OnConflict::column(table_sets::Column::SetHash).update_column(table_sets::Column::UsedAt).to_owned();
    table_sets::Entity::insert(set.into_active_model()).on_conflict(used).exec_without_returning(tx).await?;
    let reported = Entity::update_many().col_expr(Column::ReportedAt, now.into());
    let reported = reported.col_expr(Column::SetHash, hash.into()).col_expr(Column::Picks, 0_i64.into());
    reported.filter(Column::HostId.eq(host_id)).exec(tx).await?;
    Ok(())
}

/// The sets with these hashes.
pub async fn sets(db: &impl ConnectionTrait, hashes: &[Vec<u8>]) -> Result<Vec<table_sets::Model>> {
    let mut found = Vec::new();
    for hashes in hashes.chunks(SETS_AT_ONCE) {
        let wanted = table_sets::Column::SetHash.is_in(bulk::padded(hashes.to_vec()));
        found.extend(table_sets::Entity::find().filter(wanted).all(db).await?);
    }
    Ok(found)
}

/// Removes hosts that were picked before this and have not reported since, so many at most.
pub async fn forget(tx: &Tx, before: Moment, limit: u64) -> Result<u64> {
    let old = Entity::find().filter(Column::PickedAt.lt(before)).filter(Column::ReportedAt.lt(before)).limit(limit);
    let old: Vec<i64> = old.select_only().column(Column::HostId).into_tuple().all(tx).await?;
    if old.is_empty() {
        return Ok(0);
    }
    let deleted = Entity::delete_many().filter(Column::HostId.is_in(bulk::padded(old)));
    Ok(deleted.filter(Column::PickedAt.lt(before)).filter(Column::ReportedAt.lt(before)).exec(tx).await?.rows_affected)
}

/// Removes sets that no host has reported since a moment and none refers to, so many at most.
pub async fn forget_unused_sets(tx: &Tx, before: Moment, limit: u64) -> Result<u64> {
    let referred =
        Query::select().column(Column::SetHash).from(Entity).and_where(Column::SetHash.is_not_null()).to_owned();
    let unused = table_sets::Entity::find()
        .filter(table_sets::Column::UsedAt.lt(before))
        .filter(table_sets::Column::SetHash.not_in_subquery(referred))
        .limit(limit);
    let unused: Vec<Vec<u8>> = unused.select_only().column(table_sets::Column::SetHash).into_tuple().all(tx).await?;
    if unused.is_empty() {
        return Ok(0);
    }
    let deleted = table_sets::Entity::delete_many().filter(table_sets::Column::SetHash.is_in(bulk::padded(unused)));
    Ok(deleted.filter(table_sets::Column::UsedAt.lt(before)).exec(tx).await?.rows_affected)
}

/// Removes what these hosts have reported.
pub async fn forget_hosts(db: &impl ConnectionTrait, host_ids: &[i64]) -> Result<()> {
    Entity::delete_many().filter(Column::HostId.is_in(host_ids.iter().copied())).exec(db).await?;
    Ok(())
}
