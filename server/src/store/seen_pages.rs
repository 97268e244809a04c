//! When hosts were last seen, by pages of host ids, in bytes that their users encode themselves.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel as _, QueryFilter, QueryOrder, QuerySelect};

use super::entity::seen_pages::{Column, Entity, Model};
use super::{Result, Tx};
use crate::clock::Moment;

/// The revisions of pages, of those with the newest hosts first.
pub async fn revisions(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<(i64, i64)>> {
    let pages = Entity::find().select_only().columns([Column::Page, Column::Revision]);
    Ok(pages.order_by_desc(Column::Page).limit(limit).into_tuple().all(db).await?)
}

/// When a page was last changed.
pub async fn changed_at(db: &impl ConnectionTrait) -> Result<Option<Moment>> {
    let latest = Entity::find().select_only().column_as(Column::UpdatedAt.max(), "latest");
    let latest: Option<Option<Moment>> = latest.into_tuple().one(db).await?;
    Ok(latest.flatten())
}

/// Those of these pages that there are; a few at most.
pub async fn read(db: &impl ConnectionTrait, pages: &[i64]) -> Result<Vec<Model>> {
    Ok(Entity::find().filter(Column::Page.is_in(pages.iter().copied())).all(db).await?)
}

/// As [`read`]; nobody else changes them until the transaction is over.
pub async fn locked(tx: &Tx, pages: &[i64]) -> Result<Vec<Model>> {
    let pages = Entity::find().filter(Column::Page.is_in(pages.iter().copied()));
    // In one order, so that two nodes never wait for each other.
    Ok(pages.order_by_asc(Column::Page).lock_exclusive().all(tx).await?)
}

/// Adds pages that [`locked`] has not found. Loses the race against whoever adds one of them at the same time.
pub async fn add(tx: &Tx, pages: Vec<Model>) -> Result<()> {
    if !pages.is_empty() {
        Entity::insert_many(pages.into_iter().map(Model::into_active_model)).exec_without_returning(tx).await?;
    }
    Ok(())
}

/// Replaces pages that [`locked`] has found.
pub async fn replace(tx: &Tx, pages: Vec<Model>) -> Result<()> {
    if !pages.is_empty() {
        let all = OnConflict::column(Column::Page)
            .update_columns([Column::Seconds, Column::Revision, Column::UpdatedAt])
            .to_owned();
        let pages = pages.into_iter().map(Model::into_active_model);
        Entity::insert_many(pages).on_conflict(all).exec_without_returning(tx).await?;
    }
    Ok(())
}
