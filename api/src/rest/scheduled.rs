use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::sent;

/// A query in the schedule of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduled {
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub id: i64,
    pub pack_id: i64,
    pub name: String,
    pub query_id: i64,
    pub query_name: String,
    /// The SQL.
    pub query: String,
    pub description: String,
    /// Seconds.
    pub interval: u32,
    pub snapshot: Option<bool>,
    pub removed: Option<bool>,
    pub platform: String,
    pub version: String,
    pub shard: Option<u8>,
    pub denylist: Option<bool>,
    pub stats: Option<Value>,
}

/// `POST schedule` and `POST global/schedule`, and `PATCH` of one with any part of it: null takes a setting away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduledInput {
    /// Not in the global schedule, and not in a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_id: Option<i64>,
    /// The query's own name if absent, with `-1` behind it where that is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<u32>,
    #[serde(default, deserialize_with = "sent::or_null", skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Option<bool>>,
    #[serde(default, deserialize_with = "sent::or_null", skip_serializing_if = "Option::is_none")]
    pub removed: Option<Option<bool>>,
    #[serde(default, deserialize_with = "sent::or_null", skip_serializing_if = "Option::is_none")]
    pub platform: Option<Option<String>>,
    #[serde(default, deserialize_with = "sent::or_null", skip_serializing_if = "Option::is_none")]
    pub version: Option<Option<String>>,
    #[serde(default, deserialize_with = "sent::or_null", skip_serializing_if = "Option::is_none")]
    pub shard: Option<Option<u8>>,
    #[serde(default, deserialize_with = "sent::or_null", skip_serializing_if = "Option::is_none")]
    pub denylist: Option<Option<bool>>,
}

/// `GET packs/{id}/scheduled`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledQueries {
    pub scheduled: Vec<Scheduled>,
}

/// `GET global/schedule`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlobalSchedule {
    pub global_schedule: Vec<Scheduled>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduledEnvelope {
    pub scheduled: Scheduled,
}
