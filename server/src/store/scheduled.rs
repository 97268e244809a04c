//! Single scheduled queries.

use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};

use super::Result;
use super::entity::scheduled_queries::{ActiveModel, Column, Entity, Model};

pub async fn by_id(db: &impl ConnectionTrait, id: i64) -> Result<Option<Model>> {
    Ok(Entity::find_by_id(id).one(db).await?)
}

/// The schedule of a pack, in the order it was made.
pub async fn of_pack(db: &impl ConnectionTrait, pack_id: i64) -> Result<Vec<Model>> {
    Ok(Entity::find().filter(Column::PackId.eq(pack_id)).order_by_asc(Column::Id).all(db).await?)
}

pub async fn insert(db: &impl ConnectionTrait, scheduled: ActiveModel) -> Result<i64> {
    Ok(Entity::insert(scheduled).exec(db).await?.last_insert_id)
}

pub async fn update(db: &impl ConnectionTrait, scheduled: ActiveModel) -> Result<()> {
    scheduled.update(db).await?;
    Ok(())
}

pub async fn delete(db: &impl ConnectionTrait, id: i64) -> Result<()> {
    Entity::delete_by_id(id).exec(db).await?;
    Ok(())
}
