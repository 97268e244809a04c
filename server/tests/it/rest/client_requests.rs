//! What the command lines of Fleet send, verb by verb: each file of `client_requests/` is one client, with the exact bodies, the
//! status that the client acts on, and the parts of the answer that it reads.

use std::collections::BTreeMap;

use agent_compat::TestAgent;
use serde::Deserialize;
use serde_json::Value;

use crate::live::sockets::Socket;
use crate::support::{Answer, ENROLL_SECRET, PASSWORD, TestServer};

/// One client, from the first request to a new server on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    /// Headers of every request that has none of its own.
    headers: BTreeMap<String, String>,
    exchanges: Vec<Exchange>,
}

/// A request and what is expected of the answer. `{{name}}` in texts stands for what is known or was kept before.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    /// What the user does.
    verb: String,
    /// A method of HTTP; `SOCKET` opens a WebSocket, sends the lines of the body and reads on to the end of the campaign;
    /// `AGENT` enrolls one host.
    method: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default = "success")]
    status: u16,
    /// What the answer holds: objects at least these keys, lists only such elements, `<string>` and the like any value of the
    /// type, `<absent>` no such key. Of a socket: one message of each of these shapes.
    #[serde(default)]
    shape: Option<Value>,
    /// Parts of the answer to remember, by JSON pointer.
    #[serde(default)]
    keep: BTreeMap<String, String>,
}

fn success() -> u16 {
    200
}

/// A client at work with a server.
struct Run {
    server: TestServer,
    agent: Option<TestAgent>,
    known: BTreeMap<String, String>,
}

impl Run {
    fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.known {
            text = text.replace(&format!("{{{{{name}}}}}"), value);
        }
        assert!(!text.contains("{{"), "nothing is known under the name in {text}");
        text
    }

    async fn exchange(&mut self, client: &Client, exchange: &Exchange) {
        let Exchange { verb, method, .. } = exchange;
        let path = self.filled(&exchange.path);
        let body = exchange.body.as_deref().map(|body| self.filled(body));
        let shape =
            exchange.shape.as_ref().map(|shape| serde_json::from_str(&self.filled(&shape.to_string())).unwrap());
        match method.as_str() {
            "AGENT" => self.enroll().await,
            "SOCKET" => {
                let messages = self.watch(&path, &body.unwrap()).await;
                for wanted in shape.iter().flat_map(|shape: &Value| shape.as_array().unwrap()) {
                    let is_there = messages.iter().any(|message| fault(wanted, message, "").is_none());
                    assert!(is_there, "{verb}: no message like {wanted} in {messages:#?}");
                }
            }
            method => {
                let headers = exchange.headers.as_ref().unwrap_or(&client.headers);
                let headers: BTreeMap<&str, String> =
                    headers.iter().map(|(name, value)| (name.as_str(), self.filled(value))).collect();
                let answer = self.server.rest.send_exactly(method, &path, &headers, body.clone()).await;
                let sent = format!("{verb}: {method} {path} {}", body.unwrap_or_default());
                assert_eq!(answer.status, exchange.status, "{sent}: {}", answer.text);
                if let Some(shape) = &shape {
                    assert_eq!(fault(shape, &answer.json(), ""), None, "{sent}: {}", answer.text);
                }
                self.remember(exchange, &answer);
            }
        }
    }

    fn remember(&mut self, exchange: &Exchange, answer: &Answer) {
        for (name, pointer) in &exchange.keep {
            let value = answer.json().pointer(pointer).cloned();
            let value = value.unwrap_or_else(|| panic!("{}: nothing at {pointer}: {}", exchange.verb, answer.text));
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.known.insert(name.clone(), value);
        }
    }

    async fn enroll(&mut self) {
        let agent = self.server.enrolled(1).await;
        let identity = agent.agent().identity().clone();
        self.known.insert("uuid".to_owned(), identity.uuid);
        self.known.insert("hostname".to_owned(), identity.fqdn);
        self.known.insert("node_key".to_owned(), agent.node_key().to_owned());
        self.agent = Some(agent);
    }

    /// Watches a campaign, which the agent answers meanwhile.
    async fn watch(&mut self, path: &str, lines: &str) -> Vec<Value> {
        let mut socket = Socket::open(&self.server, path).await;
        for line in lines.lines() {
            socket.send(line).await;
        }
        self.agent.as_mut().unwrap().distributed().await;
        let mut messages = Vec::new();
        loop {
            let message = socket.next().await;
            let is_last = message["data"]["status"] == "finished";
            messages.push(message);
            if is_last {
                return messages;
            }
        }
    }
}

