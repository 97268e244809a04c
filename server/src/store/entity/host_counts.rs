use sea_orm::entity::prelude::*;

/// How many hosts there were in an hour or on a day.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "host_counts")]
pub struct Model {
    /// 0 for an hour, 1 for a day.
    #[sea_orm(primary_key, auto_increment = false)]
    pub span: i64,
    /// The hour or day, since 1970.
    #[sea_orm(primary_key, auto_increment = false)]
    pub bucket: i64,
    /// As `fleet::hosts::census` encodes it: as it was when it was last counted.
    pub counts: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
