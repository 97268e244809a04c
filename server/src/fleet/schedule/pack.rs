use crate::fleet::Result;
use crate::store::Error;
use crate::store::entity;

/// A pack as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedPack {
    pub id: i64,
    pub name: String,
    pub platform: String,
    pub version: String,
    pub shard: Option<i64>,
    pub discovery: Vec<String>,
    pub is_disabled: bool,
    /// Sorted.
    pub label_ids: Vec<i64>,
    pub queries: Vec<ScheduledQuery>,
}

/// A scheduled query with the SQL of the saved query it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledQuery {
    pub name: String,
    pub sql: String,
    pub interval_secs: i64,
    pub snapshot: Option<bool>,
    pub removed: Option<bool>,
    pub denylist: Option<bool>,
    pub shard: Option<i64>,
    pub platform: String,
    pub version: String,
}

impl PlannedPack {
    /// The query that the pack schedules under this name.
    pub fn query(&self, name: &str) -> Option<&ScheduledQuery> {
        self.queries.iter().find(|query| query.name == name)
    }

    pub(super) fn of(row: entity::packs::Model, label_ids: Vec<i64>, queries: Vec<ScheduledQuery>) -> Result<Self> {
        let discovery = serde_json::from_str(&row.discovery).map_err(|error| Error::Corrupt {
            table: "packs",
            key: row.name.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            id: row.id,
            name: row.name,
            platform: row.platform,
            version: row.version,
            shard: row.shard,
            discovery,
            is_disabled: row.disabled,
            label_ids,
            queries,
        })
    }

    /// Whether hosts with these labels (sorted) are its targets.
    pub fn targets(&self, label_ids: &[i64]) -> bool {
        // Shard 0 means nobody; osquery would take it for everybody.
        !self.is_disabled
            && self.shard != Some(0)
            && self.label_ids.iter().any(|id| label_ids.binary_search(id).is_ok())
    }
}
