//! Secrets agents enroll with. They are kept readable, because operators must be able to hand them out.

use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, Set, Unchanged};

use super::Result;
use super::entity::enroll_secrets;
use crate::clock::Moment;

pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<enroll_secrets::Model>> {
    Ok(enroll_secrets::Entity::find().order_by_asc(enroll_secrets::Column::Id).all(db).await?)
}

pub async fn insert(db: &impl ConnectionTrait, secret: &str, name: &str, now: Moment) -> Result<()> {
    let row = enroll_secrets::ActiveModel {
        secret: Set(secret.to_owned()),
        name: Set(name.to_owned()),
        created_at: Set(now),
        ..Default::default()
    };
    enroll_secrets::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

pub async fn rename(db: &impl ConnectionTrait, id: i64, name: &str) -> Result<()> {
    let row = enroll_secrets::ActiveModel { id: Unchanged(id), name: Set(name.to_owned()), ..Default::default() };
    row.update(db).await?;
    Ok(())
}

pub async fn delete(db: &impl ConnectionTrait, ids: Vec<i64>) -> Result<()> {
    if !ids.is_empty() {
        enroll_secrets::Entity::delete_many().filter(enroll_secrets::Column::Id.is_in(ids)).exec(db).await?;
    }
    Ok(())
}
