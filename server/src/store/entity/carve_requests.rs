use sea_orm::entity::prelude::*;

use crate::clock::Moment;

/// A carve that a query has asked for, as its result says.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "carve_requests")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub host_id: i64,
    /// The agent's name for the carve; unique for the host.
    pub carve_id: String,
    /// `None` if a scheduled query has asked.
    pub live_query_id: Option<i64>,
    /// The saved query of a live query, or empty; the agent's name of a scheduled query.
    pub query_name: String,
    pub created_at: Moment,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
