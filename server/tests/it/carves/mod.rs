//! Carves: what agents send comes whole, or is refused in words that they understand.

mod bucket;
mod crashes;
mod ending;
mod limits;
mod operators;
mod refusals;
mod requests;
mod several;
mod whole;

use agent_compat::agent::{Flags, Identity, Platform};
use agent_compat::{CarveOutcome, Carver, Exchange, TestAgent, accepted};
use serde_json::Value;

use crate::support::{ENROLL_SECRET, TestServer};

/// What an agent sees that has sent everything.
const SENT: CarveOutcome = CarveOutcome::Success { left_out: Vec::new() };

/// Bytes that say where they are from.
fn archive(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// An agent of this release, enrolled.
async fn agent_of(server: &TestServer, index: u32, release: &str) -> TestAgent {
    let mut identity = Identity::simulated(1, index, Platform::Linux);
    release.clone_into(&mut identity.osquery_version);
    let flags = Flags { enroll_secret: ENROLL_SECRET.into(), ..Flags::default() };
    let mut agent = server.address.agent_with(identity, flags);
    assert!(agent.enroll().await.verdict.is_success());
    agent
}

/// Begins a carve and gives its session.
async fn begun(carver: &Carver, agent: &TestAgent) -> String {
    let exchange = carver.begin(agent).await;
    let answer = accepted(exchange.body()).unwrap_or_else(|| panic!("{exchange:?}"));
    assert_eq!((exchange.status(), &answer["success"]), (200, &Value::Bool(true)), "{answer}");
    let session = answer["session_id"].as_str().unwrap().to_owned();
    assert!(session.len() >= 32, "{answer}");
    session
}

#[track_caller]
fn assert_kept(exchange: &Exchange) {
    assert_eq!((exchange.status(), exchange.body()), (200, &br#"{"success":true}"#[..]), "{exchange:?}");
}

/// Checks that the agent sends the request again, or gives the carve up, and does not take it for success.
#[track_caller]
fn assert_not_kept(exchange: &Exchange, status: u16, reason: &str) {
    let text = String::from_utf8_lossy(exchange.body()).into_owned();
    assert_eq!(exchange.status(), status, "{text}");
    assert!(text.starts_with("refused: ") && text.contains(reason), "{text}");
    assert!(accepted(exchange.body()).is_none(), "taken for success: {text}");
    assert!(exchange.header("Content-Type").is_some_and(|kind| kind.starts_with("text/plain")), "{exchange:?}");
}

/// Checks that the agent gives up a carve that wanted to begin, and is told why.
#[track_caller]
fn assert_given_up(exchange: &Exchange, reason: &str) {
    let answer = accepted(exchange.body()).unwrap_or_else(|| panic!("{exchange:?}"));
    assert_eq!(exchange.status(), 400, "{answer}");
    assert!(answer["error"].as_str().is_some_and(|error| error.contains(reason)), "{answer}");
    assert!(answer.get("session_id").is_none(), "{answer}");
}

/// A carve as the API shows it.
async fn shown(server: &TestServer, id: i64) -> Value {
    server.rest.read::<Value>(&format!("carves/{id}")).await["carve"].clone()
}

/// The contents as they are downloaded.
async fn contents(server: &TestServer, id: i64) -> Vec<u8> {
    let response = server.rest.getting(&format!("carves/{id}/contents")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.bytes().await.unwrap().to_vec()
}

/// Folders of contents that there are.
fn folders(server: &TestServer) -> usize {
    std::fs::read_dir(server.folder().join("carves"))
        .map_or(0, |entries| entries.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir())).count())
}
