//! What is known of carves. Their contents are elsewhere, under the key in the row.

use std::collections::HashSet;

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect};

use super::entity::carves::{ActiveModel, CarveStatusWord, Column, Entity, Model};
use super::{Result, Tx, bulk, generations};
use crate::clock::Moment;

/// The counter that carves which begin move on, so that they begin one after the other and the limits hold for all of them.
const BEGUN: &str = "carves";

/// What carves hold, and how many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CarveTotals {
    /// Carves that are being received.
    pub receiving: i64,
    pub held_bytes: i64,
}

/// The order, filter and page of a list.
#[derive(Debug, Clone)]
pub struct CarveListing {
    /// A part of the name, in any case.
    pub text: String,
    pub with_expired: bool,
    /// The agent's name of a carve.
    pub carve_id: Option<String>,
    pub host_id: Option<i64>,
    /// The live query that has asked for the carves.
    pub live_query_id: Option<i64>,
    pub order: CarveOrder,
    pub is_descending: bool,
    pub offset: u64,
    pub limit: u64,
}

/// The order of a list; equal rows are in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CarveOrder {
    #[default]
    Id,
    Name,
    CreatedAt,
    HostId,
    CarveSize,
}

pub async fn by_id(db: &impl ConnectionTrait, id: i64) -> Result<Option<Model>> {
    Ok(Entity::find_by_id(id).one(db).await?)
}

/// The carve, which nobody else changes until the transaction is over.
pub async fn locked(tx: &Tx, id: i64) -> Result<Option<Model>> {
    Ok(Entity::find_by_id(id).lock_exclusive().one(tx).await?)
}

/// The carve of a session.
pub async fn by_session(db: &impl ConnectionTrait, session_hash: &[u8]) -> Result<Option<Model>> {
    Ok(Entity::find().filter(Column::SessionHash.eq(session_hash)).one(db).await?)
}

/// As [`by_session`], however far behind other readings are.
pub async fn by_session_confirmed(db: &impl ConnectionTrait, session_hash: &[u8]) -> Result<Option<Model>> {
    Ok(Entity::find().filter(Column::SessionHash.eq(session_hash)).lock_exclusive().one(db).await?)
}

/// Waits until no other carve is beginning. Call it first in the transaction that adds one.
pub async fn begin(tx: &Tx) -> Result<()> {
    generations::bump(tx, BEGUN).await
}

/// The carve to which its host gives this name.
pub async fn of_host(tx: &Tx, host_id: i64, carve_id: &str) -> Result<Option<Model>> {
    let of_host = Condition::all().add(Column::HostId.eq(host_id)).add(Column::CarveId.eq(carve_id));
    Ok(Entity::find().filter(of_host).lock_exclusive().one(tx).await?)
}

/// What all carves, or those of one host, hold.
pub async fn totals(db: &impl ConnectionTrait, host_id: Option<i64>) -> Result<CarveTotals> {
    let of_host = Condition::all().add_option(host_id.map(|id| Column::HostId.eq(id)));
    let rows: Vec<(String, i64, i64)> = Entity::find()
        .select_only()
        .column(Column::Status)
        .column_as(Expr::cust("COUNT(*)"), "carves")
        .column_as(Expr::cust("CAST(COALESCE(SUM(held_bytes), 0) AS SIGNED)"), "bytes")
        .filter(Column::Status.ne(CarveStatusWord::Expired.as_str()))
        .filter(of_host)
        .group_by(Column::Status)
        .into_tuple()
        .all(db)
        .await?;
    let mut totals = CarveTotals::default();
    for (status, carves, bytes) in rows {
        totals.held_bytes += bytes;
        if status == CarveStatusWord::Receiving.as_str() {
            totals.receiving += carves;
        }
    }
    Ok(totals)
}

/// Rows of a host, whatever their state.
pub async fn count_of_host(db: &impl ConnectionTrait, host_id: i64) -> Result<i64> {
    let count = Entity::find().select_only().column_as(Expr::cust("COUNT(*)"), "carves");
    Ok(count.filter(Column::HostId.eq(host_id)).into_tuple().one(db).await?.unwrap_or(0))
}

/// Adds a row and gives its id.
pub async fn insert(tx: &Tx, carve: ActiveModel) -> Result<i64> {
    Ok(Entity::insert(carve).exec(tx).await?.last_insert_id)
}

/// Changes a row that is there.
pub async fn update(tx: &Tx, carve: ActiveModel) -> Result<()> {
    Entity::update(carve).exec(tx).await?;
    Ok(())
}

/// Removes a row; false if there is none.
pub async fn delete(db: &impl ConnectionTrait, id: i64) -> Result<bool> {
    Ok(Entity::delete_by_id(id).exec(db).await?.rows_affected > 0)
}

