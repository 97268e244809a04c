use agent_compat::agent::AgentEndpoint;
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::{assert_serving, good_body, small_caps};
use crate::support::{AGENT_ENDPOINTS, KeptLines, TestServer, assert_refused};

fn show(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned()
}

async fn assert_all_refused(name: &str, bodies: impl AsyncFn(AgentEndpoint, &agent_compat::TestAgent) -> Vec<Vec<u8>>) {
    let server = TestServer::with(small_caps).await;
    let agent = server.enrolled(1).await;
    for endpoint in AGENT_ENDPOINTS {
        for body in bodies(endpoint, &agent).await {
            let what = format!("{name} to {endpoint:?}: {}", show(&body));
            assert_refused(&agent.raw(endpoint, body, &[]).await, &what);
        }
    }
    assert_eq!(KeptLines::read(&server.results()).total(), 0, "lines of refused bodies were kept");
    assert_serving(&server).await;
}

#[tokio::test]
async fn random_bytes_are_refused() {
    assert_all_refused("random bytes", async |endpoint, _| {
        let mut random = StdRng::seed_from_u64(endpoint as u64);
        let mut bodies = Vec::new();
        for _ in 0..25 {
            let mut body = vec![0; random.random_range(1..4000)];
            random.fill_bytes(&mut body);
            bodies.push(body.clone());
            // A beginning that looks right lets the reader get further.
            bodies.push([br#"{"node_key":""#, body.as_slice()].concat());
        }
        bodies
    })
    .await;
}

#[tokio::test]
async fn bodies_that_are_cut_off_are_refused() {
    assert_all_refused("a cut body", async |endpoint, agent| {
        let good = good_body(agent, endpoint);
        (1..good.len()).step_by(7).chain([good.len() - 1]).map(|end| good.as_bytes()[..end].to_vec()).collect()
    })
    .await;
}

#[tokio::test]
async fn bodies_with_something_behind_them_are_refused() {
    assert_all_refused("a body and more", async |endpoint, agent| {
        let good = good_body(agent, endpoint);
        ["x", "{}", ",", "\0"].iter().map(|more| (good.clone() + more).into_bytes()).collect()
    })
    .await;
}

#[tokio::test]
async fn what_is_no_object_is_refused() {
    assert_all_refused("no object", async |_, _| {
        let bodies = ["", " ", "[]", "[{}]", r#""text""#, "7", "-1.5e3", "true", "null", "<html></html>"];
        bodies.iter().map(|body| body.as_bytes().to_vec()).collect()
    })
    .await;
}

#[tokio::test]
async fn wrong_types_are_refused() {
    assert_all_refused("a wrong type", async |endpoint, agent| {
        let mut bodies: Vec<Value> = [json!(7), json!(true), json!([]), json!({})]
            .into_iter()
            .filter(|_| endpoint != AgentEndpoint::Enroll)
            .map(|key| json!({ "node_key": key, "log_type": "result", "data": [{ "x": 1 }] }))
            .collect();
        let key = agent.node_key();
        match endpoint {
            AgentEndpoint::Enroll => {
                bodies.push(json!({ "enroll_secret": crate::support::ENROLL_SECRET, "host_identifier": [] }))
            }
            AgentEndpoint::Log => {
                for data in [json!("text"), json!({ "a": 1 }), json!(7), json!(true)] {
                    bodies.push(json!({ "node_key": key, "log_type": "result", "data": data }));
                }
                for log_type in [json!("other"), json!(7), json!(null), json!([]), json!("Result")] {
                    bodies.push(json!({ "node_key": key, "log_type": log_type, "data": [{ "x": 1 }] }));
                }
                bodies.push(json!({ "node_key": key, "data": [{ "x": 1 }] }));
            }
            AgentEndpoint::DistributedWrite => {
                for member in ["queries", "statuses"] {
                    bodies.push(json!({ "node_key": key, member: "text" }));
                    bodies.push(json!({ "node_key": key, member: 7 }));
                }
            }
            AgentEndpoint::Config | AgentEndpoint::DistributedRead => {}
        }
        bodies.into_iter().map(|body| body.to_string().into_bytes()).collect()
    })
    .await;
}

/// An enrollment whose secret is of a wrong type is one without a secret.
#[tokio::test]
async fn an_enrollment_with_an_unreadable_secret_gets_no_key() {
    let server = TestServer::with(small_caps).await;
    let agent = server.agent(1);
    for secret in [json!(7), json!(null), json!([]), json!({}), json!(true), json!("")] {
        let body = json!({ "enroll_secret": secret, "host_identifier": "x" }).to_string();
        let exchange = agent.raw(AgentEndpoint::Enroll, body, &[]).await;
        let members = crate::support::object(&exchange);
        assert!(members.contains_key("error") && !members.contains_key("node_key"), "{secret}: {exchange:?}");
    }
    assert_eq!(server.number("SELECT count(*) FROM hosts"), 0);
}

#[tokio::test]
async fn deep_nesting_is_refused() {
    // Room enough, so that it is the depth that is refused.
    let server = TestServer::with(|config| {
        config.osquery.max_enroll_body = muster::config::Bytes::mib(2);
        config.osquery.max_config_body = muster::config::Bytes::mib(2);
        config.osquery.max_distributed_read_body = muster::config::Bytes::mib(2);
    })
    .await;
    let agent = server.enrolled(1).await;
    for depth in [1_000, 100_000] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let nest = open.repeat(depth) + "1" + &close.repeat(depth);
            let unclosed = open.repeat(depth);
            for endpoint in AGENT_ENDPOINTS {
                let good = good_body(&agent, endpoint);
                let inside = format!(r#"{{"deep":{nest},{}"#, &good[1..]);
                let line = good.replace(r#"{"good":1}"#, &nest);
                for body in [nest.clone(), unclosed.clone(), inside, line].into_iter().filter(|body| *body != good) {
                    let what = format!("{depth} levels of {open} to {endpoint:?}");
                    assert_refused(&agent.raw(endpoint, body, &[]).await, &what);
                }
            }
        }
    }
    assert_serving(&server).await;
}

/// Bytes that are no UTF-8 are content, as are NULs and unknown members: none of them is a reason to refuse.
#[tokio::test]
async fn odd_content_is_kept_as_it_is() {
    let server = TestServer::with(small_caps).await;
    let agent = server.enrolled(1).await;
    let mut body =
        format!(r#"{{"unknown":[1],"node_key":"{}","log_type":"result","data":["#, agent.node_key()).into_bytes();
    let line = b"{\"bytes\":\"A\xff\xfe\xc3(B\",\"nul\":\"\\u0000\"}";
    body.extend_from_slice(line);
    body.extend_from_slice(b"]}");
    assert!(agent.raw(AgentEndpoint::Log, body, &[]).await.verdict.is_success());
    assert_eq!(std::fs::read(server.results()).unwrap(), [line.as_slice(), b"\n"].concat());
}
