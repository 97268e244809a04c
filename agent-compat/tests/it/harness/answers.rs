//! Checks of every answer to an agent, whatever it says.

use agent_compat::agent::{AgentEndpoint, Version};
use agent_compat::transport::Response;
use agent_compat::{Exchange, Verdict};
use serde_json::Value;

use super::OSQUERY_VERSION;

/// Largest body an agent reads.
const MAX_BODY_BYTES: usize = 8 << 20;

/// An answer that came, and what the agent that asked makes of it.
#[derive(Debug, Clone)]
pub struct Sent {
    pub verdict: Verdict,
    pub response: Response,
}

impl Sent {
    /// Checks the answer and judges it as an agent would that sent a request of this kind.
    pub fn judged(endpoint: Option<AgentEndpoint>, response: Response, context: &str) -> Self {
        check_answer(&response, context);
        let verdict = match endpoint {
            Some(AgentEndpoint::Enroll) => match Verdict::judge_enroll(&response.body) {
                Ok(key) => Verdict::Success(serde_json::json!({ "node_key": key })),
                Err(reason) => Verdict::Failure(reason),
            },
            _ => Verdict::judge(&response.body, Version::parse(OSQUERY_VERSION)),
        };
        Self { verdict, response }
    }

    /// The answer as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.response.body).unwrap_or_default()
    }

    /// The answer as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.response.body).into_owned()
    }
}

/// Checks the answer in an exchange of the agent model, if there was one.
pub fn checked(exchange: Exchange) -> Exchange {
    if let Some(response) = &exchange.response {
        check_answer(response, "an answer to the model agent");
    }
    exchange
}

/// Checks what no answer may lack: agents ignore the status, take an empty body for success, crash on short roots that
/// are no object, take any `error` for failure, and never use a connection twice.
///
/// # Panics
/// When the answer is one that agents get wrong.
pub fn check_answer(response: &Response, context: &str) {
    let Response { status, body, .. } = response;
    let shown = String::from_utf8_lossy(&body[..body.len().min(300)]);
    let context = format!("{context}: {status} {shown}");
    assert!(!body.is_empty(), "an empty body counts as success: {context}");
    assert!(body.len() <= MAX_BODY_BYTES, "larger than agents read: {} bytes: {context}", body.len());
    let value: Value = match serde_json::from_slice(body) {
        Ok(value) => value,
        Err(error) => panic!("not JSON ({error}): {context}"),
    };
    let object = value.as_object().unwrap_or_else(|| panic!("the root is no object: {context}"));
    if let Some(error) = object.get("error") {
        assert!(error.as_str().is_some_and(|text| !text.is_empty()), "`error` must be text: {context}");
    }
    assert!(!(300..400).contains(status), "agents take it for a redirect: {context}");
    assert_eq!(*status < 300, !object.contains_key("error"), "status and body disagree: {context}");
    if let Some(invalid) = object.get("node_invalid") {
        assert!(invalid.is_boolean(), "only a boolean is understood: {context}");
    }
    let header = |name| response.header(name).unwrap_or_default().to_ascii_lowercase();
    assert!(header("Content-Type").starts_with("application/json"), "{:?}: {context}", header("Content-Type"));
    assert_eq!(header("Connection"), "close", "agents never use a connection again: {context}");
    assert_eq!(header("Content-Length"), body.len().to_string(), "{context}");
    assert_eq!(header("Content-Encoding"), "", "only agents that ask for it can decode it: {context}");
    assert_eq!(header("Location"), "", "{context}");
}
