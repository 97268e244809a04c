//! How many hosts there were, by hour and day.

use std::ops::RangeInclusive;

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel as _, QueryFilter, QueryOrder};

use crate::store::entity::host_counts::{Column, Entity, Model};
use crate::store::{Result, Tx};

/// Writes counts in place of earlier ones of the same hour or day.
pub async fn put(tx: &Tx, counts: Vec<Model>) -> Result<()> {
    let newest = OnConflict::columns([Column::Span, Column::Bucket]).update_column(Column::Counts).to_owned();
    let rows = counts.into_iter().map(Model::into_active_model);
    Entity::insert_many(rows).on_conflict(newest).exec_without_returning(tx).await?;
    Ok(())
}

/// The counts of some hours or days, the oldest first.
pub async fn between(db: &impl ConnectionTrait, span: i64, buckets: RangeInclusive<i64>) -> Result<Vec<Model>> {
    let (first, last) = buckets.into_inner();
    let rows = Entity::find().filter(Column::Span.eq(span)).filter(Column::Bucket.between(first, last));
    Ok(rows.order_by_asc(Column::Bucket).all(db).await?)
}

/// Removes the counts of buckets before this one.
pub async fn forget(tx: &Tx, span: i64, before: i64) -> Result<()> {
    Entity::delete_many().filter(Column::Span.eq(span)).filter(Column::Bucket.lt(before)).exec(tx).await?;
    Ok(())
}
