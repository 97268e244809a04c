//! What operators did, newest last. Rows are added and, when they are old, removed.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ActiveValue::NotSet, ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Set,
};
use serde_json::Value;

use super::entity::activities;
use super::{Result, bulk, object_changes};
use crate::clock::Moment;

/// Who did it; `None` for the server itself.
#[derive(Debug, Clone, Default)]
pub struct Actor {
    pub id: Option<i64>,
    pub name: String,
    pub email: String,
}

/// Adds a row, in the transaction of the change it tells about, and gives its id.
pub async fn add(db: &impl ConnectionTrait, now: Moment, actor: &Actor, kind: &str, details: &Value) -> Result<i64> {
    let row = activities::ActiveModel {
        id: NotSet,
        created_at: Set(now),
        actor_id: Set(actor.id),
        actor_name: Set(actor.name.clone()),
        actor_email: Set(actor.email.clone()),
        kind: Set(kind.to_owned()),
        details: Set(details.to_string()),
    };
    Ok(activities::Entity::insert(row).exec(db).await?.last_insert_id)
}

/// Removes those that were added before `before`, at most `limit`, or as many of their changes, which go first. Tells whether
/// there may be more. Goes by the ids, which follow the times but for seconds between nodes: so it needs no index and ends at the
/// first that stays.
pub async fn prune(db: &impl ConnectionTrait, before: Moment, limit: u64) -> Result<bool> {
    let select =
        activities::Entity::find().select_only().columns([activities::Column::Id, activities::Column::CreatedAt]);
    let oldest: Vec<(i64, Moment)> =
        select.order_by_asc(activities::Column::Id).limit(limit).into_tuple().all(db).await?;
    let Some((last, _)) = oldest.into_iter().take_while(|(_, at)| *at < before).last() else { return Ok(false) };
    if object_changes::prune(db, last, limit).await? == limit {
        return Ok(true);
    }
    let deleted = activities::Entity::delete_many().filter(activities::Column::Id.lte(last)).exec(db).await?;
    Ok(deleted.rows_affected == limit)
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

pub async fn by_id(db: &impl ConnectionTrait, id: i64) -> Result<Option<activities::Model>> {
    Ok(activities::Entity::find_by_id(id).one(db).await?)
}

/// Those of these ids that are still there.
pub async fn by_ids(db: &impl ConnectionTrait, ids: Vec<i64>) -> Result<Vec<activities::Model>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    Ok(activities::Entity::find().filter(activities::Column::Id.is_in(bulk::padded(ids))).all(db).await?)
}

/// Activities that are looked through for those of some kinds: there is no index of kinds.
const LOOKED_THROUGH: i64 = 5_000;

/// The latest of these kinds that were added since `since`, newest first, of the last [`LOOKED_THROUGH`] activities.
pub async fn latest_of(
    db: &impl ConnectionTrait,
    kinds: &[&str],
    since: Moment,
    limit: u64,
) -> Result<Vec<activities::Model>> {
    use activities::Column;
    let recent = Expr::cust(format!("(SELECT COALESCE(MAX(id), 0) - {LOOKED_THROUGH} FROM activities)"));
    let select = activities::Entity::find()
        .filter(Expr::col(Column::Id).gt(recent))
        .filter(Column::CreatedAt.gte(since))
        .filter(Column::Kind.is_in(kinds.iter().copied()));
    Ok(select.order_by_desc(Column::Id).limit(limit).all(db).await?)
}

/// The kinds of all activities, oldest first.
#[cfg(test)]
pub async fn kinds(db: &impl ConnectionTrait) -> Result<Vec<String>> {
    let select = activities::Entity::find().select_only().column(activities::Column::Kind);
    Ok(select.order_by_asc(activities::Column::Id).into_tuple().all(db).await?)
}
