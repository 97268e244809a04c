use agent_compat::agent::AgentEndpoint;

use super::gzip;
use crate::support::{AGENT_ENDPOINTS, Rest, ServerSetup, assert_refused};

/// More than the server may take up for all bodies together in this test, with room for what an allocator keeps.
const MAX_GROWTH: u64 = 256 * 1024 * 1024;

#[tokio::test]
async fn a_flood_of_bombs_takes_little_memory() {
    let mut site_flags = vec!["server_tls=false", "osquery_max_distributed_write_body=16MiB"];
    site_flags.extend(["osquery_max_log_body=16MiB", "osquery_max_log_inflated=32MiB"]);
    site_flags.extend(["osquery_max_bodies_in_flight=64MiB", "osquery_max_log_in_flight=64MiB"]);
    site_flags.push("osquery_answer_timeout=3s");
    let setup = ServerSetup::new(&site_flags);
    let mut server = setup.start().await;
    Rest::new(&setup.address()).set_up().await;
    let mut good = setup.address().enrolled(1).await;
    assert!(good.config().await.verdict.is_success());

    let before = server.peak_bytes();
    let bomb = bytes::Bytes::from(gzip(&vec![b' '; 256 << 20]));
    let nest = bytes::Bytes::from("[".repeat(12 << 20));
    let agents: Vec<_> = (0..24).map(|index| setup.address().agent(index)).collect();
    let sending = agents.iter().zip(AGENT_ENDPOINTS.into_iter().cycle()).map(async |(agent, endpoint)| {
        let compressed = [("Content-Encoding", "gzip")];
        assert_refused(&agent.raw(AgentEndpoint::Log, bomb.clone(), &compressed).await, "a bomb");
        assert_refused(&agent.raw(endpoint, nest.clone(), &[]).await, "a deep nest");
        assert_refused(&agent.raw(AgentEndpoint::Log, bomb.clone(), &compressed).await, "a bomb");
    });
    futures_util::future::join_all(sending).await;
    let growth = server.peak_bytes() - before;
    eprintln!("resident memory: {} MiB before, {} MiB more at most", before >> 20, growth >> 20);
    assert!(growth < MAX_GROWTH, "resident memory grew by {} MiB", growth >> 20);
    assert!(server.is_running());
    assert!(good.config().await.verdict.is_success());
    good.push_result_line(r#"{"after":"the flood"}"#);
    assert!(good.flush_logs().await[0].verdict.is_success());
}
