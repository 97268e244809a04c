//! The last sample of each host, and the versions of queries that samples name.

use std::collections::HashMap;

use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel as _, QueryFilter, QueryOrder, QuerySelect, Set, Value,
};

use super::take_statement;
use crate::clock::Moment;
use crate::store::entity::schedule_samples::{Column, Entity, Model};
use crate::store::entity::{hosts, query_versions};
use crate::store::{Error, MAX_PARAMETERS, Result, Tx, bulk};

/// The last samples of these hosts, by host. Nobody else replaces them until the transaction is over.
pub async fn locked(tx: &Tx, host_ids: &[i64]) -> Result<HashMap<i64, Model>> {
    let samples = Entity::find().filter(Column::HostId.is_in(bulk::padded(host_ids.to_vec())));
    // In one order, so that two nodes never wait for each other.
    let samples = samples.order_by_asc(Column::HostId).lock_exclusive().all(tx).await?;
    Ok(samples.into_iter().map(|sample| (sample.host_id, sample)).collect())
}

/// Adds samples of hosts that [`locked`] has not found. Loses the race against whoever adds one of them at the same time.
/// Those of hosts that are gone are left out.
pub async fn add(tx: &Tx, samples: Vec<Model>) -> Result<()> {
    let host_ids = samples.iter().map(|sample| sample.host_id).collect();
    let there = hosts::Entity::find().filter(hosts::Column::Id.is_in(bulk::padded(host_ids)));
    let there: Vec<i64> = match samples.is_empty() {
        true => Vec::new(),
        false => there.select_only().column(hosts::Column::Id).into_tuple().all(tx).await?,
    };
    let mut rows: Vec<Model> = samples.into_iter().filter(|sample| there.contains(&sample.host_id)).collect();
    while !rows.is_empty() {
        let batch = take_statement(&mut rows, |row| row.sample.len());
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

/// Hosts whose schedule stands still, those that have done so for longest first.
pub async fn stalled(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<(i64, Moment)>> {
    let stalled = Entity::find().filter(Column::StalledSince.is_not_null());
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

/// Versions of queries with ids above this one, in the order of their ids.
pub async fn versions_after(db: &impl ConnectionTrait, id: i64) -> Result<Vec<query_versions::Model>> {
    let versions = query_versions::Entity::find().filter(query_versions::Column::Id.gt(id));
    Ok(versions.order_by_asc(query_versions::Column::Id).limit(MAX_PARAMETERS as u64).all(db).await?)
}

/// Adds a version of a query. One that another node has added meanwhile is there, too.
pub async fn add_version(tx: &Tx, pack: &str, name: &str, sql_hash: i64, now: Moment) -> Result<()> {
    let version = query_versions::ActiveModel {
        pack: Set(pack.to_owned()),
        name: Set(name.to_owned()),
        sql_hash: Set(sql_hash),
        created_at: Set(now),
        ..Default::default()
    };
    match query_versions::Entity::insert(version).exec_without_returning(tx).await.map_err(Error::from) {
        Ok(_) | Err(Error::Conflict(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
