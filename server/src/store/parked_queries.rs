//! Questions a host is not asked any more.

use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};

use super::entity::parked_queries::{ActiveModel, Column, Entity, Model};
use super::{MAX_PARAMETERS, Result, bulk};

pub async fn of_host(db: &impl ConnectionTrait, host_id: i64) -> Result<Vec<Model>> {
    Ok(Entity::find().filter(Column::HostId.eq(host_id)).order_by_asc(Column::Name).all(db).await?)
}

/// What these hosts are not asked any more.
pub async fn of_hosts(db: &impl ConnectionTrait, host_ids: &[i64]) -> Result<Vec<Model>> {
    let mut rows = Vec::new();
    for batch in host_ids.chunks(MAX_PARAMETERS / 2) {
        rows.extend(Entity::find().filter(Column::HostId.is_in(bulk::padded(batch.to_vec()))).all(db).await?);
    }
    Ok(rows)
}

/// Adds or renews an entry.
pub async fn park(db: &impl ConnectionTrait, parked: Model) -> Result<()> {
    Entity::delete_by_id((parked.host_id, parked.name.clone())).exec(db).await?;
    Entity::insert(ActiveModel::from(parked).reset_all()).exec_without_returning(db).await?;
    Ok(())
}

/// As [`release`], for a few hundred hosts.
pub async fn release_all(db: &impl ConnectionTrait, host_ids: &[i64]) -> Result<()> {
    Entity::delete_many().filter(Column::HostId.is_in(host_ids.iter().copied())).exec(db).await?;
    Ok(())
}

/// Removes all entries of a host, which is then asked everything again.
pub async fn release(db: &impl ConnectionTrait, host_id: i64) -> Result<()> {
    Entity::delete_many().filter(Column::HostId.eq(host_id)).exec(db).await?;
    Ok(())
}
