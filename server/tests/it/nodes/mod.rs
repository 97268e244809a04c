//! Several servers over one database behave as one.

mod changes;
mod crowd;
mod keys;
mod lagging;
mod leading;
mod rounds;
mod schema;
mod seen;

use agent_compat::TestAgent;
use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::support::TestServer;

/// Two servers over one database.
async fn two() -> (TestServer, TestServer) {
    let one = TestServer::start().await;
    let other = TestServer::beside(&one).await;
    (one, other)
}

/// When a host was last seen, as a server shows it, in microseconds.
pub async fn seen_at(server: &TestServer, host_id: i64) -> i64 {
    let shown: Value = server.rest.read(&format!("hosts/{host_id}")).await;
    let seen: DateTime<Utc> = shown["host"]["seen_time"].as_str().unwrap().parse().unwrap();
    seen.timestamp_micros()
}

/// A host both servers hold in memory, now at the first.
async fn known_to_both(one: &TestServer, other: &TestServer, index: u32) -> TestAgent {
    let mut agent = one.enrolled(index).await;
    for server in [other, one] {
        server.address.draw(&mut agent);
        assert!(agent.config().await.verdict.is_success(), "a new key is good everywhere at once");
    }
    agent
}
