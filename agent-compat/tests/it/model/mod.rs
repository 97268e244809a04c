//! Behaviour of the model over time, against scripted answers and a clock that the test moves.

#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod config;
mod enroll;
mod live_queries;
mod logs;
mod over_the_wire;
mod schedule;
mod sqlite_host;
mod world;
