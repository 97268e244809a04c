use sea_orm::entity::prelude::*;

use crate::clock::Moment;

#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "hosts")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Unique: what the agent says it is, or that with its instance when two machines say the same.
    pub identifier: String,
    /// What the agent says it is.
    pub claimed_identifier: String,
    pub instance_id: String,
    pub hostname: String,
    pub computer_name: String,
    pub uuid: String,
    pub platform: String,
    pub platform_like: String,
    pub os_version: String,
    pub build: String,
    pub code_name: String,
    pub osquery_version: String,
    pub cpu_type: String,
    pub cpu_subtype: String,
    pub cpu_brand: String,
    pub hardware_vendor: String,
    pub hardware_model: String,
    pub hardware_version: String,
    pub hardware_serial: String,
    pub primary_ip: String,
    pub primary_mac: String,
    /// What the agent hashes to decide about shards.
    pub shard_hostname: String,
    pub memory: i64,
    pub cpu_physical_cores: i64,
    pub cpu_logical_cores: i64,
    pub uptime_secs: i64,
    pub distributed_interval: i64,
    pub config_refresh: i64,
    pub logger_tls_period: i64,
    pub created_at: Moment,
    pub updated_at: Moment,
    pub enrolled_at: Moment,
    pub seen_at: Moment,
    pub detail_updated_at: Moment,
    pub label_updated_at: Moment,
    /// When its schedule was last sampled.
    pub statistics_updated_at: Moment,
    pub gigs_disk_space_available: f64,
    pub percent_disk_space_available: f64,
    pub refetch_requested: bool,
    pub enroll_secret_id: Option<i64>,
    /// When two machines were found to share the identity.
    pub cloned_at: Option<Moment>,
    /// Questions it was sent and has not all answered.
    #[sea_orm(column_type = "Text", nullable)]
    pub open_round: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
