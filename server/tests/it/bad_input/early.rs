use std::io::Write as _;
use std::process::Command;

use agent_compat::agent::AgentEndpoint;

use super::assert_serving;
use crate::support::{TestServer, assert_refused};

/// Sends a body to a path with curl, and gives the status and the body of the answer.
fn curl(version: &str, url: &str, headers: &[&str], body: &std::path::Path) -> (String, String) {
    let mut command = Command::new("curl");
    command.args(["-sk", version, "--max-time", "20", "-X", "POST", "-w", "\n%{http_code} %{errormsg}", url]);
    for header in headers {
        command.args(["-H", header]);
    }
    let data = format!("@{}", body.display());
    command.args(["-H", "Content-Type: application/json", "--data-binary", &data]);
    let output = command.output().expect("curl cannot be run: install curl");
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, outcome) = text.rsplit_once('\n').unwrap();
    (outcome.trim().to_owned(), body.to_owned())
}

/// A client that is still sending must find the answer, over either version of HTTP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_comes_before_the_body_is_read_arrives() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let mut bodies = Vec::new();
    for bytes in [200_000, 12 << 20] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![b'a'; bytes]).unwrap();
        bodies.push(file);
    }
    let token = format!("Authorization: Bearer {}", server.rest.token());
    let cases: [(&str, &[&str], &str); 5] = [
        ("/api/v1/fleet/spec/apply", &["Authorization: Bearer nope"], "401"),
        ("/api/v1/fleet/nothing", &[&token], "404"),
        ("/api/v1/osquery/nothing", &[], "404"),
        ("/api/v1/osquery/log", &["Authorization: NodeKey nobody"], "401"),
        ("/api/v1/osquery/config", &[], "413"),
    ];
    let mut wrong = Vec::new();
    for version in ["--http2", "--http1.1"] {
        for (path, headers, status) in cases {
            for body in bodies.iter().chain(&bodies) {
                let url = format!("{}{path}", server.address.url);
                let (outcome, answer) = curl(version, &url, headers, body.path());
                if outcome != status || !answer.starts_with('{') {
                    wrong.push(format!("{version} {path}: {outcome}, want {status}: {answer}"));
                }
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    // The test's own client, which reads while it sends.
    let stranger = server.rest.with_token("nope");
    let answer = stranger.post_bytes("spec/apply", "application/json", vec![b'a'; 4 << 20]).await;
    assert_eq!(answer.status, 401);
    let exchange = agent.raw(AgentEndpoint::Log, vec![b'a'; 4 << 20], &[("Authorization", "NodeKey nobody")]).await;
    assert!(exchange.verdict.is_node_invalid(), "{exchange:?}");
    assert_serving(&server).await;
}

/// Agents write their key at an end, where it is found without reading the rest. A stranger has no large body read.
#[tokio::test]
async fn a_large_write_that_shows_no_key_at_an_end_is_refused_unread() {
    let server = TestServer::with(|config| config.server.tls = false).await;
    let agent = server.enrolled(1).await;
    let rows = "{\"a\":\"1\"},".repeat(200_000);
    let (key, none) = (agent.node_key(), [("Authorization", "none")]);
    let inside = format!("{{\"queries\":{{\"q\":[{rows}{{}}]}},\"node_key\":\"{key}\",\"statuses\":{{\"q\":0}}}}");
    let refused = agent.raw(AgentEndpoint::DistributedWrite, inside.clone(), &none).await;
    assert_refused(&refused, "who sends it does not show");
    assert!(String::from_utf8_lossy(refused.body()).contains("node_key"), "{refused:?}");
    let at_the_end = format!("{{\"queries\":{{\"q\":[{rows}{{}}]}},\"statuses\":{{\"q\":0}},\"node_key\":\"{key}\"}}");
    assert!(agent.raw(AgentEndpoint::DistributedWrite, at_the_end, &none).await.verdict.is_success());
    let header = format!("NodeKey {key}");
    let known = [("Authorization", header.as_str())];
    assert!(agent.raw(AgentEndpoint::DistributedWrite, inside, &known).await.verdict.is_success());
}