/// Removes the rows of a few hundred hosts.
pub async fn forget_hosts(db: &impl ConnectionTrait, host_ids: &[i64]) -> Result<()> {
    Entity::delete_many().filter(Column::HostId.is_in(host_ids.iter().copied())).exec(db).await?;
    Ok(())
}

/// A page of the rows.
pub async fn list(db: &impl ConnectionTrait, listing: &CarveListing) -> Result<Vec<Model>> {
    let mut select = Entity::find();
    if !listing.with_expired {
        select = select.filter(Column::Status.ne(CarveStatusWord::Expired.as_str()));
    }
    if let Some(carve_id) = &listing.carve_id {
        select = select.filter(Column::CarveId.eq(carve_id));
    }
    if let Some(host_id) = listing.host_id {
        select = select.filter(Column::HostId.eq(host_id));
    }
    if let Some(id) = listing.live_query_id {
        let asked = "EXISTS (SELECT 1 FROM carve_requests AS asked WHERE asked.live_query_id = ? \
                     AND asked.host_id = carves.host_id AND asked.carve_id = carves.carve_id)";
        select = select.filter(Expr::cust_with_values(asked, [id]));
    }
    if !listing.text.is_empty() {
        // Names are made of ASCII letters, digits and whatever a host name holds; INSTR knows no wildcards.
        let has_text = Expr::cust_with_values("INSTR(LOWER(name), LOWER(?)) > 0", [listing.text.clone()]);
        select = select.filter(has_text);
    }
    let direction = if listing.is_descending { Order::Desc } else { Order::Asc };
    let column = match listing.order {
        CarveOrder::Id => None,
        CarveOrder::Name => Some(Column::Name),
        CarveOrder::CreatedAt => Some(Column::CreatedAt),
        CarveOrder::HostId => Some(Column::HostId),
        CarveOrder::CarveSize => Some(Column::CarveSize),
    };
    if let Some(column) = column {
        select = select.order_by(column, direction.clone());
    }
    let select = select.order_by(Column::Id, direction).offset(listing.offset).limit(listing.limit);
    Ok(select.all(db).await?)
}

/// Ids of carves that are being received and whose last block came before `before`.
pub async fn stalled(db: &impl ConnectionTrait, before: Moment, limit: u64) -> Result<Vec<i64>> {
    let stalled = Condition::all()
        .add(Column::Status.eq(CarveStatusWord::Receiving.as_str()))
        .add(Column::LastBlockAt.lt(before));
    Ok(Entity::find().select_only().column(Column::Id).filter(stalled).limit(limit).into_tuple().all(db).await?)
}

/// Carves that are being received and began before `before`, oldest first.
pub async fn receiving(db: &impl ConnectionTrait, before: Moment, limit: u64) -> Result<Vec<Model>> {
    let old =
        Condition::all().add(Column::Status.eq(CarveStatusWord::Receiving.as_str())).add(Column::CreatedAt.lt(before));
    Ok(Entity::find().filter(old).order_by_asc(Column::Id).limit(limit).all(db).await?)
}

/// Ids of carves that began before `before` and have not expired.
pub async fn outlived(db: &impl ConnectionTrait, before: Moment, limit: u64) -> Result<Vec<i64>> {
    let outlived =
        Condition::all().add(Column::Status.ne(CarveStatusWord::Expired.as_str())).add(Column::CreatedAt.lt(before));
    Ok(Entity::find().select_only().column(Column::Id).filter(outlived).limit(limit).into_tuple().all(db).await?)
}

/// Removes some rows of expired carves that began before `before`; gives their number.
pub async fn prune(db: &impl ConnectionTrait, before: Moment, limit: u64) -> Result<u64> {
    let old =
        Condition::all().add(Column::Status.eq(CarveStatusWord::Expired.as_str())).add(Column::CreatedAt.lt(before));
    let ids: Vec<i64> =
        Entity::find().select_only().column(Column::Id).filter(old).limit(limit).into_tuple().all(db).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    Ok(Entity::delete_many().filter(Column::Id.is_in(bulk::padded(ids))).exec(db).await?.rows_affected)
}

/// Those of these keys that name contents which are still held; a few hundred at most.
pub async fn held_keys(db: &impl ConnectionTrait, keys: &[String]) -> Result<HashSet<String>> {
    let held = Condition::all()
        .add(Column::ContentKey.is_in(bulk::padded(keys.to_vec())))
        .add(Column::Status.ne(CarveStatusWord::Expired.as_str()));
    let keys: Vec<String> =
        Entity::find().select_only().column(Column::ContentKey).filter(held).into_tuple().all(db).await?;
    Ok(keys.into_iter().collect())
}
