use super::super::answer::{ACCEPTED, NO_WORK, enrolled, invalid_key, refused};

#[test]
fn answers_are_these_bytes() {
    assert_eq!(ACCEPTED, b"{}");
    assert_eq!(NO_WORK, br#"{"queries":{}}"#);
    assert_eq!(enrolled("k_1-A"), br#"{"node_key":"k_1-A"}"#);
    assert_eq!(refused("overloaded"), br#"{"error":"overloaded"}"#);
    assert_eq!(invalid_key("unknown node key"), br#"{"error":"unknown node key","node_invalid":true}"#);
}

#[test]
fn messages_are_escaped() {
    let message = "a \"b\" \\ \n \u{1} é \u{2028}";
    for (bytes, name) in [(refused(message), "error"), (invalid_key(message), "error"), (enrolled(message), "node_key")]
    {
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value[name], message);
        assert!(!bytes.contains(&b'\n'));
    }
}
