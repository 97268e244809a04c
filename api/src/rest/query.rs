use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::QueryStats;
use super::envelope::enveloped;

/// A saved query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Query {
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub id: i64,
    pub name: String,
    pub description: String,
    pub query: String,
    /// Always true.
    pub saved: bool,
    pub observer_can_run: bool,
    pub author_id: Option<i64>,
    pub author_name: String,
    pub author_email: String,
    /// Packs that schedule the query; empty for users who may not read packs.
    pub packs: Vec<QueryPack>,
    /// Null if hosts have not run it since yesterday.
    pub stats: Option<QueryStats>,
}

/// A pack that schedules a query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QueryPack {
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub id: i64,
    pub name: String,
    pub description: String,
    pub platform: String,
    pub disabled: bool,
}

/// `POST queries`, and `PATCH queries/{id}` with any of the fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryInput {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observer_can_run: Option<bool>,
}

/// `POST queries/delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryIds {
    pub ids: Vec<i64>,
}

/// The number of deleted objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    pub deleted: u64,
}

enveloped!(Query, QueryList { queries }, QueryEnvelope { query });
