use sea_orm::entity::prelude::*;

use crate::clock::Moment;
use crate::store::word::stored_words;

stored_words! {
    /// The role of a user.
    RoleWord {
        Observer = "observer",
        Maintainer = "maintainer",
        Admin = "admin",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "users")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub email: String,
    pub name: String,
    pub global_role: RoleWord,
    pub api_only: bool,
    pub created_at: Moment,
    pub updated_at: Moment,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
