//! Puts a config together. The same plan always gives the same bytes: agents reload everything when a single byte
//! moves.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{PlannedPack, ScheduledQuery, etag};
use crate::store::hosts::AgentIntervals;

/// Largest config that agents from 4.3 to 5.23 load: their limit is 1 MiB, checked after a newline has been added.
pub const MAX_CONFIG_BYTES: usize = 1_048_575;

/// A config ready to be sent.
#[derive(Debug, Clone, Default)]
pub struct Assembled {
    pub bytes: Bytes,
    /// A hash of the bytes, the same on every node. `None` for a config without room for an etag, and for one of an older
    /// version with a member of this name, which agents take for it.
    pub hash: Option<Arc<str>>,
    /// What it tells the agent about its intervals.
    pub intervals: AgentIntervals,
}

/// The options with the packs put in.
pub(super) fn assemble<'a>(mut config: Map<String, Value>, packs: impl Iterator<Item = &'a PlannedPack>) -> Assembled {
    let packs: Map<String, Value> = packs.map(|pack| (pack.name.clone(), pack_json(pack))).collect();
    if !packs.is_empty() {
        config.insert("packs".to_owned(), Value::Object(packs));
    }
    let mut config = Value::Object(config);
    config.sort_all_objects();
    let intervals = intervals(&config);
    let bytes = Bytes::from(config.to_string());
    let hash = if config.get("etag").is_none() { etag::hash_of(&bytes) } else { None };
    Assembled { bytes, hash, intervals }
}

/// A pack as agents read it.
pub(super) fn pack_json(pack: &PlannedPack) -> Value {
    let mut json = Map::new();
    set_text(&mut json, "platform", &pack.platform);
    set_text(&mut json, "version", &pack.version);
    set(&mut json, "shard", pack.shard);
    if !pack.discovery.is_empty() {
        json.insert("discovery".to_owned(), pack.discovery.clone().into());
    }
    let queries: Map<String, Value> = pack
        .queries
        .iter()
        // Shard 0 means nobody; osquery would take it for everybody.
        .filter(|query| query.shard != Some(0))
        .map(|query| (query.name.clone(), query_json(query)))
        .collect();
    json.insert("queries".to_owned(), Value::Object(queries));
    Value::Object(json)
}

fn query_json(query: &ScheduledQuery) -> Value {
    let mut json = Map::new();
    json.insert("query".to_owned(), query.sql.clone().into());
    json.insert("interval".to_owned(), query.interval_secs.into());
    set_text(&mut json, "platform", &query.platform);
    set_text(&mut json, "version", &query.version);
    set(&mut json, "removed", query.removed);
    // Absent means false to agents.
    set(&mut json, "snapshot", query.snapshot.filter(|is_snapshot| *is_snapshot));
    set(&mut json, "shard", query.shard);
    // Agents below 5.0 know it by its old name, those below 4.4 by no other.
    set(&mut json, "denylist", query.denylist);
    set(&mut json, "blacklist", query.denylist);
    Value::Object(json)
}

fn set_text(json: &mut Map<String, Value>, key: &str, text: &str) {
    if !text.is_empty() {
        json.insert(key.to_owned(), text.into());
    }
}

fn set(json: &mut Map<String, Value>, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        json.insert(key.to_owned(), value.into());
    }
}

/// Intervals the options name, in seconds; 0 where they name none.
fn intervals(config: &Value) -> AgentIntervals {
    let option = |name: &str| {
        let value = config.get("options").and_then(|options| options.get(name));
        value.and_then(|value| value.as_i64().or_else(|| value.as_str()?.trim().parse().ok())).unwrap_or(0).max(0)
    };
    AgentIntervals {
        distributed: option("distributed_interval"),
        // The alias that agents take from a config; they take the flag itself only from their flagfile.
        config_refresh: option("config_tls_refresh"),
        logger: option("logger_tls_period"),
    }
}
