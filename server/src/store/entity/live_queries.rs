use sea_orm::entity::prelude::*;

use crate::clock::Moment;
use crate::store::word::stored_words;

stored_words! {
    /// Whether a live query goes on, or how it ended.
    LiveStatusWord {
        Open = "open",
        /// Every target is accounted for.
        Complete = "complete",
        /// An operator ended it.
        Cancelled = "cancelled",
        /// The server ended it, because it seems to harm hosts.
        Stopped = "stopped",
        /// Its deadline has passed.
        Expired = "expired",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "live_queries")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    #[sea_orm(column_type = "Text")]
    pub query: String,
    /// Hosts where it finds nothing are not asked.
    #[sea_orm(column_type = "Text", nullable)]
    pub discovery: Option<String>,
    /// Empty for SQL of its own.
    pub query_name: String,
    pub author_id: Option<i64>,
    pub author_email: String,
    pub created_at: Moment,
    pub deadline: Moment,
    pub finished_at: Option<Moment>,
    /// Campaigns only: it ends then, unless somebody who watches has put it off.
    pub watched_until: Option<Moment>,
    pub status: LiveStatusWord,
    #[sea_orm(column_type = "Text")]
    pub stop_reason: String,
    /// One compressed bitmap of host ids per state.
    #[sea_orm(column_type = "Blob")]
    pub states: Vec<u8>,
    /// Bytes of the answers that are kept, those that the states know.
    pub results_bytes: i64,
    /// A UUIDv7 that names the live query outside the database, where its id may come again. `None` when a node of an
    /// older version has made the row.
    pub bus_key: Option<String>,
    /// Most hosts a second that are given the query; 0 is no limit.
    pub rate: i64,
    /// Whether no further host is given it, or none but canaries.
    pub is_paused: bool,
    /// How often the pace was set.
    pub pace_changes: i64,
    /// A compressed bitmap of the hosts that are given it first.
    #[sea_orm(column_type = "Blob", nullable)]
    pub canaries: Option<Vec<u8>>,
    /// While it is held, and only canaries are given it: until when they are waited for.
    pub canaries_until: Option<Moment>,
    /// Whether an operator has paused it while canaries were waited for, so that they are not given it either.
    pub is_paused_early: bool,
    /// Most CPU time in ms on one host; 0 is no limit.
    pub host_cpu_ms: i64,
    /// Most CPU time in ms on all hosts together; 0 is no limit.
    pub fleet_cpu_ms: i64,
    /// Most rows that are kept of the answer of a host; 0 is no limit, -1 keeps none.
    pub row_limit: i64,
    /// Most bytes of rows, in the same way.
    pub byte_limit: i64,
    /// What the table guard has said of it: a list of texts, as JSON.
    #[sea_orm(column_type = "Text", nullable)]
    pub guard_warnings: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
