use sea_orm::entity::prelude::*;

use crate::clock::Moment;
use crate::store::named::NamedTable;
use crate::store::word::stored_words;

stored_words! {
    /// Where a label comes from.
    LabelTypeWord {
        /// Made by an operator.
        Regular = "regular",
        /// Made by the server. Its members follow from the platform of each host.
        Builtin = "builtin",
    }
}

stored_words! {
    /// How hosts become members of a label.
    MembershipWord {
        /// By the answer to the label's query.
        Dynamic = "dynamic",
        /// By the operator's list.
        Manual = "manual",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "labels")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub name: String,
    #[sea_orm(column_type = "Text")]
    pub description: String,
    #[sea_orm(column_type = "Text")]
    pub query: String,
    pub platform: String,
    pub label_type: LabelTypeWord,
    pub membership_type: MembershipWord,
    pub created_at: Moment,
    pub updated_at: Moment,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl NamedTable for Entity {
    const NAME: Column = Column::Name;
    const ORDER: Column = Column::Id;

    fn name(row: &Model) -> &str {
        &row.name
    }
}
