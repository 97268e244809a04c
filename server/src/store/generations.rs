//! Counters that a change moves on inside its transaction, so that every reader can tell stale from fresh.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, Set};

use super::Result;
use super::entity::generations;

/// Moved on by every change of what hosts run or who may enroll.
pub const SCHEDULE: &str = "schedule";

/// Where the counter stands; 0 before the first change.
pub async fn current(db: &impl ConnectionTrait, name: &str) -> Result<i64> {
    Ok(generations::Entity::find_by_id(name).one(db).await?.map_or(0, |row| row.value))
}

/// Moves the counter on. Call it inside the transaction that changes what it counts.
pub async fn bump(db: &impl ConnectionTrait, name: &str) -> Result<()> {
    let moved = generations::Entity::update_many()
        .col_expr(generations::Column::Value, Expr::col(generations::Column::Value).add(1))
        .filter(generations::Column::Name.eq(name))
        .exec(db)
        .await?;
    if moved.rows_affected == 0 {
        let first = generations::ActiveModel { name: Set(name.to_owned()), value: Set(1) };
        generations::Entity::insert(first).exec_without_returning(db).await?;
    }
    Ok(())
}
