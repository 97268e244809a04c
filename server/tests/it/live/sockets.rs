use std::time::Duration;

use agent_compat::agent::AgentEndpoint;
use muster_api::rest::{LiveQueryEnvelope, LiveStatus};
use reqwest::header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::campaigns::campaign;
use super::{ask, hosts, job};
use crate::support::{ENROLL_SECRET, TestServer, eventually, skipped_with_redis};

/// Longest wait for a message.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client of WebSockets, as small as can be.
pub struct Socket(reqwest::Upgraded);

impl Socket {
    pub async fn open(server: &TestServer, path: &str) -> Self {
        let request = server.rest.anonymous().getting(path);
        let request = request.header(CONNECTION, "Upgrade").header(UPGRADE, "websocket");
        let request = request.header(SEC_WEBSOCKET_VERSION, "13").header(SEC_WEBSOCKET_KEY, "x3JJHMbDL1EzLkh9GBhXDw==");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 101);
        Self(response.upgrade().await.unwrap())
    }

    /// Sends text under a mask of zeros.
    pub async fn send(&mut self, text: &str) {
        let mut frame = vec![0x81, 0xfe];
        frame.extend_from_slice(&u16::try_from(text.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(text.as_bytes());
        self.0.write_all(&frame).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// Waits for a ping.
    async fn ping(&mut self) {
        loop {
            let first = self.0.read_u8().await.unwrap();
            let length = usize::from(self.0.read_u8().await.unwrap());
            assert!(length < 126, "short messages only");
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await.unwrap();
            if first & 0x0f == 0x9 {
                return;
            }
        }
    }

    /// The next text; none when the server takes leave.
    async fn text(&mut self) -> Option<String> {
        let mut whole = Vec::new();
        loop {
            let first = self.0.read_u8().await.ok()?;
            let length = match self.0.read_u8().await.ok()? {
                126 => usize::from(self.0.read_u16().await.ok()?),
                127 => usize::try_from(self.0.read_u64().await.ok()?).unwrap(),
                length => usize::from(length),
            };
            let mut payload = vec![0; length];
            self.0.read_exact(&mut payload).await.ok()?;
            match first & 0x0f {
                0x8 => return None,
                0x9 | 0xa => continue,
                _ => whole.extend(payload),
            }
            if first & 0x80 != 0 {
                return Some(String::from_utf8(whole).unwrap());
            }
        }
    }

    pub async fn next(&mut self) -> Value {
        let text = tokio::time::timeout(PATIENCE, self.text()).await.unwrap().unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Says who one is and picks a campaign.
    pub async fn watch(server: &TestServer, campaign: i64) -> Self {
        let mut socket = Self::open(server, "results/websocket").await;
        socket.send(&auth(server.rest.token())).await;
        socket.send(&select(campaign)).await;
        socket
    }

    /// All results until the campaign is said to be finished.
    async fn results(&mut self) -> Vec<Value> {
        let mut results = Vec::new();
        loop {
            let message = self.next().await;
            match message["type"].as_str().unwrap() {
                "result" => results.push(message["data"].clone()),
                "status" if message["data"]["status"] == "finished" => return results,
                "totals" | "status" => {}
                other => panic!("{other}: {message}"),
            }
        }
    }
}

fn auth(token: &str) -> String {
    json!({ "type": "auth", "data": { "token": token } }).to_string()
}

fn select(campaign: i64) -> String {
    json!({ "type": "select_campaign", "data": { "campaign_id": campaign } }).to_string()
}

async fn everybody(server: &TestServer, agents: &[agent_compat::TestAgent]) -> i64 {
    let uuids: Vec<String> = agents.iter().map(|agent| agent.agent().identity().uuid.clone()).collect();
    campaign(server, &uuids).await
}

#[tokio::test]
async fn a_watcher_is_told_everything_also_of_before() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 3).await;
    let id = everybody(&server, &agents).await;
    agents[0].distributed().await;
    let mut socket = Socket::watch(&server, id).await;
    let totals = json!({ "count": 3, "online": 3, "offline": 0, "missing_in_action": 0 });
    assert_eq!(socket.next().await, json!({ "type": "totals", "data": totals }));
    let status = json!({ "expected_results": 3, "actual_results": 0, "status": "pending" });
    assert_eq!(socket.next().await, json!({ "type": "status", "data": status }));
    for agent in &mut agents[1..] {
        agent.distributed().await;
    }
    let results = socket.results().await;
    assert_eq!(results.len(), 3);
    for result in &results {
        let host = &result["host"];
        assert_eq!((&result["distributed_query_execution_id"], &result["error"]), (&json!(id), &Value::Null));
        assert!(result["rows"][0]["version"].is_string(), "{result:#}");
        assert_eq!(result["rows"][0]["host_hostname"], host["hostname"]);
        assert_eq!(result["rows"][0]["host_display_name"], host["display_name"]);
    }
    // Another one sees the same.
    assert_eq!(Socket::watch(&server, id).await.results().await, results);
}

/// It takes many frames, and more than what waits for a client.
#[tokio::test]
async fn a_long_answer_arrives_whole() {
    let server = TestServer::start().await;
    let agents = hosts(&server, 1).await;
    let id = everybody(&server, &agents).await;
    let key = agents[0].node_key();
    agents[0].raw(AgentEndpoint::DistributedRead, json!({ "node_key": key }).to_string(), &[]).await;
    let name = format!("fleet_distributed_query_{id}");
    let row = json!({ "text": "é\"}".repeat(500) });
    let body = json!({ "node_key": key, "queries": { &name: vec![&row; 3_000] }, "statuses": { &name: 0 } });
    assert!(agents[0].raw(AgentEndpoint::DistributedWrite, body.to_string(), &[]).await.verdict.is_success());
    let results = Socket::watch(&server, id).await.results().await;
    let rows = results[0]["rows"].as_array().unwrap();
    assert_eq!((rows.len(), &rows[2_999]["text"]), (3_000, &row["text"]));
}

#[tokio::test]
async fn sock_js_wraps_the_same_messages() {
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 1).await;
    let id = everybody(&server, &agents).await;
    agents[0].distributed().await;
    assert_eq!(server.rest.anonymous().get("results/info").await.json()["websocket"], true);
    let mut socket = Socket::open(&server, "results/123/abcdefgh/websocket").await;
    assert_eq!(socket.text().await.unwrap(), "o");
    socket.send(&json!([auth(server.rest.token()), select(id)]).to_string()).await;
    let mut kinds = Vec::new();
    while kinds.last().is_none_or(|kind| kind != "result") {
        let frame = socket.text().await.unwrap();
        let messages: Vec<String> = serde_json::from_str(frame.strip_prefix('a').unwrap()).unwrap();
        let message: Value = serde_json::from_str(&messages[0]).unwrap();
        kinds.push(message["type"].as_str().unwrap().to_owned());
    }
    assert_eq!(kinds, ["totals", "status", "result"]);
}

