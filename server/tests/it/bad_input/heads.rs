use super::{assert_serving, small_caps};
use crate::support::{Raw, TestServer};

/// An agent reads an answer without a body as success. One whose request came only in part must not get any while it
/// is still listening, for 16 s.
#[tokio::test]
async fn a_head_that_stops_halfway_is_never_answered_with_success() {
    let server = TestServer::with(small_caps).await;
    let mut raw = Raw::connect(&server.address.url).await;
    raw.write(b"POST /api/v1/osquery/log HTTP/1.1\r\nHost: test\r\nContent-Le").await;
    let exchange = raw.answer().await;
    assert!(!exchange.verdict.is_success(), "an agent takes this for success: {exchange:?}");
    assert_serving(&server).await;
}

/// Millions of tiny lines must not cost more than a few large ones.
#[tokio::test]
async fn a_batch_of_too_many_lines_is_refused() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let lines = "0,".repeat(300_000);
    let body = format!("{{\"node_key\":\"{}\",\"log_type\":\"result\",\"data\":[{lines}0]}}", agent.node_key());
    crate::support::assert_refused(
        &agent.raw(agent_compat::agent::AgentEndpoint::Log, body, &[]).await,
        "too many lines",
    );
    let stranger = format!("{{\"node_key\":\"nobody\",\"log_type\":\"result\",\"data\":[{lines}0]}}");
    let exchange =
        agent.raw(agent_compat::agent::AgentEndpoint::Log, stranger, &[("Authorization", "NodeKey nobody")]).await;
    assert!(exchange.verdict.is_node_invalid(), "{exchange:?}");
}
