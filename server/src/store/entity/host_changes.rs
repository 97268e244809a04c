use sea_orm::entity::prelude::*;

use crate::clock::Moment;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "host_changes")]
pub struct Model {
    /// Where it stands in the feed. Rows become visible when they are committed, so not always in this order.
    #[sea_orm(primary_key)]
    pub id: i64,
    pub host_id: i64,
    pub kind: String,
    pub changed_at: Moment,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
