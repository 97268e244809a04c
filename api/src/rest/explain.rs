use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `GET hosts/{id}/config` and `GET hosts/identifier/{word}/config`: what a host is served, and what it makes of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// As the agent gets it.
    pub config: Value,
    /// What `osquery_info.config_hash` shows once the host has loaded it.
    pub config_hash: String,
    /// Every scheduled query there is, whether the host runs it or not.
    pub schedule: Vec<ExplainedQuery>,
}

/// One scheduled query, and whether this host runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainedQuery {
    /// Empty for queries of the options' own `schedule`.
    pub pack: String,
    pub name: String,
    /// As result lines and `osquery_schedule` name it.
    pub full_name: String,
    pub query: String,
    /// Seconds, before the host's own deviation.
    pub interval: u32,
    /// Also true where only the pack's discovery queries, which run on the host, stand in between.
    pub runs: bool,
    /// Why, or why not.
    pub reason: String,
}
