use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "log_batches")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Hashes of last batches, as `fleet::logs` encodes them.
    pub batches: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
