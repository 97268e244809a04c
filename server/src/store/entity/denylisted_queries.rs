use sea_orm::entity::prelude::*;

use crate::clock::Moment;

/// A scheduled query that an agent did not run, because it had stopped the worker.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "denylisted_queries")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub host_id: i64,
    /// Empty for the top-level schedule of the agent options.
    pub pack: String,
    pub name: String,
    /// When a sample first showed it.
    pub since: Moment,
    /// When a sample first did not show it any more.
    pub until: Option<Moment>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
