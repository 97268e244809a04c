use sea_orm::entity::prelude::*;

use crate::clock::Moment;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "seen_pages")]
pub struct Model {
    /// 32,768 host ids each: page 0 begins with id 0.
    #[sea_orm(primary_key, auto_increment = false)]
    pub page: i64,
    /// When its hosts were last seen, as `fleet::hosts` encodes it.
    pub seconds: Vec<u8>,
    /// Differs after each change.
    pub revision: i64,
    pub updated_at: Moment,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
