use sea_orm::entity::prelude::*;

use crate::store::word::stored_words;

stored_words! {
    /// What a label means for the hosts of a pack, beside being one of those that a host is to be in any of.
    LabelConditionWord {
        /// Hosts must be in it.
        All = "all",
        /// Hosts must not be in it.
        Exclude = "exclude",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "pack_label_conditions")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub pack_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub label_id: i64,
    pub condition_word: LabelConditionWord,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
