//! Settings that shape the load, in the units that the engine works with.

use std::time::Duration;

use super::fleet::Micros;

#[derive(Debug)]
pub(super) struct Profile {
    pub seed: u64,
    pub run: u32,
    pub start_unix_ms: u64,
    pub agents: u32,
    pub first_agent: u32,
    pub clones: u32,
    pub slow_hosts: f64,
    pub slow_by: Micros,
    pub storm: bool,
    pub ramp: Micros,
    pub distributed_interval: Micros,
    pub config_interval: Micros,
    pub log_interval: Micros,
    pub log_share: f64,
    pub lines: Option<u32>,
    pub line_bytes: usize,
    pub status_share: f64,
    pub label_flips: f64,
    pub query_fails: f64,
    pub query_empty: f64,
    pub live_bytes: usize,
    pub slow: Duration,
    pub check_config: bool,
    /// Requests for configs carry an etag.
    pub etags: bool,
    /// Length of a slice of the results; 0 for none.
    pub slice: Micros,
    /// Connections are pooled, and say for whom they carry a request.
    pub is_balanced: bool,
    /// Value of the `Host` header.
    pub host: String,
}
