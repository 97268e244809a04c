use sea_orm::entity::prelude::*;

use crate::clock::Moment;

/// A worker that was replaced. Without a restart of its host, unless the agent has reported it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "worker_restarts")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub host_id: i64,
    /// When a sample showed it, or the agent said it.
    pub seen_at: Moment,
    /// When the new worker was started, in seconds by the clock of the host; 0 if it did not say.
    pub started_at: i64,
    /// The new worker is of another version.
    pub is_upgrade: bool,
    /// The agent has said that a query was running.
    pub is_reported: bool,
    /// Queries that were running, as JSON: pairs of pack and name.
    #[sea_orm(column_type = "Text")]
    pub suspects: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
