//! What each activity has changed, object by object. Rows are added with their activity and removed after it.

use sea_orm::{
    ActiveValue::NotSet, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
};

use super::entity::object_changes::{self, Column, Entity, Model};
use super::{Result, bulk};

/// A change of one object, to be added.
#[derive(Debug)]
pub struct NewObjectChange {
    pub kind: &'static str,
    pub object_id: i64,
    pub name: String,
    pub action: &'static str,
    /// JSON.
    pub fields: String,
}

/// Adds the changes of an activity, in their order.
pub async fn add(db: &impl ConnectionTrait, activity_id: i64, changes: Vec<NewObjectChange>) -> Result<()> {
    let row = |(position, change): (usize, NewObjectChange)| object_changes::ActiveModel {
        id: NotSet,
        activity_id: Set(activity_id),
        position: Set(number(position)),
        kind: Set(change.kind.to_owned()),
        object_id: Set(change.object_id),
        name: Set(change.name),
        action: Set(change.action.to_owned()),
        bytes: Set(number(change.fields.len())),
        fields: Set(change.fields),
    };
    bulk::insert(db, changes.into_iter().enumerate().map(row).collect()).await
}

fn number(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The first changes of each of these activities, those that have few bytes.
pub async fn first_of(
    db: &impl ConnectionTrait,
    activity_ids: Vec<i64>,
    positions: i64,
    most_bytes: i64,
) -> Result<Vec<Model>> {
    if activity_ids.is_empty() {
        return Ok(Vec::new());
    }
    let select = Entity::find().filter(Column::ActivityId.is_in(bulk::padded(activity_ids)));
    let select = select.filter(Column::Position.lt(positions)).filter(Column::Bytes.lte(most_bytes));
    Ok(select.order_by_asc(Column::ActivityId).order_by_asc(Column::Position).all(db).await?)
}

/// The changes of an activity from a position on.
pub async fn of_activity(db: &impl ConnectionTrait, activity_id: i64, from: i64, limit: u64) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::ActivityId.eq(activity_id)).filter(Column::Position.gte(from));
    Ok(select.order_by_asc(Column::Position).limit(limit).all(db).await?)
}

/// The latest changes of an object, the newest first: those before the row `before`.
pub async fn of_object(
    db: &impl ConnectionTrait,
    kind: &str,
    object_id: i64,
    before: Option<i64>,
    limit: u64,
) -> Result<Vec<Model>> {
    let select = Entity::find().filter(Column::Kind.eq(kind)).filter(Column::ObjectId.eq(object_id));
    let select = select.filter(Column::Id.lt(before.unwrap_or(i64::MAX)));
    Ok(select.order_by_desc(Column::Id).limit(limit).all(db).await?)
}

/// Removes those of activities up to this one, at most `limit`, and gives their number.
pub(super) async fn prune(db: &impl ConnectionTrait, last_activity: i64, limit: u64) -> Result<u64> {
    let select = Entity::find().select_only().column(Column::Id).filter(Column::ActivityId.lte(last_activity));
    let ids: Vec<i64> = select.order_by_asc(Column::ActivityId).limit(limit).into_tuple().all(db).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    let removed = Entity::delete_many().filter(Column::Id.is_in(bulk::padded(ids))).exec(db).await?;
    Ok(removed.rows_affected)
}
