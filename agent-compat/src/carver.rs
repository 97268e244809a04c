//! The carver of an agent: it sends an archive in blocks, one after the other.
//!
//! As osqueryd does: the status of an answer is ignored; a request is sent again only if its answer is no JSON, or if there
//! is none; any JSON answer to a block is success; a beginning without a session is given up. Releases before 5.22 send
//! nothing twice and leave out a block that failed. The waits between attempts (1 s, 4 s) are left out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::agent::{AgentEndpoint, Version};
use crate::test_agent::{Exchange, TestAgent};

/// Attempts of one request, from 5.22 on.
const ATTEMPTS: u32 = 3;

/// State that an agent gives its carve afterwards, in the column `status` of its table `carves`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CarveOutcome {
    /// `SUCCESS`. Old agents say so whatever they left out: these blocks.
    Success {
        /// Blocks that were not accepted.
        left_out: Vec<u64>,
    },
    /// `DATA POST FAILED`, and the last answer.
    PostFailed(String),
}

/// A carve that an agent is to send.
#[derive(Clone, Debug)]
pub struct Carver {
    /// `carve_guid`, a UUID.
    pub carve_id: String,
    /// A UUID, from 4.7 on.
    pub request_id: String,
    /// `--carver_block_size`.
    pub block_size: usize,
    /// The archive.
    pub contents: Vec<u8>,
}

/// Outcome of an answer for the carver: the JSON in it, or nothing if it is to try again.
#[must_use]
pub fn accepted(body: &[u8]) -> Option<Value> {
    if body.is_empty() { Some(Value::Null) } else { serde_json::from_slice(body).ok() }
}

impl Carver {
    /// A carve with ids made of a number.
    #[must_use]
    pub fn numbered(number: u64, block_size: usize, contents: Vec<u8>) -> Self {
        Self {
            carve_id: format!("6a5f7a46-f86f-477d-8d50-{number:012x}"),
            request_id: format!("4998d406-c29c-487d-97a4-{number:012x}"),
            block_size,
            contents,
        }
    }

    /// How many blocks there are.
    #[must_use]
    pub fn block_count(&self) -> u64 {
        self.contents.len().div_ceil(self.block_size) as u64
    }

    /// The body of the beginning.
    #[must_use]
    pub fn begin_body(&self, node_key: &str) -> String {
        format!(
            r#"{{"block_count":{},"block_size":{},"carve_size":{},"carve_id":"{}","request_id":"{}","node_key":"{node_key}"}}"#,
            self.block_count(),
            self.block_size,
            self.contents.len(),
            self.carve_id,
            self.request_id,
        )
    }

    /// The body of a block.
    #[must_use]
    pub fn block_body(&self, session_id: &str, block: u64) -> String {
        let data = self.contents.chunks(self.block_size).nth(block as usize).unwrap_or_default();
        self.block_body_of(session_id, block, data)
    }

    /// The body of a block with other bytes.
    #[must_use]
    pub fn block_body_of(&self, session_id: &str, block: u64, data: &[u8]) -> String {
        let (request_id, data) = (&self.request_id, STANDARD.encode(data));
        format!(r#"{{"block_id":{block},"session_id":"{session_id}","request_id":"{request_id}","data":"{data}"}}"#)
    }

    /// Begins the carve once.
    pub async fn begin(&self, agent: &TestAgent) -> Exchange {
        let body = self.begin_body(agent.node_key());
        agent.post("/api/v1/osquery/carve/begin", AgentEndpoint::Log, body, &[]).await
    }

    /// Sends one block once.
    pub async fn block(&self, agent: &TestAgent, session_id: &str, block: u64) -> Exchange {
        let body = self.block_body(session_id, block);
        agent.post("/api/v1/osquery/carve/block", AgentEndpoint::Log, body, &[]).await
    }

    /// Sends the whole carve as the agent's release does.
    pub async fn send(&self, agent: &TestAgent) -> CarveOutcome {
        let version = agent.agent().version();
        let begun = attempt(version, async || self.begin(agent).await).await;
        let session = match &begun {
            Ok(answer) => answer["session_id"].as_str().unwrap_or_default().to_owned(),
            Err(_) => String::new(),
        };
        if session.is_empty() {
            return CarveOutcome::PostFailed(begun.map_or_else(|text| text, |answer| answer.to_string()));
        }
        let mut left_out = Vec::new();
        for block in 0..self.block_count() {
            match attempt(version, async || self.block(agent, &session, block).await).await {
                Ok(_) => {}
                Err(_) if !version.at_least(5, 22, 0) => left_out.push(block),
                Err(text) => return CarveOutcome::PostFailed(text),
            }
        }
        CarveOutcome::Success { left_out }
    }
}

/// The answer to a request that is sent until it is accepted, or the last text that was no JSON.
async fn attempt(version: Version, send: impl AsyncFn() -> Exchange) -> Result<Value, String> {
    let mut left = if version.at_least(5, 22, 0) { ATTEMPTS } else { 1 };
    loop {
        let exchange = send().await;
        let answer = exchange.response.as_ref().and_then(|response| accepted(&response.body));
        left -= 1;
        match answer {
            Some(answer) => return Ok(answer),
            None if left == 0 => return Err(String::from_utf8_lossy(exchange.body()).into_owned()),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_written_as_recorded() {
        let carver = Carver { request_id: "r".to_owned(), ..Carver::numbered(1, 4, b"abcdefghij".to_vec()) };
        assert_eq!(carver.block_count(), 3);
        let bodies: Vec<String> = (0..3).map(|block| carver.block_body("s", block)).collect();
        assert_eq!(bodies[0], r#"{"block_id":0,"session_id":"s","request_id":"r","data":"YWJjZA=="}"#);
        assert!(bodies[1].ends_with(r#""data":"ZWZnaA=="}"#) && bodies[2].ends_with(r#""data":"aWo="}"#), "{bodies:?}");
    }

    #[test]
    fn any_json_is_accepted_and_text_is_not() {
        for body in ["", "{}", r#"{"error":"no"}"#, "[]", "null"] {
            assert!(accepted(body.as_bytes()).is_some(), "{body}");
        }
        for body in ["refused: no\n", "boom", "<html>"] {
            assert!(accepted(body.as_bytes()).is_none(), "{body}");
        }
    }
}
