//! How the model behaves over time, against scripted answers and a clock that the test moves.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod agent_config;
mod agent_enroll;
mod agent_live_queries;
mod agent_logs;
mod agent_schedule;
mod ceiling;
mod over_the_wire;
mod sqlite_host;
mod world;
