//! Saved queries.

use sea_orm::{ActiveModelTrait, ConnectionTrait, EntityTrait, QueryOrder};

use super::Result;
use super::entity::queries;

pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<queries::Model>> {
    Ok(queries::Entity::find().order_by_asc(queries::Column::Name).all(db).await?)
}

pub async fn insert(db: &impl ConnectionTrait, query: queries::ActiveModel) -> Result<i64> {
    Ok(queries::Entity::insert(query).exec(db).await?.last_insert_id)
}

pub async fn update(db: &impl ConnectionTrait, query: queries::ActiveModel) -> Result<()> {
    query.update(db).await?;
    Ok(())
}
