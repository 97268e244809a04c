//! What operators did, newest last. Rows are only ever added.

use sea_orm::{ActiveValue::NotSet, ConnectionTrait, EntityTrait, Set};
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

/// The kinds of all activities, oldest first.
#[cfg(test)]
pub async fn kinds(db: &impl ConnectionTrait) -> Result<Vec<String>> {
    use sea_orm::{QueryOrder as _, QuerySelect as _};
    let select = activities::Entity::find().select_only().column(activities::Column::Kind);
    Ok(select.order_by_asc(activities::Column::Id).into_tuple().all(db).await?)
}
