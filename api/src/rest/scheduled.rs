use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FieldError, QueryStats, sent};

/// A query in the schedule of a pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// Null if hosts have not run it since yesterday.
    pub stats: Option<QueryStats>,
}

/// `POST schedule` and `POST global/schedule`, and `PATCH` of one with any of the fields. Null removes a
/// setting.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduledInput {
    /// Required in `POST schedule`; not allowed elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pack_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_id: Option<i64>,
    /// If absent, the name of the query, with `-1` appended while that is taken.
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduledQueries {
    pub scheduled: Vec<Scheduled>,
}

/// `GET global/schedule`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GlobalSchedule {
    pub global_schedule: Vec<Scheduled>,
}

/// One scheduled query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScheduledEnvelope {
    pub scheduled: Scheduled,
    /// What the table guard says of its SQL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<FieldError>,
}
