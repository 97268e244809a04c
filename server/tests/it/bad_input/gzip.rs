use agent_compat::TestAgent;
use agent_compat::agent::AgentEndpoint;

use super::{INFLATED_CAP, assert_serving, good_body, gzip, small_caps};
use crate::support::{AGENT_ENDPOINTS, KeptLines, TestServer, assert_refused};

const GZIP: [(&str, &str); 1] = [("Content-Encoding", "gzip")];

fn log_of_size(agent: &TestAgent, bytes: usize) -> Vec<u8> {
    let good = good_body(agent, AgentEndpoint::Log);
    (good.clone() + &" ".repeat(bytes - good.len())).into_bytes()
}

#[tokio::test]
async fn the_inflated_size_has_a_cap_of_its_own() {
    let server = TestServer::with(small_caps).await;
    let agent = server.enrolled(1).await;
    let fits = agent.raw(AgentEndpoint::Log, gzip(&log_of_size(&agent, INFLATED_CAP)), &GZIP).await;
    assert!(fits.verdict.is_success(), "{fits:?}");
    assert_eq!(KeptLines::read(&server.results()).total(), 1);
    for bytes in [INFLATED_CAP + 1, 64 * INFLATED_CAP] {
        let bomb = gzip(&log_of_size(&agent, bytes));
        let exchange = agent.raw(AgentEndpoint::Log, bomb, &GZIP).await;
        assert_refused(&exchange, &format!("{bytes} bytes inflated"));
        assert_eq!(exchange.status(), 413);
    }
    assert_serving(&server).await;
}

#[tokio::test]
async fn broken_gzip_is_refused() {
    let server = TestServer::with(small_caps).await;
    let agent = server.enrolled(1).await;
    let good = gzip(good_body(&agent, AgentEndpoint::Log).as_bytes());
    let mut wrong_sum = good.clone();
    let sum_at = wrong_sum.len() - 6;
    wrong_sum[sum_at] ^= 0xff;
    let bodies = [
        ("no gzip", good_body(&agent, AgentEndpoint::Log).into_bytes()),
        ("nothing", Vec::new()),
        ("only a header", good[..10].to_vec()),
        ("half", good[..good.len() / 2].to_vec()),
        ("no trailer", good[..good.len() - 8].to_vec()),
        ("a wrong sum", wrong_sum),
        ("gzip in gzip", gzip(&good)),
        ("something behind it", [good.as_slice(), b"more"].concat()),
        ("two bodies", [good.as_slice(), good.as_slice()].concat()),
    ];
    for (what, body) in bodies {
        assert_refused(&agent.raw(AgentEndpoint::Log, body, &GZIP).await, what);
    }
    assert_eq!(KeptLines::read(&server.results()).total(), 0);
    assert_serving(&server).await;
}

#[tokio::test]
async fn other_encodings_are_refused() {
    let server = TestServer::with(small_caps).await;
    let agent = server.enrolled(1).await;
    let good = good_body(&agent, AgentEndpoint::Log);
    for encoding in ["deflate", "br", "zstd", "gzip, gzip", "gzip;q=1", "x"] {
        let exchange = agent.raw(AgentEndpoint::Log, good.clone(), &[("Content-Encoding", encoding)]).await;
        assert_refused(&exchange, encoding);
    }
    for encoding in ["identity", "", "GZIP"] {
        let body = if encoding == "GZIP" { gzip(good.as_bytes()) } else { good.clone().into_bytes() };
        let exchange = agent.raw(AgentEndpoint::Log, body, &[("Content-Encoding", encoding)]).await;
        assert!(exchange.verdict.is_success(), "{encoding}: {exchange:?}");
    }
    assert_serving(&server).await;
}

/// Agents compress log bodies only, so elsewhere compressed bytes are no JSON.
#[tokio::test]
async fn compression_belongs_to_logs() {
    let server = TestServer::with(small_caps).await;
    let agent = server.enrolled(1).await;
    for endpoint in AGENT_ENDPOINTS.into_iter().filter(|endpoint| *endpoint != AgentEndpoint::Log) {
        let body = gzip(good_body(&agent, endpoint).as_bytes());
        assert_refused(&agent.raw(endpoint, body, &GZIP).await, &format!("gzip to {endpoint:?}"));
    }
    assert_serving(&server).await;
}

/// A body that says in front whose it is, with so much white space behind it.
fn keyed_in_front(key: &str, spaces: usize) -> Vec<u8> {
    let spaces = " ".repeat(spaces);
    format!("{{\"node_key\":\"{key}\",\"log_type\":\"result\",\"data\":[{{\"good\":1}}{spaces}]}}").into_bytes()
}

#[tokio::test]
async fn a_stranger_is_refused_before_the_body_is_inflated() {
    let server = TestServer::start().await;
    let agent = server.agent(1);
    // Whoever inflates it finds that it is broken.
    let mut body = gzip(&keyed_in_front("nobody", 8 << 20));
    let end = body.len() - 8;
    body.truncate(end);
    let exchange = agent.raw(AgentEndpoint::Log, body, &GZIP).await;
    assert!(exchange.verdict.is_node_invalid(), "{exchange:?}");
    assert_serving(&server).await;
}

#[tokio::test]
async fn a_body_that_does_not_say_early_whose_it_is_inflates_to_little() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    // Has no key of its own, and so sends no header.
    let sender = server.agent(2);
    let key_last = |spaces: usize| {
        let spaces = " ".repeat(spaces);
        format!("{{\"data\":[{{\"good\":1}}{spaces}],\"log_type\":\"result\",\"node_key\":\"{}\"}}", agent.node_key())
    };
    let bomb = sender.raw(AgentEndpoint::Log, gzip(key_last(8 << 20).as_bytes()), &GZIP).await;
    assert_refused(&bomb, "8 MiB of white space by nobody knows whom");
    assert_eq!(bomb.status(), 413);
    // However little it shrinks.
    let random: String = (0..2 << 20).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
    let key = agent.node_key();
    let random = format!("{{\"data\":[\"{random}\"],\"log_type\":\"result\",\"node_key\":\"{key}\"}}");
    let bomb = sender.raw(AgentEndpoint::Log, gzip(random.as_bytes()), &GZIP).await;
    assert_refused(&bomb, "2 MiB that do not shrink");
    assert_eq!(bomb.status(), 413);
    let fits = sender.raw(AgentEndpoint::Log, gzip(key_last(1_000_000).as_bytes()), &GZIP).await;
    assert!(fits.verdict.is_success(), "{fits:?}");
    // A known sender may send it all, however well it shrinks.
    let body = gzip(&keyed_in_front(agent.node_key(), 8 << 20));
    assert!(sender.raw(AgentEndpoint::Log, body, &GZIP).await.verdict.is_success());
    let header = format!("NodeKey {}", agent.node_key());
    let known = [GZIP[0], ("Authorization", header.as_str())];
    assert!(sender.raw(AgentEndpoint::Log, gzip(key_last(8 << 20).as_bytes()), &known).await.verdict.is_success());
    assert_eq!(KeptLines::read(&server.results()).total(), 3);
}
