//! Plans of applies, few and for a day.

use std::collections::HashMap;

use sea_orm::{
    ActiveValue::NotSet, ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, Set,
};

use super::Result;
use super::bulk;
use super::entity::plans::{self, Column, Entity, Model};
use crate::clock::Moment;

/// Most plans that are kept.
const MAX_PLANS: usize = 100;

/// Most plans of one user that are kept.
const MAX_PLANS_OF_USER: usize = 20;

/// Most bytes of all plans together.
const MAX_BYTES: i64 = 256 << 20;

/// A plan to be kept.
#[derive(Debug)]
pub struct NewPlan {
    pub author_email: String,
    pub is_forced: bool,
    pub deletes_unnamed: bool,
    /// JSON.
    pub outcome: String,
    /// JSON.
    pub documents: String,
    /// JSON.
    pub shown: String,
    /// JSON, short.
    pub summary: String,
}

/// A plan without its contents.
#[derive(Debug, FromQueryResult)]
pub struct ListedPlan {
    pub id: i64,
    pub created_at: Moment,
    pub expires_at: Moment,
    pub author_email: String,
    pub is_forced: bool,
    pub summary: Option<String>,
}

/// Adds a plan and gives its id.
pub async fn add(db: &impl ConnectionTrait, now: Moment, expires_at: Moment, plan: &NewPlan) -> Result<i64> {
    let row = plans::ActiveModel {
        id: NotSet,
        created_at: Set(now),
        expires_at: Set(expires_at),
        author_email: Set(plan.author_email.clone()),
        is_forced: Set(plan.is_forced),
        deletes_unnamed: Set(plan.deletes_unnamed),
        bytes: Set(i64::try_from(plan.outcome.len() + plan.documents.len() + plan.shown.len()).unwrap_or(i64::MAX)),
        outcome: Set(plan.outcome.clone()),
        documents: Set(plan.documents.clone()),
        shown: Set(Some(plan.shown.clone())),
        summary: Set(Some(plan.summary.clone())),
    };
    Ok(Entity::insert(row).exec(db).await?.last_insert_id)
}

/// A plan that has not expired.
pub async fn get(db: &impl ConnectionTrait, id: i64, now: Moment) -> Result<Option<Model>> {
    Ok(Entity::find_by_id(id).filter(Column::ExpiresAt.gt(now)).one(db).await?)
}

/// Plans that have not expired, the latest first.
pub async fn list(db: &impl ConnectionTrait, now: Moment) -> Result<Vec<ListedPlan>> {
    let columns =
        [Column::Id, Column::CreatedAt, Column::ExpiresAt, Column::AuthorEmail, Column::IsForced, Column::Summary];
    let plans = Entity::find().select_only().columns(columns).filter(Column::ExpiresAt.gt(now));
    Ok(plans.order_by_desc(Column::Id).limit(2 * MAX_PLANS as u64).into_model().all(db).await?)
}

pub async fn delete(db: &impl ConnectionTrait, id: i64) -> Result<()> {
    Entity::delete_by_id(id).exec(db).await?;
    Ok(())
}

/// Removes those that have expired, and the oldest of those that are too many.
pub async fn prune(db: &impl ConnectionTrait, now: Moment) -> Result<()> {
    Entity::delete_many().filter(Column::ExpiresAt.lte(now)).exec(db).await?;
    let columns = [Column::Id, Column::Bytes, Column::AuthorEmail];
    let select = Entity::find().select_only().columns(columns).order_by_desc(Column::Id);
    let kept: Vec<(i64, i64, String)> = select.into_tuple().all(db).await?;
    let (mut bytes, mut others) = (0_i64, 0);
    let mut of_users: HashMap<String, usize> = HashMap::new();
    let excess = kept.into_iter().filter_map(|(id, size, author)| {
        let of_user = of_users.entry(author).or_default();
        *of_user += 1;
        bytes = bytes.saturating_add(size);
        let is_excess = *of_user > MAX_PLANS_OF_USER || others >= MAX_PLANS || (others > 0 && bytes > MAX_BYTES);
        others += usize::from(!is_excess);
        is_excess.then_some(id)
    });
    let excess: Vec<i64> = excess.collect();
    if !excess.is_empty() {
        Entity::delete_many().filter(Column::Id.is_in(bulk::padded(excess))).exec(db).await?;
    }
    Ok(())
}
