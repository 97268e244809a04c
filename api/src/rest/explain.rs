use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `GET hosts/{id}/config` and `GET hosts/identifier/{word}/config`: the config of a host, and which queries it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Explained {
    /// The config as the agent receives it.
    pub config: Value,
    /// The value of `osquery_info.config_hash` once the host has loaded this config.
    pub config_hash: String,
    /// All scheduled queries, also those that this host does not run.
    pub schedule: Vec<ExplainedQuery>,
}

/// One scheduled query, and whether this host runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedQuery {
    /// Empty for queries of the options' own `schedule`.
    pub pack: String,
    pub name: String,
    /// The name in result lines and in `osquery_schedule`.
    pub full_name: String,
    pub query: String,
    /// Seconds, before the agent's random deviation.
    pub interval: u32,
    /// Also true if it depends only on the pack's discovery queries, which run on the host.
    pub runs: bool,
    /// Why the host runs the query, or does not.
    pub reason: String,
}

/// `GET agent_config`: what the server serves hosts of a platform that are in these labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AgentConfig {
    pub platform: String,
    /// Names of the labels, those that follow from the platform included, in the order of their ids.
    pub labels: Vec<String>,
    /// The config as such an agent receives it.
    pub config: Value,
}
