//! The exact bytes of every answer that is not work of its own (a configuration, a list of
//! queries).
//!
//! Agents ignore the HTTP status. An empty body, or any object without `error` and without
//! `node_invalid: true`, is success: the agent then deletes the logs it sent, or replaces its
//! configuration by nothing. So these functions are the only way to say no, and the constants the
//! only way to say yes.

use serde_json::Value;

/// What was sent is now the server's responsibility.
pub const ACCEPTED: &[u8] = b"{}";

/// A block of a carve is kept.
pub const BLOCK_KEPT: &[u8] = b"{\"success\":true}";

/// There is no live query to run.
pub const NO_WORK: &[u8] = b"{\"queries\":{}}";

/// Enrollment worked. An empty key would be a refusal. Keys also travel in a header from 5.23 on,
/// so they should be made of letters, digits, `-` and `_`.
pub fn enrolled(node_key: &str) -> Vec<u8> {
    object("node_key", node_key, "")
}

/// Not now: the agent keeps what it sent and tries again. Not an answer to carve blocks, where
/// agents take any JSON for success.
pub fn refused(message: &str) -> Vec<u8> {
    object("error", message, "")
}

/// The node key is certainly not one of ours: the agent drops it and enrolls again. Also the
/// refusal of an enrollment.
pub fn invalid_key(message: &str) -> Vec<u8> {
    object("error", message, ",\"node_invalid\":true")
}

/// A carve may begin. An empty session would be a refusal.
pub fn carve_begun(session_id: &str) -> Vec<u8> {
    object("session_id", session_id, ",\"success\":true")
}

/// Not now, to requests of carves. Agents from 5.22 on send them again only if the answer is no JSON; older ones go on with
/// the next block in any case.
pub fn carve_refused(message: &str) -> Vec<u8> {
    format!("refused: {message}\n").into_bytes()
}

fn object(name: &str, text: &str, more: &str) -> Vec<u8> {
    format!("{{\"{name}\":{}{more}}}", Value::from(text)).into_bytes()
}
