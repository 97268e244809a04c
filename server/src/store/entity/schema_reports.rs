use sea_orm::entity::prelude::*;

use crate::clock::Moment;

/// A host that was picked to say which tables its agent has, and what it has said.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "schema_reports")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub host_id: i64,
    /// Platform, version of the agent and address when it was picked.
    pub platform: String,
    pub version: String,
    pub address: String,
    /// How often it was picked in a row without having said anything.
    pub picks: i64,
    pub picked_at: Moment,
    /// Not before `picked_at` once it was asked.
    pub asked_at: Moment,
    pub reported_at: Moment,
    /// The set of tables that it has reported. `None` if it has never reported any.
    pub set_hash: Option<Vec<u8>>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
