use sea_orm::entity::prelude::*;

use crate::clock::Moment;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "scheduled_queries")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub pack_id: i64,
    pub query_id: i64,
    pub name: String,
    #[sea_orm(column_type = "Text")]
    pub description: String,
    pub interval_secs: i64,
    pub snapshot: Option<bool>,
    pub removed: Option<bool>,
    pub denylist: Option<bool>,
    pub shard: Option<i64>,
    pub platform: String,
    pub version: String,
    pub created_at: Moment,
    pub updated_at: Moment,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
