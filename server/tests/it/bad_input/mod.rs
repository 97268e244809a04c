//! What no agent should send. Whatever comes, the answer is a JSON object with `error`, and good agents go on being
//! served.

mod bodies;
mod early;
mod flood;
mod gzip;
mod heads;
mod paths;
mod sizes;

use std::io::Write as _;

use agent_compat::TestAgent;
use agent_compat::agent::AgentEndpoint;
use muster::config::{Bytes, Config};
use serde_json::json;

use crate::support::{KeptLines, TestServer};

/// Largest enroll, config and distributed bodies in these tests.
const CAP: usize = 8 * 1024;

/// Largest log body, and that after inflating.
const LOG_CAP: usize = 32 * 1024;
const INFLATED_CAP: usize = 512 * 1024;

fn small_caps(config: &mut Config) {
    config.server.tls = false;
    config.osquery.max_enroll_body = Bytes(CAP);
    config.osquery.max_config_body = Bytes(CAP);
    config.osquery.max_distributed_read_body = Bytes(CAP);
    config.osquery.max_distributed_write_body = Bytes(CAP);
    config.osquery.max_log_body = Bytes(LOG_CAP);
    config.osquery.max_log_inflated = Bytes(INFLATED_CAP);
}

fn cap(endpoint: AgentEndpoint) -> usize {
    if endpoint == AgentEndpoint::Log { LOG_CAP } else { CAP }
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// A body that a endpoint accepts from an enrolled agent.
fn good_body(agent: &TestAgent, endpoint: AgentEndpoint) -> String {
    let key = agent.node_key();
    match endpoint {
        AgentEndpoint::Enroll => json!({
            "enroll_secret": crate::support::ENROLL_SECRET, "host_identifier": "by-hand", "platform_type": "9",
            "host_details": { "os_version": { "platform": "debian" }, "osquery_info": { "version": "5.12.2" } },
        }),
        AgentEndpoint::Config | AgentEndpoint::DistributedRead => json!({ "node_key": key }),
        AgentEndpoint::Log => json!({ "data": [{ "good": 1 }], "log_type": "result", "node_key": key }),
        AgentEndpoint::DistributedWrite => {
            json!({ "queries": { "q": [{ "a": "1" }] }, "statuses": { "q": 0 }, "node_key": key })
        }
    }
    .to_string()
}

/// A host that has done nothing wrong is served at every endpoint.
async fn assert_serving(server: &TestServer) {
    let mut good = server.enrolled(4242).await;
    assert!(good.config().await.verdict.is_success());
    assert!(good.distributed().await.read.verdict.is_success());
    assert!(good.write([]).await.verdict.is_success());
    let line = format!(r#"{{"good_after":{}}}"#, KeptLines::read(&server.results()).total());
    good.push_result_line(&line);
    assert!(good.flush_logs().await.iter().all(|exchange| exchange.verdict.is_success()));
    assert_eq!(KeptLines::read(&server.results()).count(&line), 1);
}
