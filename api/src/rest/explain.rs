use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `GET hosts/identifier/{x}/config`: what a host is told to run, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explained {
    /// As the agent gets it.
    pub config: Value,
    /// As `osquery_info.config_hash` shows it once the agent runs it.
    pub config_hash: String,
    pub schedule: Vec<ExplainedQuery>,
}

/// One scheduled query, and whether this host runs it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainedQuery {
    pub pack: String,
    pub name: String,
    /// As results and `osquery_schedule` name it.
    pub full_name: String,
    pub query: String,
    /// Seconds.
    pub interval: u32,
    pub runs: bool,
    pub reason: String,
}
