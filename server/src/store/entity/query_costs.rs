use sea_orm::entity::prelude::*;

/// What a version of a query has cost in an hour or day.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "query_costs")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub query_version_id: i64,
    /// 0 for an hour, 1 for a day.
    #[sea_orm(primary_key, auto_increment = false)]
    pub span: i64,
    /// The hour or day, since 1970.
    #[sea_orm(primary_key, auto_increment = false)]
    pub bucket: i64,
    /// As `fleet::statistics` encodes it.
    pub costs: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