#[tokio::test]
async fn the_last_watcher_who_leaves_ends_a_campaign() {
    if skipped_with_redis("campaigns end by a lease there, see live_nodes") {
        return;
    }
    let server = TestServer::start().await;
    let agents = hosts(&server, 1).await;
    let id = everybody(&server, &agents).await;
    let (mut one, mut other) = (Socket::watch(&server, id).await, Socket::watch(&server, id).await);
    one.next().await;
    other.next().await;
    drop(one);
    server.clock.advance(Duration::from_secs(300));
    server.run_tasks().await;
    assert_eq!(job(&server, id).await.status, LiveStatus::Open, "one still watches");
    drop(other);
    eventually("the campaign ends", PATIENCE, async || {
        (job(&server, id).await.status == LiveStatus::Cancelled).then_some(())
    })
    .await;
    // A job of one's own may be watched too, and goes on.
    let id = ask(&server, "SELECT 1").await.id;
    let mut socket = Socket::watch(&server, id).await;
    socket.next().await;
    drop(socket);
    server.clock.advance(Duration::from_secs(300));
    server.run_tasks().await;
    assert_eq!(job(&server, id).await.status, LiveStatus::Open);
}

#[tokio::test]
async fn refusals_say_why_and_hang_up() {
    let server = TestServer::start().await;
    let agents = hosts(&server, 1).await;
    let id = everybody(&server, &agents).await;
    let (good, other) = (auth(server.rest.token()), auth(server.user("admin").token()));
    for (messages, reason) in [
        (vec![auth("made-up")], "unauthorized".to_owned()),
        (vec![select(id)], "unauthorized".to_owned()),
        (vec!["{".to_owned()], "unauthorized".to_owned()),
        (vec![good.clone(), good.clone()], "expected select_campaign".to_owned()),
        (vec![good.clone(), "{".to_owned()], "error reading select_campaign".to_owned()),
        (vec![good.clone(), select(0)], "0 is not a valid campaign ID".to_owned()),
        (vec![good, select(99)], "cannot find campaign for ID 99".to_owned()),
        (vec![other, select(id)], format!("cannot find campaign for ID {id}")),
    ] {
        let mut socket = Socket::open(&server, "results/websocket").await;
        for message in &messages {
            socket.send(message).await;
        }
        assert_eq!(socket.next().await, json!({ "type": "error", "data": reason }), "{messages:?}");
        assert_eq!(socket.text().await, None, "{messages:?}");
    }
    assert_eq!(job(&server, id).await.status, LiveStatus::Open, "whoever was refused ends nothing");
}

