use sea_orm::entity::prelude::*;

use crate::clock::Moment;
use crate::store::word::stored_words;

stored_words! {
    /// What was decided about a rollout.
    DecisionWord {
        Began = "began",
        /// The next stage has begun.
        Advanced = "advanced",
        Paused = "paused",
        Resumed = "resumed",
        /// A gate has reverted it.
        Halted = "halted",
        /// Somebody has reverted it.
        Aborted = "aborted",
        /// The change is made for all hosts.
        Done = "done",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rollout_decisions")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub rollout_id: i64,
    pub at: Moment,
    /// The stage that was decided about.
    pub stage: i64,
    pub kind: DecisionWord,
    /// Empty for the server itself.
    pub actor: String,
    #[sea_orm(column_type = "Text")]
    pub reason: String,
    /// What it was decided by, as JSON.
    #[sea_orm(column_type = "Text")]
    pub figures: String,
    /// When the webhook was told of it.
    pub told_at: Option<Moment>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
