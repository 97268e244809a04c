use sea_orm::entity::prelude::*;

use crate::clock::Moment;
use crate::store::word::stored_words;

stored_words! {
    /// How far a rollout is.
    RolloutStateWord {
        /// Hosts of the cohort are served the new version, and more will be.
        Running = "running",
        /// As it is, until somebody resumes it.
        Paused = "paused",
        /// The change is made, for all hosts.
        Done = "done",
        /// All hosts are served the old version again.
        Reverted = "reverted",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rollouts")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Several may have one name, of which all but the last are over.
    pub name: String,
    pub state: RolloutStateWord,
    /// From 0.
    pub stage: i64,
    /// The number of steps so far.
    pub revision: i64,
    pub began_at: Moment,
    pub stage_began_at: Moment,
    pub ended_at: Option<Moment>,
    /// Of a reverted one: until when hosts are served the defaults of options that they may still have.
    pub remains_until: Option<Moment>,
    /// Who is served the new version, as JSON.
    #[sea_orm(column_type = "Text")]
    pub cohort: String,
    /// The cohort of each stage, as JSON.
    #[sea_orm(column_type = "Text")]
    pub stages: String,
    /// The spec, as JSON.
    #[sea_orm(column_type = "Text")]
    pub document: String,
    /// The old and the new version of what changes, as JSON.
    #[sea_orm(column_type = "Text")]
    pub change: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