#[tokio::test]
async fn a_server_that_stops_takes_leave() {
    let mut server = TestServer::start().await;
    let agents = hosts(&server, 1).await;
    let id = everybody(&server, &agents).await;
    let mut socket = Socket::watch(&server, id).await;
    socket.next().await;
    socket.next().await;
    // Of another live query: a campaign ends when nobody watches it any more.
    let asked = server.rest.post("live_queries", &json!({ "query": "SELECT 2", "targets": { "all": true } })).await;
    let other = asked.read::<LiveQueryEnvelope>().live_query.id;
    let followed = server.rest.getting(&format!("live_queries/{other}/results?follow=true")).send().await.unwrap();
    server.stop().await;
    assert_eq!(socket.text().await, None);
    assert!(followed.text().await.is_err(), "what was sent must not pass for everything");
}

/// Real time passes: these wait for as long as a client may be silent, and for a sign of life.
#[tokio::test]
async fn a_client_that_says_nothing_is_turned_away_and_one_that_watches_is_kept_alive() {
    let server = TestServer::start().await;
    let agents = hosts(&server, 1).await;
    let id = everybody(&server, &agents).await;
    let long = Duration::from_secs(60);
    let silent = async {
        let mut socket = Socket::open(&server, "results/websocket").await;
        let said = tokio::time::timeout(long, socket.text()).await.unwrap().unwrap();
        assert_eq!(said, json!({ "type": "error", "data": "unauthorized" }).to_string());
        assert_eq!(socket.text().await, None);
    };
    let undecided = async {
        let mut socket = Socket::open(&server, "results/websocket").await;
        socket.send(&auth(server.rest.token())).await;
        let said = tokio::time::timeout(long, socket.text()).await.unwrap().unwrap();
        assert_eq!(said, json!({ "type": "error", "data": "error reading select_campaign" }).to_string());
    };
    let plain = async {
        let mut socket = Socket::watch(&server, id).await;
        tokio::time::timeout(long, socket.ping()).await.unwrap();
    };
    let sock_js = async {
        let mut socket = Socket::open(&server, "results/1/abcdefgh/websocket").await;
        socket.send(&json!([auth(server.rest.token()), select(id)]).to_string()).await;
        let beat = async { while socket.text().await.unwrap() != "h" {} };
        tokio::time::timeout(long, beat).await.unwrap();
    };
    tokio::join!(silent, undecided, plain, sock_js);
}

#[tokio::test]
async fn sockets_and_streams_are_under_the_prefix_too() {
    let server = TestServer::with(|config| config.server.url_prefix = "/fleet-of-ours".to_owned()).await;
    let enroll = json!({ "enroll_secret": ENROLL_SECRET, "host_identifier": "one" });
    assert_eq!(server.rest.post("/api/v1/osquery/enroll", &enroll).await.status, 200);
    let id = campaign(&server, &["one".to_owned()]).await;
    let mut socket = Socket::watch(&server, id).await;
    assert_eq!(socket.next().await["type"], "totals");
    let mut framed = Socket::open(&server, "results/1/abcdefgh/websocket").await;
    assert_eq!(framed.text().await.unwrap(), "o");
    let followed = server.rest.getting(&format!("live_queries/{id}/results?follow=true")).send().await.unwrap();
    assert_eq!(followed.status(), 200);
    drop(socket);
    // With Redis it goes on for some seconds, for others who may watch it at other servers.
    eventually("the campaign ends", PATIENCE, async || {
        server.clock.advance(Duration::from_secs(1));
        server.run_tasks().await;
        (job(&server, id).await.status == LiveStatus::Cancelled).then_some(())
    })
    .await;
    assert_eq!(followed.text().await.unwrap(), "", "it ends with the campaign");
}
