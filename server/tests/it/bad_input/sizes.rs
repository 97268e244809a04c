use agent_compat::agent::AgentEndpoint;

use super::{CAP, assert_serving, cap, good_body, small_caps};
use crate::support::{AGENT_ENDPOINTS, Raw, TestServer, assert_refused};

/// A good body made so long with white space.
fn padded(good: &str, length: usize) -> String {
    good.to_owned() + &" ".repeat(length - good.len())
}

#[tokio::test]
async fn a_body_may_be_as_large_as_its_cap_and_no_larger() {
    let server = TestServer::with(small_caps).await;
    let agent = server.enrolled(1).await;
    for endpoint in AGENT_ENDPOINTS {
        let good = good_body(&agent, endpoint);
        let fits = agent.raw(endpoint, padded(&good, cap(endpoint)), &[]).await;
        assert!(fits.verdict.is_success(), "{endpoint:?}: {fits:?}");
        let too_large = agent.raw(endpoint, padded(&good, cap(endpoint) + 1), &[]).await;
        assert_refused(&too_large, &format!("a byte too many for {endpoint:?}"));
        assert_eq!(too_large.status(), 413);
    }
    assert!(server.metric("muster_limit_hits_total").await >= 5.0);
    assert_serving(&server).await;
}

fn chunked(body: &str, chunk: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for part in body.as_bytes().chunks(chunk) {
        bytes.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        bytes.extend_from_slice(part);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[tokio::test]
async fn a_body_without_a_length_has_the_same_cap() {
    let server = TestServer::with(small_caps).await;
    let agent = server.enrolled(1).await;
    for endpoint in AGENT_ENDPOINTS {
        let good = good_body(&agent, endpoint);
        for (length, fits) in [(cap(endpoint), true), (cap(endpoint) + 1, false), (cap(endpoint) * 20, false)] {
            let mut raw = Raw::connect(&server.address.url).await;
            let head = Raw::head(&agent.agent().path(endpoint), &[("Transfer-Encoding", "chunked")]);
            raw.write(head.as_bytes()).await;
            raw.write(&chunked(&padded(&good, length), 1000)).await;
            let exchange = raw.answer().await;
            if !fits {
                assert_refused(&exchange, &format!("{length} bytes in chunks to {endpoint:?}"));
            } else if endpoint != AgentEndpoint::Enroll {
                assert!(exchange.verdict.is_success(), "{endpoint:?}: {exchange:?}");
            } else {
                assert!(crate::support::object(&exchange).contains_key("node_key"), "{exchange:?}");
            }
        }
    }
    assert_serving(&server).await;
}

/// A client that sends all it has before it reads must find the answer, not a broken connection.
#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let server = TestServer::with(small_caps).await;
    let agent = server.enrolled(1).await;
    for endpoint in AGENT_ENDPOINTS {
        let body = vec![b' '; 4 * 1024 * 1024];
        let exchange = agent.raw(endpoint, body, &[]).await;
        assert_refused(&exchange, &format!("4 MiB to {endpoint:?}"));
    }
    assert_serving(&server).await;
}

/// Lengths that lie: the announced bytes never come.
#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let server = TestServer::with(|config| {
        small_caps(config);
        config.osquery.answer_timeout = std::time::Duration::from_millis(300);
    })
    .await;
    let agent = server.enrolled(1).await;
    for endpoint in AGENT_ENDPOINTS {
        let mut raw = Raw::connect(&server.address.url).await;
        let length = CAP.to_string();
        let head = Raw::head(&agent.agent().path(endpoint), &[("Content-Length", &length)]);
        raw.write(head.as_bytes()).await;
        raw.write(br#"{"node_key":""#).await;
        assert_refused(&raw.answer().await, &format!("half a body to {endpoint:?}"));
    }
    assert_serving(&server).await;
}

/// Agents write the key first or last; whose body it is must not cost a search through all of it.
#[tokio::test]
async fn a_large_log_body_shows_its_sender_first_or_last() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    // Has no key of its own, and so sends no header.
    let sender = server.agent(2);
    let key = format!("\"node_key\":\"{}\"", agent.node_key());
    let data = |bytes: usize| format!("\"data\":[{{\"pad\":\"{}\"}}]", "x".repeat(bytes));
    let log_type = "\"log_type\":\"result\"";
    let in_the_middle = |bytes: usize| format!("{{{},{key},{log_type}}}", data(bytes));
    let send = async |body: String| sender.raw(AgentEndpoint::Log, body, &[]).await;
    let exchange = send(in_the_middle(2 << 20)).await;
    assert_refused(&exchange, "2 MiB with the key in the middle");
    assert_eq!(exchange.status(), 413);
    for body in [
        in_the_middle(1_000_000),
        format!("{{{key},{log_type},{}}}", data(2 << 20)),
        format!("{{{},{log_type},{key}}}", data(2 << 20)),
    ] {
        let exchange = send(body).await;
        assert!(exchange.verdict.is_success(), "{exchange:?}");
    }
    assert_serving(&server).await;
}
