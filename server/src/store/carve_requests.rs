//! Which queries have asked for carves. The row of a carve and that of its request are found by host and carve id, whichever
//! comes first.

use sea_orm::ActiveValue::NotSet;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel as _, QueryFilter, QuerySelect};

use super::entity::carve_requests::{ActiveModel, Column, Entity, Model};
use super::{Result, Tx, bulk};
use crate::clock::Moment;

/// Adds requests of hosts that there are, in order; the id of each is ignored. Those that are known already stay as they are. Of each
/// host at most `most_of_host` rows are kept; gives how many requests were left out.
pub async fn add(tx: &Tx, requests: Vec<Model>, most_of_host: u64) -> Result<u64> {
    let mut left_out = 0;
    for request in requests {
        if super::hosts::locked(tx, request.host_id).await?.is_none() {
            continue;
        }
        let count = Entity::find().select_only().column_as(Expr::cust("COUNT(*)"), "requests");
        let count: Option<i64> = count.filter(Column::HostId.eq(request.host_id)).into_tuple().one(tx).await?;
        if count.unwrap_or(0).unsigned_abs() >= most_of_host {
            left_out += 1;
            continue;
        }
        let known = OnConflict::columns([Column::HostId, Column::CarveId]).update_column(Column::CarveId).to_owned();
        let row = ActiveModel { id: NotSet, ..request.into_active_model() };
        Entity::insert(row).on_conflict(known).exec_without_returning(tx).await?;
    }
    Ok(left_out)
}

/// The requests of these carves, by host and carve id.
pub async fn of_carves(db: &impl ConnectionTrait, carve_ids: Vec<String>) -> Result<Vec<Model>> {
    if carve_ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(Entity::find().filter(Column::CarveId.is_in(bulk::padded(carve_ids))).all(db).await?)
}

/// Removes the rows of a few hundred hosts.
pub async fn forget_hosts(db: &impl ConnectionTrait, host_ids: &[i64]) -> Result<()> {
    Entity::delete_many().filter(Column::HostId.is_in(host_ids.iter().copied())).exec(db).await?;
    Ok(())
}

/// Removes some requests from before `before`; gives their number.
pub async fn prune(db: &impl ConnectionTrait, before: Moment, limit: u64) -> Result<u64> {
    let old = Condition::all().add(Column::CreatedAt.lt(before));
    let ids: Vec<i64> =
        Entity::find().select_only().column(Column::Id).filter(old).limit(limit).into_tuple().all(db).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    Ok(Entity::delete_many().filter(Column::Id.is_in(bulk::padded(ids))).exec(db).await?.rows_affected)
}
