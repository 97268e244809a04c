//! Saved queries.

use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};

use super::Result;
use super::entity::queries;

pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<queries::Model>> {
    Ok(queries::Entity::find().order_by_asc(queries::Column::Name).all(db).await?)
}

pub async fn by_id(db: &impl ConnectionTrait, id: i64) -> Result<Option<queries::Model>> {
    Ok(queries::Entity::find_by_id(id).one(db).await?)
}

pub async fn by_name(db: &impl ConnectionTrait, name: &str) -> Result<Option<queries::Model>> {
    Ok(queries::Entity::find().filter(queries::Column::Name.eq(name)).one(db).await?)
}

pub async fn insert(db: &impl ConnectionTrait, query: queries::ActiveModel) -> Result<i64> {
    Ok(queries::Entity::insert(query).exec(db).await?.last_insert_id)
}

pub async fn update(db: &impl ConnectionTrait, query: queries::ActiveModel) -> Result<()> {
    query.update(db).await?;
    Ok(())
}

/// Deletes a query that no pack schedules; the caller has looked inside this transaction.
pub async fn delete(db: &impl ConnectionTrait, id: i64) -> Result<()> {
    queries::Entity::delete_by_id(id).exec(db).await?;
    Ok(())
}
