use sea_orm::entity::prelude::*;

use crate::clock::Moment;

/// A scheduled query with one text of its SQL, as hosts have run it.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "query_versions")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Empty for the top-level schedule of the agent options.
    pub pack: String,
    pub name: String,
    pub sql_hash: i64,
    pub created_at: Moment,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
