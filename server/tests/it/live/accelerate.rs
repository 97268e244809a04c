use std::time::Duration;

use agent_compat::TestAgent;
use agent_compat::agent::{Flags, Identity, Platform};
use serde_json::Value;

use super::ask;
use crate::checkin::settle;
use crate::support::{ENROLL_SECRET, TestServer, object};

async fn host_that_calls_every(server: &TestServer, index: u32, seconds: u64) -> TestAgent {
    let flags = Flags { enroll_secret: ENROLL_SECRET.into(), distributed_interval: seconds, ..Flags::default() };
    let mut agent = server.address.agent_with(Identity::simulated(1, index, Platform::Linux), flags);
    agent.enroll().await;
    settle(&mut agent).await;
    // What they said of themselves is written.
    server.run_tasks().await;
    agent
}

async fn accelerate(agent: &mut TestAgent) -> Option<Value> {
    object(&agent.distributed().await.read).get("accelerate").cloned()
}

#[tokio::test]
async fn a_slow_host_is_hurried_once_in_a_while_and_only_by_a_live_query() {
    let server = TestServer::start().await;
    let mut slow = host_that_calls_every(&server, 1, 60).await;
    let mut quick = host_that_calls_every(&server, 2, 5).await;
    assert_eq!((accelerate(&mut slow).await, accelerate(&mut quick).await), (None, None), "nobody asks");

    ask(&server, "SELECT 1").await;
    assert_eq!((accelerate(&mut slow).await, accelerate(&mut quick).await), (Some(60.into()), None));
    ask(&server, "SELECT 2").await;
    assert_eq!(accelerate(&mut slow).await, None, "it has just been told");
    server.clock.advance(Duration::from_secs(299));
    ask(&server, "SELECT 3").await;
    assert_eq!(accelerate(&mut slow).await, None);
    server.clock.advance(Duration::from_secs(2));
    assert_eq!(accelerate(&mut slow).await, None, "nobody asks");
    ask(&server, "SELECT 4").await;
    assert_eq!((accelerate(&mut slow).await, accelerate(&mut quick).await), (Some(60.into()), None));
}
