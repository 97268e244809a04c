//! What queries have cost: by node and part in hours that are not closed yet, by query in closed hours and in days.

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel as _, QueryFilter, QueryOrder, QuerySelect, Set,
};

use super::take_statement;
use crate::store::entity::{cost_parts, query_costs};
use crate::store::{MAX_PARAMETERS, Result, Tx, bulk};

pub const HOUR: i64 = 0;
pub const DAY: i64 = 1;

/// What a node has counted in these hours; nobody else changes it until the transaction is over.
pub async fn of_node(tx: &Tx, node: &str, hours: &[i64]) -> Result<Vec<cost_parts::Model>> {
    let parts = cost_parts::Entity::find()
        .filter(cost_parts::Column::Hour.is_in(hours.iter().copied()))
        .filter(cost_parts::Column::Node.eq(node));
    Ok(parts.order_by_asc(cost_parts::Column::Id).lock_exclusive().all(tx).await?)
}

/// Writes what a node has counted: rows without an id are added, the others replaced.
pub async fn put_parts(tx: &Tx, parts: Vec<cost_parts::Model>) -> Result<()> {
    let (mut new, mut old): (Vec<_>, Vec<_>) = parts.into_iter().partition(|part| part.id == 0);
    while !new.is_empty() {
        let rows = take_statement(&mut new, |row| row.costs.len()).into_iter().map(|row| cost_parts::ActiveModel {
            hour: Set(row.hour),
            part: Set(row.part),
            node: Set(row.node),
            costs: Set(row.costs),
            ..Default::default()
        });
        cost_parts::Entity::insert_many(rows).exec_without_returning(tx).await?;
    }
    while !old.is_empty() {
        let rows = take_statement(&mut old, |row| row.costs.len());
        let rows = rows.into_iter().map(|row| (row.id.into(), vec![row.costs.into()]));
        let columns = [cost_parts::Column::Costs];
        bulk::update::<cost_parts::Entity>(tx, cost_parts::Column::Id, &columns, rows.collect()).await?;
    }
    Ok(())
}

/// The oldest hour with parts, and one part of it, if there is any before this one.
pub async fn oldest_part(db: &impl ConnectionTrait, before_hour: i64) -> Result<Option<(i64, i64)>> {
    let parts = cost_parts::Entity::find().filter(cost_parts::Column::Hour.lt(before_hour));
    let oldest = parts.order_by_asc(cost_parts::Column::Hour).order_by_asc(cost_parts::Column::Part);
    Ok(oldest.select_only().columns([cost_parts::Column::Hour, cost_parts::Column::Part]).into_tuple().one(db).await?)
}

/// What all nodes have counted of a part; nobody else changes it until the transaction is over.
pub async fn of_all_nodes(tx: &Tx, hour: i64, part: i64) -> Result<Vec<cost_parts::Model>> {
    let parts =
        cost_parts::Entity::find().filter(cost_parts::Column::Hour.eq(hour)).filter(cost_parts::Column::Part.eq(part));
    Ok(parts.order_by_asc(cost_parts::Column::Id).lock_exclusive().all(tx).await?)
}

pub async fn remove_parts(tx: &Tx, ids: Vec<i64>) -> Result<()> {
    if !ids.is_empty() {
        cost_parts::Entity::delete_many().filter(cost_parts::Column::Id.is_in(bulk::padded(ids))).exec(tx).await?;
    }
    Ok(())
}

/// Rows of a part that are not closed yet, the latest first.
pub async fn open_parts(
    db: &impl ConnectionTrait,
    hours: std::ops::RangeInclusive<i64>,
    part: i64,
    limit: u64,
) -> Result<Vec<cost_parts::Model>> {
    let (first, last) = hours.into_inner();
    let rows = cost_parts::Entity::find()
        .filter(cost_parts::Column::Part.eq(part))
        .filter(cost_parts::Column::Hour.between(first, last));
    Ok(rows.order_by_desc(cost_parts::Column::Hour).limit(limit).all(db).await?)
}

/// What these versions have cost in a span of buckets, in the order of the buckets.
pub async fn of_versions(
    db: &impl ConnectionTrait,
    version_ids: &[i64],
    span: i64,
    buckets: std::ops::RangeInclusive<i64>,
) -> Result<Vec<query_costs::Model>> {
    let (first, last) = buckets.into_inner();
    let mut found = Vec::new();
    for batch in version_ids.chunks(MAX_PARAMETERS / 2) {
        let costs = query_costs::Entity::find()
            .filter(query_costs::Column::QueryVersionId.is_in(bulk::padded(batch.to_vec())))
            .filter(query_costs::Column::Span.eq(span))
            .filter(query_costs::Column::Bucket.between(first, last));
        found.extend(costs.order_by_asc(query_costs::Column::Bucket).all(db).await?);
    }
    Ok(found)
}

/// What all queries have cost in a span of buckets.
pub async fn of_all(
    db: &impl ConnectionTrait,
    span: i64,
    buckets: std::ops::RangeInclusive<i64>,
    limit: u64,
) -> Result<Vec<query_costs::Model>> {
    let (first, last) = buckets.into_inner();
    let costs = query_costs::Entity::find()
        .filter(query_costs::Column::Span.eq(span))
        .filter(query_costs::Column::Bucket.between(first, last));
    Ok(costs.order_by_asc(query_costs::Column::QueryVersionId).limit(limit).all(db).await?)
}

/// Adds or replaces what queries have cost.
pub async fn put(tx: &Tx, mut costs: Vec<query_costs::Model>) -> Result<()> {
    use query_costs::Column;
    while !costs.is_empty() {
        let rows = take_statement(&mut costs, |row| row.costs.len());
        let newest = OnConflict::columns([Column::QueryVersionId, Column::Span, Column::Bucket])
            .update_column(Column::Costs)
            .to_owned();
        let rows = rows.into_iter().map(query_costs::Model::into_active_model);
        query_costs::Entity::insert_many(rows).on_conflict(newest).exec_without_returning(tx).await?;
    }
    Ok(())
}

/// Removes buckets before this one, so many at most.
pub async fn forget(tx: &Tx, span: i64, before: i64, limit: u64) -> Result<u64> {
    use query_costs::Column;
    let old = query_costs::Entity::find().filter(Column::Span.eq(span)).filter(Column::Bucket.lt(before));
    let oldest: Option<Option<i64>> =
        old.select_only().column_as(Column::Bucket.min(), "oldest").into_tuple().one(tx).await?;
    let Some(oldest) = oldest.flatten() else { return Ok(0) };
    let versions = query_costs::Entity::find().filter(Column::Span.eq(span)).filter(Column::Bucket.eq(oldest));
    let versions: Vec<i64> =
        versions.limit(limit).select_only().column(Column::QueryVersionId).into_tuple().all(tx).await?;
    let deleted = query_costs::Entity::delete_many()
        .filter(Column::QueryVersionId.is_in(bulk::padded(versions)))
        .filter(Column::Span.eq(span))
        .filter(Column::Bucket.eq(oldest));
    Ok(deleted.exec(tx).await?.rows_affected)
}
