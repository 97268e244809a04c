//! Who serves over this database, and who of them does the work that only one has to do.

use sea_orm::sea_query::{ExprTrait as _, OnConflict, SimpleExpr};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, Set};

use super::entity::nodes::Column;
use super::entity::{leases, nodes};
use super::{Error, Result};
use crate::clock::Moment;

/// The lease on the work that one node does for all.
pub const LEADER: &str = "leader";

/// Takes or renews a lease: it goes to whoever holds it already, or to anybody when it ended before `free_before`.
pub async fn take_lease(
    db: &impl ConnectionTrait,
    name: &str,
    holder: &str,
    free_before: Moment,
    expires_at: Moment,
) -> Result<bool> {
    let taken = leases::Entity::update_many()
        .col_expr(leases::Column::Holder, holder.into())
        .col_expr(leases::Column::ExpiresAt, expires_at.into())
        .filter(leases::Column::Name.eq(name))
        .filter(leases::Column::Holder.eq(holder).or(leases::Column::ExpiresAt.lt(free_before)))
        .exec(db)
        .await?;
    if taken.rows_affected > 0 {
        return Ok(true);
    }
    if leases::Entity::find_by_id(name).one(db).await?.is_some() {
        return Ok(false);
    }
    let first =
        leases::ActiveModel { name: Set(name.to_owned()), holder: Set(holder.to_owned()), expires_at: Set(expires_at) };
    match leases::Entity::insert(first).exec_without_returning(db).await.map_err(Error::from) {
        Ok(_) => Ok(true),
        // Another one was first.
        Err(Error::Conflict(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Gives a lease back, if this is still its holder.
pub async fn release_lease(db: &impl ConnectionTrait, name: &str, holder: &str) -> Result<()> {
    leases::Entity::update_many()
        .col_expr(leases::Column::Holder, "".into())
        .col_expr(leases::Column::ExpiresAt, Moment::NEVER.into())
        .filter(leases::Column::Name.eq(name))
        .filter(leases::Column::Holder.eq(holder))
        .exec(db)
        .await?;
    Ok(())
}

/// Who holds a lease now.
pub async fn holder(db: &impl ConnectionTrait, name: &str, now: Moment) -> Result<Option<String>> {
    let lease = leases::Entity::find_by_id(name).one(db).await?;
    Ok(lease.filter(|lease| lease.expires_at > now).map(|lease| lease.holder))
}

/// Notes up to when a server has written what it knows of keys, and that it is alive.
pub async fn has_written(db: &impl ConnectionTrait, id: &str, until: Moment, now: Moment) -> Result<()> {
    put(db, id, until, now, &[Column::WrittenAt, Column::AliveAt, Column::Version]).await
}

/// Notes that a server is alive. Up to when it has written what it knows of keys is noted only if it is new.
pub async fn is_alive(db: &impl ConnectionTrait, id: &str, until: Moment, now: Moment) -> Result<()> {
    put(db, id, until, now, &[Column::AliveAt, Column::Version]).await
}

async fn put(db: &impl ConnectionTrait, id: &str, until: Moment, now: Moment, moved: &[Column]) -> Result<()> {
    let node = nodes::ActiveModel {
        id: Set(id.to_owned()),
        written_at: Set(until),
        alive_at: Set(Some(now)),
        knows_leases: Set(Some(true)),
        version: Set(Some(crate::VERSION.to_owned())),
    };
    let moved = OnConflict::column(Column::Id).update_columns(moved.iter().copied()).to_owned();
    nodes::Entity::insert(node).on_conflict(moved).exec_without_returning(db).await?;
    Ok(())
}

/// Up to when every server has written, leaving out those not heard of since `gone_before`.
pub async fn written_by_all(db: &impl ConnectionTrait, gone_before: Moment) -> Result<Option<Moment>> {
    let oldest: Option<Option<Moment>> = nodes::Entity::find()
        .filter(heard_of(gone_before))
        .select_only()
        .column_as(Column::WrittenAt.min(), "oldest")
        .into_tuple()
        .one(db)
        .await?;
    Ok(oldest.flatten())
}

/// Servers heard of since `gone_before`.
pub async fn since(db: &impl ConnectionTrait, gone_before: Moment) -> Result<Vec<nodes::Model>> {
    Ok(nodes::Entity::find().filter(heard_of(gone_before)).all(db).await?)
}

/// Servers that have said that they are alive since then, or of the version before, which reports only what it has written.
pub(super) fn heard_of(gone_before: Moment) -> SimpleExpr {
    Column::WrittenAt.gte(gone_before).or(Column::AliveAt.gte(gone_before))
}

/// Removes a server that has stopped.
pub async fn leave(db: &impl ConnectionTrait, id: &str) -> Result<()> {
    nodes::Entity::delete_by_id(id).exec(db).await?;
    Ok(())
}

/// Removes servers not heard of since.
pub async fn forget_gone(db: &impl ConnectionTrait, gone_before: Moment) -> Result<()> {
    let is_silent = Column::AliveAt.is_null().or(Column::AliveAt.lt(gone_before));
    nodes::Entity::delete_many().filter(Column::WrittenAt.lt(gone_before).and(is_silent)).exec(db).await?;
    Ok(())
}
