//! Hosts are asked about themselves and their labels, and what they answer decides what they run.

mod asking;
mod excluding;
mod labels;
mod parking;
mod rollouts;
pub mod schema;
pub mod statistics;
mod writes;

use agent_compat::{LiveRound, TestAgent};
use serde_json::{Value, json};

use crate::support::object;

/// A label whose members are the hosts `sql` returns a row on.
pub fn label(name: &str, sql: &str) -> Value {
    json!({ "kind": "label", "spec": { "name": name, "query": sql } })
}

/// Names of the questions a host was given.
pub fn questions(round: &LiveRound) -> Vec<String> {
    names(&object(&round.read))
}

pub fn names(answer: &serde_json::Map<String, Value>) -> Vec<String> {
    answer["queries"].as_object().unwrap().keys().cloned().collect()
}

/// Lets a host be asked and answer until it is asked nothing more.
pub async fn settle(agent: &mut TestAgent) {
    for _ in 0..10 {
        if questions(&agent.distributed().await).is_empty() {
            return;
        }
    }
    panic!("the host is asked again and again");
}
