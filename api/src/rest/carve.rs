use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::envelope::enveloped;

/// Files that a host has sent, as one archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Carve {
    pub id: i64,
    pub created_at: DateTime<Utc>,
    pub host_id: i64,
    /// The name of the host, the time and the request.
    pub name: String,
    pub block_count: i64,
    /// Bytes of each block but the last.
    pub block_size: i64,
    /// Bytes of all blocks together.
    pub carve_size: i64,
    /// The `carve_guid` of the row that a query has found in the table `carves`.
    pub carve_id: String,
    pub request_id: String,
    /// Always empty: the session is a secret of the agent.
    pub session_id: String,
    /// Whether the contents have been removed.
    pub expired: bool,
    /// The last block before the first one that is missing; -1 if that is the first.
    pub max_block: i64,
    pub status: CarveStatus,
    pub received_blocks: i64,
    pub received_bytes: i64,
    pub completed_at: Option<DateTime<Utc>>,
    /// The live query that has asked for the carve, if one has and its answer has named it.
    pub live_query_id: Option<i64>,
    /// The saved query of that live query; or the scheduled query that has asked, as the agent names it; or empty.
    #[serde(default)]
    pub query_name: String,
    /// Why the carve has failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How far a carve is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CarveStatus {
    /// Blocks may come.
    Receiving,
    /// All blocks have come.
    Complete,
    /// Blocks have stopped coming.
    Failed,
    /// The contents have been removed.
    Expired,
}

enveloped!(Carve, CarveList { carves }, CarveEnvelope { carve });

/// A block of a carve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CarveBlockData {
    /// The bytes of the block in base64.
    pub data: String,
}

/// The digest of a block of a carve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CarveBlockDigest {
    /// Counted from 0.
    pub block_id: u64,
    /// Bytes of the block.
    pub size: u64,
    /// SHA-256 of the bytes, in hexadecimal digits.
    pub sha256: String,
}
