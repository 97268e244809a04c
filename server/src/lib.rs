//! The Muster server: osquery's TLS API for agents, a REST API for operators, and what stands between them.

pub mod clock;
pub mod config;
mod fleet;
mod sinks;
mod store;
mod telemetry;
