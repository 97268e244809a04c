//! The last sample of each host.

use std::collections::HashMap;

use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel as _, QueryFilter, QueryOrder, QuerySelect, Value,
};

use super::take_statement;
use crate::clock::Moment;
use crate::store::entity::hosts;
use crate::store::entity::schedule_samples::{Column, Entity, Model};
use crate::store::{Result, Tx, bulk};

/// The last samples of these hosts, by host. Nobody else replaces them until the transaction is over.
pub async fn locked(tx: &Tx, host_ids: &[i64]) -> Result<HashMap<i64, Model>> {
    let samples = Entity::find().filter(Column::HostId.is_in(bulk::padded(host_ids.to_vec())));
    // In one order, so that two nodes never wait for each other.
    let samples = samples.order_by_asc(Column::HostId).lock_exclusive().all(tx).await?;
    Ok(samples.into_iter().map(|sample| (sample.host_id, sample)).collect())
}

/// Locks the last samples of these hosts, as [`locked`] does, without reading them.
pub async fn hold(tx: &Tx, host_ids: &[i64]) -> Result<()> {
    let samples = Entity::find().filter(Column::HostId.is_in(bulk::padded(host_ids.to_vec())));
    let samples = samples.order_by_asc(Column::HostId).lock_exclusive().select_only().column(Column::HostId);
    samples.into_tuple::<i64>().all(tx).await?;
    Ok(())
}

/// Which of these hosts there are. Nobody deletes them until the transaction is over.
pub async fn hosts_held(tx: &Tx, host_ids: &[i64]) -> Result<Vec<i64>> {
    if host_ids.is_empty() {
        return Ok(Vec::new());
    }
    let there = hosts::Entity::find().filter(hosts::Column::Id.is_in(bulk::padded(host_ids.to_vec())));
    let there = there.order_by_asc(hosts::Column::Id).lock_exclusive();
    Ok(there.select_only().column(hosts::Column::Id).into_tuple().all(tx).await?)
}

/// Adds samples of hosts that [`locked`] has not found. Loses the race against whoever adds one of them at the same time.
pub async fn add(tx: &Tx, mut samples: Vec<Model>) -> Result<()> {
    while !samples.is_empty() {
        let batch = take_statement(&mut samples, |row| row.sample.len());
        bulk::insert(tx, batch.into_iter().map(Model::into_active_model).collect()).await?;
    }
    Ok(())
}

/// Replaces samples that [`locked`] has found.
pub async fn replace(tx: &Tx, mut samples: Vec<Model>) -> Result<()> {
    let columns =
        [Column::ReceivedAt, Column::UnixTime, Column::StartTime, Column::Pid, Column::StalledSince, Column::Sample];
    while !samples.is_empty() {
        let rows = take_statement(&mut samples, |row| row.sample.len()).into_iter().map(|row| {
            let values: Vec<Value> = vec![
                row.received_at.into(),
                row.unix_time.into(),
                row.start_time.into(),
                row.pid.into(),
                row.stalled_since.into(),
                row.sample.into(),
            ];
            (row.host_id.into(), values)
        });
        bulk::update::<Entity>(tx, Column::HostId, &columns, rows.collect()).await?;
    }
    Ok(())
}

/// The last sample of a host.
pub async fn of_host(db: &impl ConnectionTrait, host_id: i64) -> Result<Option<Model>> {
    Ok(Entity::find_by_id(host_id).one(db).await?)
}

/// The last samples of these hosts, of those that have any.
pub async fn of_hosts(db: &impl ConnectionTrait, host_ids: &[i64]) -> Result<Vec<Vec<u8>>> {
    let samples = Entity::find().filter(Column::HostId.is_in(bulk::padded(host_ids.to_vec())));
    Ok(samples.select_only().column(Column::Sample).into_tuple().all(db).await?)
}

/// Hosts whose schedule stands still and whose last sample is not older than this, those that have done so for longest first.
pub async fn stalled(db: &impl ConnectionTrait, oldest: Moment, limit: u64) -> Result<Vec<(i64, Moment)>> {
    let stalled = Entity::find().filter(Column::StalledSince.is_not_null()).filter(Column::ReceivedAt.gte(oldest));
    let stalled = stalled.order_by_asc(Column::StalledSince).order_by_asc(Column::HostId).limit(limit);
    Ok(stalled.select_only().columns([Column::HostId, Column::StalledSince]).into_tuple().all(db).await?)
}

/// Removes samples of hosts that have sent none since.
pub async fn forget(tx: &Tx, before: Moment, limit: u64) -> Result<u64> {
    let old = Entity::find().filter(Column::ReceivedAt.lt(before)).limit(limit);
    let old: Vec<i64> = old.select_only().column(Column::HostId).into_tuple().all(tx).await?;
    if old.is_empty() {
        return Ok(0);
    }
    let deleted = Entity::delete_many().filter(Column::HostId.is_in(bulk::padded(old)));
    Ok(deleted.filter(Column::ReceivedAt.lt(before)).exec(tx).await?.rows_affected)
}
