use sea_orm::entity::prelude::*;

use crate::clock::Moment;

/// A set of tables with their columns, which many hosts have in common.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "table_sets")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub set_hash: Vec<u8>,
    /// When a host last reported it.
    pub used_at: Moment,
    /// As `fleet::schema` encodes them.
    pub tables: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
