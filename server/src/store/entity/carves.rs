use sea_orm::entity::prelude::*;

use crate::clock::Moment;
use crate::store::word::stored_words;

stored_words! {
    /// How far a carve is.
    CarveStatusWord {
        /// Blocks may come.
        Receiving = "receiving",
        /// All blocks are kept.
        Complete = "complete",
        /// No further block is taken, though some are missing.
        Failed = "failed",
        /// Its contents are gone.
        Expired = "expired",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "carves")]
pub struct Model {
    #[sea_orm(primary_key)]
    pub id: i64,
    pub host_id: i64,
    /// Host name, time and request in one word, as Fleet names carves.
    pub name: String,
    /// The agent's name for it; unique for the host.
    pub carve_id: String,
    pub request_id: String,
    /// SHA-256 of the session, the secret with which the agent sends blocks.
    pub session_hash: Vec<u8>,
    /// What names its contents where these are kept.
    pub content_key: String,
    pub block_count: i64,
    /// Bytes of each block but the last.
    pub block_size: i64,
    /// Bytes of all blocks together.
    pub carve_size: i64,
    /// The blocks that are kept, as ranges such as `0-41,43`.
    #[sea_orm(column_type = "Text")]
    pub received: String,
    pub received_bytes: i64,
    /// Bytes that count for the limits: all of them while it may come, then those that are kept.
    pub held_bytes: i64,
    pub status: CarveStatusWord,
    /// Why it failed, or empty.
    #[sea_orm(column_type = "Text")]
    pub error: String,
    pub created_at: Moment,
    /// When it began, until the first block.
    pub last_block_at: Moment,
    pub completed_at: Option<Moment>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
