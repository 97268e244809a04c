use sea_orm::entity::prelude::*;

/// What a node has counted of some queries in an hour that is not closed yet.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "cost_parts")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Since 1970.
    pub hour: i64,
    /// Which queries.
    pub part: i64,
    pub node: String,
    /// As `fleet::statistics` encodes it.
    pub costs: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
