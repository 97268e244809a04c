use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "object_changes")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub activity_id: i64,
    /// Which change of its activity it is, from 0.
    pub position: i64,
    pub kind: String,
    /// 0 for what there is only one of.
    pub object_id: i64,
    /// The name that the object had then.
    pub name: String,
    pub action: String,
    /// Bytes of `fields`.
    pub bytes: i64,
    /// JSON.
    #[sea_orm(column_type = "Text")]
    pub fields: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
