use sea_orm::entity::prelude::*;

use crate::clock::Moment;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "replicas")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Uses of keys up to then have been written by it.
    pub written_at: Moment,
    /// When it last said that it is alive. `None` for a node of a version that writes no pages of last-seen times and
    /// reads none.
    pub alive_at: Option<Moment>,
    /// Whether it knows leases on log batches. `None` for a node of a version that does not.
    pub knows_leases: Option<bool>,
    /// The version that it runs. `None` for a node of a version that does not say.
    pub version: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
