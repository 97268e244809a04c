//! SQL that waits for a second person.

use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Set};

use super::entity::guard_approvals::{ActiveModel, ApprovalWord, Column, Entity, Model};
use super::{Result, Tx};
use crate::clock::Moment;

/// Those of these marks that are not over.
pub async fn by_marks(db: &impl ConnectionTrait, marks: &[String], now: Moment) -> Result<Vec<Model>> {
    let marked =
        Entity::find().filter(Column::Mark.is_in(marks.iter().map(String::as_str))).filter(Column::ExpiresAt.gt(now));
    Ok(marked.all(db).await?)
}

/// Those whose mark begins so and that are not over, two at most.
pub async fn beginning(tx: &Tx, key: &str, now: Moment) -> Result<Vec<Model>> {
    let marked = Entity::find().filter(Column::Mark.starts_with(key)).filter(Column::ExpiresAt.gt(now));
    Ok(marked.limit(2).lock_exclusive().all(tx).await?)
}

/// Those that are not over, newest first.
pub async fn latest(db: &impl ConnectionTrait, now: Moment, limit: u64) -> Result<Vec<Model>> {
    let current = Entity::find().filter(Column::ExpiresAt.gt(now)).order_by_desc(Column::Id).limit(limit);
    Ok(current.all(db).await?)
}

/// How many of a user are open.
pub async fn open_of(db: &impl ConnectionTrait, user_id: i64, now: Moment) -> Result<u64> {
    let open = Entity::find()
        .filter(Column::AskedById.eq(user_id))
        .filter(Column::State.eq(ApprovalWord::Open))
        .filter(Column::ExpiresAt.gt(now));
    Ok(open.count(db).await?)
}

/// Adds a row in the place of one with the same mark that is over. False if there is one that is not.
pub async fn add(tx: &Tx, row: ActiveModel, mark: &str, now: Moment) -> Result<bool> {
    Entity::delete_many().filter(Column::Mark.eq(mark)).filter(Column::ExpiresAt.lte(now)).exec(tx).await?;
    if Entity::find().filter(Column::Mark.eq(mark)).count(tx).await? > 0 {
        return Ok(false);
    }
    Entity::insert(row).exec_without_returning(tx).await?;
    Ok(true)
}

pub async fn decide(tx: &Tx, id: i64, state: ApprovalWord, by: &str, now: Moment) -> Result<()> {
    let row = ActiveModel {
        state: Set(state),
        decided_by: Set(Some(by.to_owned())),
        decided_at: Set(now),
        ..ActiveModel::default()
    };
    Entity::update_many().set(row).filter(Column::Id.eq(id)).exec(tx).await?;
    Ok(())
}

/// Removes those that are over since `before`, at most `limit`, and tells how many.
pub async fn prune(tx: &Tx, before: Moment, limit: u64) -> Result<u64> {
    let over = Entity::find().select_only().column(Column::Id).filter(Column::ExpiresAt.lt(before)).limit(limit);
    let ids: Vec<i64> = over.into_tuple().all(tx).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    Ok(Entity::delete_many().filter(Column::Id.is_in(ids)).exec(tx).await?.rows_affected)
}
