use sea_orm::entity::prelude::*;

use crate::clock::Moment;

/// The last sample of a host's schedule.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "schedule_samples")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub host_id: i64,
    pub received_at: Moment,
    /// When it was taken, and by which worker, in seconds by the clock of the host.
    pub unix_time: i64,
    pub start_time: i64,
    pub pid: i64,
    /// Since when the host has run no scheduled query, if that is too long.
    pub stalled_since: Option<Moment>,
    /// As `fleet::statistics` encodes it.
    pub sample: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
