//! What the queries of the fleet cost its hosts.
//!
//! Agents count what each scheduled query has cost (`osquery_schedule`), from some moment on that only they know. The
//! differences between two samples of a host (`fold`) are added up: the distribution of the cost of a run, over hosts and
//! time, is kept in sketches (`sketch`), by version of the query, platform and version of the agent.

#![expect(dead_code, reason = "samples are not collected yet")]

mod agent_version;
mod bytes;
mod cost;
mod difference;
mod fold;
mod known;
mod query_costs;
mod sample;
mod served_names;
mod sketch;
mod stored_costs;
