//! The feed of host changes, which every node reads to keep its memory up to date.

use sea_orm::{
    ActiveValue::NotSet, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set,
};

pub use super::entity::host_changes::HostChangeKind;
use super::entity::host_changes::{ActiveModel, Column, Entity, Model};
use super::{MAX_PARAMETERS, Result, bulk};
use crate::clock::Moment;

/// One row of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostChange {
    pub id: i64,
    pub host_id: i64,
    pub kind: HostChangeKind,
    pub at: Moment,
}

/// The next changes after a position, in the order of their positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPage {
    pub after: i64,
    pub changes: Vec<HostChange>,
}

/// Appends a change of these hosts. Call it last in the transaction that makes the change, so that the position taken
/// here becomes visible soon.
pub async fn append(
    db: &impl ConnectionTrait,
    kind: HostChangeKind,
    host_ids: impl IntoIterator<Item = i64>,
    now: Moment,
) -> Result<()> {
    append_all(db, host_ids.into_iter().map(|host_id| (kind.clone(), host_id)), now).await
}

/// As [`append`], for changes of several kinds.
pub async fn append_all(
    db: &impl ConnectionTrait,
    changes: impl IntoIterator<Item = (HostChangeKind, i64)>,
    now: Moment,
) -> Result<()> {
    let rows = changes.into_iter().map(|(kind, host_id)| ActiveModel {
        id: NotSet,
        host_id: Set(host_id),
        kind: Set(kind),
        changed_at: Set(now),
    });
    bulk::insert(db, rows.collect()).await
}

/// Up to `limit` changes after a position, in the order of their positions.
pub async fn after(db: &impl ConnectionTrait, id: i64, limit: u64) -> Result<Vec<HostChange>> {
    let rows = Entity::find().filter(Column::Id.gt(id)).order_by_asc(Column::Id).limit(limit).all(db).await?;
    Ok(rows.into_iter().map(change).collect())
}

fn change(row: Model) -> HostChange {
    HostChange { id: row.id, host_id: row.host_id, kind: row.kind, at: row.changed_at }
}

/// The changes at these positions, in their order; those that nothing stands at are left out.
pub async fn at(db: &impl ConnectionTrait, ids: &[i64]) -> Result<Vec<HostChange>> {
    let mut found = Vec::new();
    for batch in ids.chunks(MAX_PARAMETERS) {
        let ids = bulk::padded(batch.to_vec());
        found.extend(Entity::find().filter(Column::Id.is_in(ids)).order_by_asc(Column::Id).all(db).await?);
    }
    Ok(found.into_iter().map(change).collect())
}

/// The position before all changes made since a moment.
pub async fn position_before(db: &impl ConnectionTrait, since: Moment) -> Result<i64> {
    let newest = Entity::find().select_only().column_as(Column::Id.max(), "newest").filter(Column::ChangedAt.lt(since));
    let newest: Option<Option<i64>> = newest.into_tuple().one(db).await?;
    let first = Entity::find().select_only().column_as(Column::Id.min(), "first").filter(Column::ChangedAt.gte(since));
    let first: Option<Option<i64>> = first.into_tuple().one(db).await?;
    Ok(match first.flatten() {
        Some(first) => first - 1,
        None => newest.flatten().unwrap_or(0),
    })
}

/// Removes changes made before a moment.
pub async fn prune(db: &impl ConnectionTrait, before: Moment) -> Result<()> {
    Entity::delete_many().filter(Column::ChangedAt.lt(before)).exec(db).await?;
    Ok(())
}