/// What is wrong with a value, and where; nothing if it has the shape.
fn fault(shape: &Value, value: &Value, at: &str) -> Option<String> {
    let wrong = || Some(format!("{at}: expected {shape}, found {value}"));
    match shape {
        Value::Object(members) => {
            let Value::Object(found) = value else { return wrong() };
            members.iter().find_map(|(key, shape)| match (found.get(key), shape.as_str()) {
                (None, Some("<absent>")) => None,
                (None, _) => Some(format!("{at}: {key} is missing")),
                (Some(value), _) => fault(shape, value, &format!("{at}/{key}")),
            })
        }
        Value::Array(shapes) => {
            let Value::Array(found) = value else { return wrong() };
            let Some(shape) = shapes.first() else { return if found.is_empty() { None } else { wrong() } };
            if found.is_empty() {
                return wrong();
            }
            found.iter().enumerate().find_map(|(index, value)| fault(shape, value, &format!("{at}/{index}")))
        }
        Value::String(word) if word.starts_with('<') => {
            let is_such = match word.as_str() {
                "<any>" => true,
                "<string>" => value.is_string(),
                "<text>" => value.as_str().is_some_and(|text| !text.is_empty()),
                "<number>" => value.is_number(),
                "<bool>" => value.is_boolean(),
                "<list>" => value.is_array(),
                "<object>" => value.is_object(),
                "<time>" => value.as_str().is_some_and(|text| chrono::DateTime::parse_from_rfc3339(text).is_ok()),
                _ => false,
            };
            if is_such { None } else { wrong() }
        }
        shape => {
            if shape == value {
                None
            } else {
                wrong()
            }
        }
    }
}

async fn run(text: &str) {
    let client: Client = serde_yaml::from_str(text).unwrap();
    let known = [("password", PASSWORD), ("secret", ENROLL_SECRET)];
    let known = known.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let mut run = Run { server: TestServer::empty(|_| {}).await, agent: None, known };
    for exchange in &client.exchanges {
        run.exchange(&client, exchange).await;
    }
}

#[tokio::test]
async fn fleetctl_of_kolide_3() {
    run(include_str!("client_requests/fleetctl-3.yml")).await;
}

#[tokio::test]
async fn fleetctl_of_fleet_4() {
    run(include_str!("client_requests/fleetctl-4.yml")).await;
}

#[tokio::test]
async fn fleetctl_of_today() {
    run(include_str!("client_requests/fleetctl-today.yml")).await;
}

#[test]
fn shapes_find_what_is_wrong() {
    let shape = serde_json::json!({ "a": [{ "b": "<number>" }], "c": "x", "d": "<absent>" });
    let fault = |value: &str| fault(&shape, &serde_json::from_str(value).unwrap(), "");
    assert_eq!(fault(r#"{"a":[{"b":1,"e":2},{"b":2}],"c":"x"}"#), None);
    for wrong in [
        r#"{"a":[],"c":"x"}"#,
        r#"{"a":[{"b":"1"}],"c":"x"}"#,
        r#"{"a":[{"b":1},{}],"c":"x"}"#,
        r#"{"a":[{"b":1}],"c":"y"}"#,
        r#"{"a":[{"b":1}],"c":"x","d":null}"#,
    ] {
        assert!(fault(wrong).is_some(), "{wrong}");
    }
}
