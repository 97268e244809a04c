//! Several servers over one database behave as one.

mod changes;
mod crowd;
mod keys;
mod lagging;
mod leading;
mod rounds;

use agent_compat::TestAgent;

use crate::support::TestServer;

/// Two servers over one database.
async fn two() -> (TestServer, TestServer) {
    let one = TestServer::start().await;
    let other = TestServer::beside(&one).await;
    (one, other)
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
