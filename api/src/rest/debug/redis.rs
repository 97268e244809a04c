use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Slow commands, by the server that ran them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisSlowLog {
    pub nodes: Vec<RedisNodeSlowLog>,
}

/// Slow commands of one server, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisNodeSlowLog {
    /// Host and port.
    pub node: String,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub commands: Vec<RedisSlowCommand>,
}

/// A slow command, without its arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisSlowCommand {
    pub id: i64,
    pub at: Option<DateTime<Utc>>,
    pub microseconds: u64,
    /// Its name, such as `EVALSHA`.
    pub command: String,
    /// Number of its arguments, as far as Redis keeps them.
    pub arguments: usize,
    /// Number of those that are keys of Muster.
    pub keys: usize,
}

/// Keys of Muster in Redis.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisKeys {
    pub nodes: Vec<RedisNodeKeys>,
    /// Live queries that the answering node has open.
    pub live_queries: Vec<RedisLiveKeys>,
    /// Live queries that are not shown.
    pub left_out: usize,
}

/// Keys on one master.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisNodeKeys {
    /// Host and port.
    pub node: String,
    /// Why there is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Keys in the database, whosever they are.
    pub keys: u64,
    /// Whether all of them were looked at; otherwise what `kinds` counts is a part.
    pub is_complete: bool,
    pub kinds: Vec<RedisKeyKind>,
}

/// Keys of Muster of one kind, such as `live:lines`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisKeyKind {
    pub kind: String,
    pub keys: u64,
    /// Entries of all streams of this kind that were measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<u64>,
    /// Streams that were measured.
    #[serde(default)]
    pub measured: u64,
}

/// The streams of an open live query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedisLiveKeys {
    pub live_query_id: i64,
    /// Entries of the stream of events.
    pub events: u64,
    /// Entries of the stream of answers.
    pub lines: u64,
}
