use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, Default, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rollout_counts")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub rollout_id: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    pub stage: i64,
    /// 1 for hosts of the cohort, 0 for the others.
    #[sea_orm(primary_key, auto_increment = false)]
    pub side: i64,
    /// The node that has counted.
    #[sea_orm(primary_key, auto_increment = false)]
    pub node: String,
    /// Hosts that have sent a sample in the stage.
    pub heard: i64,
    /// Samples that tell of time in the stage alone.
    pub samples: i64,
    /// What these tell of: their time, and what all queries have taken in it.
    pub seconds: i64,
    pub cpu_ms: i64,
    pub memory_bytes: i64,
    pub result_bytes: i64,
    /// Runs of queries that the rollout changes, and what they have taken.
    pub runs: i64,
    pub run_cpu_ms: i64,
    /// How often memory was told, and the sum of that.
    pub run_reports: i64,
    pub run_memory_bytes: i64,
    pub run_errors: i64,
    /// Denylistings of queries that the rollout changes.
    pub denylisted: i64,
    /// Workers that were replaced, but for upgrades.
    pub restarts: i64,
    /// Of `samples`, those of stalled hosts.
    pub stalled: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
