use sea_orm::entity::prelude::*;

use crate::clock::Moment;
use crate::store::named::NamedTable;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "packs")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub name: String,
    #[sea_orm(column_type = "Text")]
    pub description: String,
    pub platform: String,
    pub version: String,
    pub shard: Option<i64>,
    /// JSON array of SQL.
    #[sea_orm(column_type = "Text")]
    pub discovery: String,
    pub disabled: bool,
    pub created_at: Moment,
    pub updated_at: Moment,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl NamedTable for Entity {
    const NAME: Column = Column::Name;

    fn name(row: &Model) -> &str {
        &row.name
    }
}
