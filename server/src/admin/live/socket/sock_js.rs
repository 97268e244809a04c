//! SockJS's frames inside a WebSocket, see sockjs-protocol 0.3.3.

use serde::Serialize;
use serde_json::json;

/// What a server offers: WebSockets only, no fallbacks.
#[derive(Debug, Serialize)]
pub(in crate::admin::live) struct Info {
    websocket: bool,
    origins: [&'static str; 1],
    cookie_needed: bool,
    entropy: u32,
}

impl Info {
    pub(super) fn new() -> Self {
        Self { websocket: true, origins: ["*:*"], cookie_needed: false, entropy: rand::random() }
    }
}

pub(super) const OPEN: &str = "o";
pub(super) const HEARTBEAT: &str = "h";

/// A message.
pub(super) fn array(message: &str) -> String {
    format!("a{}", json!([message]))
}

pub(super) fn close(code: u16, reason: &str) -> String {
    format!("c{}", json!([code, reason]))
}

/// Messages in what a client sent: an array of them, or one alone. `None` for what is neither.
pub(super) fn messages(frame: &str) -> Option<Vec<String>> {
    if frame.is_empty() {
        return Some(Vec::new());
    }
    serde_json::from_str(frame).ok().or_else(|| Some(vec![serde_json::from_str(frame).ok()?]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_those_of_sock_js() {
        assert_eq!(array(r#"{"type":"x"}"#), r#"a["{\"type\":\"x\"}"]"#);
        assert_eq!(close(3000, "Go away!"), r#"c[3000,"Go away!"]"#);
    }

    #[test]
    fn clients_send_arrays_of_messages() {
        assert_eq!(messages(r#"["{\"a\":1}","b"]"#), Some(vec![r#"{"a":1}"#.to_owned(), "b".to_owned()]));
        assert_eq!(messages(r#""alone""#), Some(vec!["alone".to_owned()]));
        assert_eq!(messages(""), Some(vec![]));
        assert_eq!(messages("[1]"), None);
        assert_eq!(messages("[\"cut"), None);
    }

    #[test]
    fn what_is_offered_is_what_clients_look_for() {
        let info = json!(Info::new());
        assert_eq!((&info["websocket"], &info["cookie_needed"]), (&json!(true), &json!(false)));
    }
}
