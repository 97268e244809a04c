//! What operators did, newest last. Rows are added and, when they are old, removed.

use sea_orm::{
    ActiveValue::NotSet, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Set,
};
use serde_json::Value;

use super::Result;
use super::entity::activities;
use crate::clock::Moment;

/// Who did it; `None` for the server itself.
#[derive(Debug, Clone, Default)]
pub struct Actor {
    pub id: Option<i64>,
    pub name: String,
    pub email: String,
}

/// Adds a row, in the transaction of the change it tells about.
pub async fn add(db: &impl ConnectionTrait, now: Moment, actor: &Actor, kind: &str, details: &Value) -> Result<()> {
    let row = activities::ActiveModel {
        id: NotSet,
        created_at: Set(now),
        actor_id: Set(actor.id),
        actor_name: Set(actor.name.clone()),
        actor_email: Set(actor.email.clone()),
        kind: Set(kind.to_owned()),
        details: Set(details.to_string()),
    };
    // Without reading the row back, which would be a second statement on MySQL and MariaDB.
    activities::Entity::insert(row).exec_without_returning(db).await?;
    Ok(())
}

/// Removes those that were added before `before`, at most `limit`, and gives their number. Goes by the ids, which follow the
/// times but for seconds between nodes: so it needs no index and ends at the first that stays.
pub async fn prune(db: &impl ConnectionTrait, before: Moment, limit: u64) -> Result<u64> {
    let select =
        activities::Entity::find().select_only().columns([activities::Column::Id, activities::Column::CreatedAt]);
    let oldest: Vec<(i64, Moment)> =
        select.order_by_asc(activities::Column::Id).limit(limit).into_tuple().all(db).await?;
    let Some((last, _)) = oldest.into_iter().take_while(|(_, at)| *at < before).last() else { return Ok(0) };
    let deleted = activities::Entity::delete_many().filter(activities::Column::Id.lte(last)).exec(db).await?;
    Ok(deleted.rows_affected)
}

/// The latest, newest first: those before the row `before`, and of no kind in `without`.
pub async fn latest(
    db: &impl ConnectionTrait,
    before: Option<i64>,
    without: &[&str],
    limit: u64,
) -> Result<Vec<activities::Model>> {
    use activities::Column;
    let before = Condition::all().add_option(before.map(|id| Column::Id.lt(id)));
    let mut select = activities::Entity::find().filter(before);
    if !without.is_empty() {
        select = select.filter(Column::Kind.is_not_in(without.iter().copied()));
    }
    Ok(select.order_by_desc(Column::Id).limit(limit).all(db).await?)
}

/// The kinds of all activities, oldest first.
#[cfg(test)]
pub async fn kinds(db: &impl ConnectionTrait) -> Result<Vec<String>> {
    let select = activities::Entity::find().select_only().column(activities::Column::Kind);
    Ok(select.order_by_asc(activities::Column::Id).into_tuple().all(db).await?)
}
