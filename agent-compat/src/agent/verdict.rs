//! How an agent judges an answer: by the body alone, never by the status code.

use serde_json::{Map, Value};

use super::version::Version;

/// Judgement of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Accepted; an empty body counts as `{}`.
    Success(Value),
    /// Refused, unreadable or never arrived; the text says why.
    Failure(String),
    /// Refused, and the node key is to be dropped.
    NodeInvalid,
}

impl Verdict {
    /// Judges the answer to a configuration, log, distributed read or distributed write request.
    #[must_use]
    pub fn judge(body: &[u8], version: Version) -> Self {
        if body.is_empty() {
            return Self::Success(Value::Object(Map::new()));
        }
        let value = match parse(body) {
            Ok(value) => value,
            Err(message) => return Self::Failure(message),
        };
        if value.get("node_invalid").is_some_and(|flag| says_invalid(flag, version)) {
            return Self::NodeInvalid;
        }
        match value.get("error") {
            Some(Value::String(message)) => Self::Failure(message.clone()),
            Some(_) => Self::Failure("the answer has a member `error`".to_owned()),
            None => Self::Success(value),
        }
    }

    /// Judges the answer to an enrollment: the node key, or why there is none.
    ///
    /// # Errors
    /// The reason, if the answer is not JSON or holds no usable key.
    pub fn judge_enroll(body: &[u8]) -> Result<String, String> {
        let value = parse(body)?;
        match value.get("node_key").or_else(|| value.get("id")) {
            Some(Value::String(key)) if !key.is_empty() => Ok(key.clone()),
            Some(_) => Err("the node key is not a non-empty string".to_owned()),
            None => Err("no node key was returned".to_owned()),
        }
    }

    /// Whether the answer was accepted.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Success(_))
    }

    /// Whether the node key was refused.
    #[must_use]
    pub fn is_node_invalid(&self) -> bool {
        matches!(self, Self::NodeInvalid)
    }

    /// The accepted answer.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        match self {
            Self::Success(value) => Some(value),
            Self::Failure(_) | Self::NodeInvalid => None,
        }
    }
}

fn parse(body: &[u8]) -> Result<Value, String> {
    // The agent's parser does not look at the encoding of strings.
    let text = String::from_utf8_lossy(body);
    serde_json::from_str(&text).map_err(|error| format!("the answer is not JSON: {error}"))
}

fn says_invalid(flag: &Value, version: Version) -> bool {
    match flag {
        Value::Bool(invalid) => *invalid,
        Value::String(text) if !version.at_least(3, 2, 0) => {
            matches!(text.as_str(), "true" | "True" | "1")
        }
        Value::Number(number) if !version.at_least(3, 2, 0) => number.as_u64() == Some(1),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(body: &str) -> &'static str {
        match Verdict::judge(body.as_bytes(), Version::parse("5.12.0")) {
            Verdict::Success(_) => "success",
            Verdict::Failure(_) => "failure",
            Verdict::NodeInvalid => "node_invalid",
        }
    }

    #[test]
    fn only_the_body_decides() {
        for (body, expected) in [
            ("", "success"),
            ("{}", "success"),
            ("[]", "success"),
            ("null", "success"),
            (r#"{"message":"Unauthorized"}"#, "success"),
            (r#"{"node_invalid":false}"#, "success"),
            (r#"{"node_invalid":"true"}"#, "success"),
            (r#"{"node_invalid":1}"#, "success"),
            (r#"{"node_invalid":true}"#, "node_invalid"),
            (r#"{"node_invalid":true,"error":"x"}"#, "node_invalid"),
            (r#"{"error":"busy"}"#, "failure"),
            (r#"{"error":null}"#, "failure"),
            (r#"{"error":false}"#, "failure"),
            (r#"{"error":"","queries":{}}"#, "failure"),
            (" ", "failure"),
            ("{} x", "failure"),
            (r#"{"a":1,}"#, "failure"),
            ("<html>busy</html>", "failure"),
            ("OK", "failure"),
        ] {
            assert_eq!(judge(body), expected, "{body}");
        }
        let old = Version::parse("3.1.0");
        assert!(Verdict::judge(br#"{"node_invalid":"true"}"#, old).is_node_invalid());
        assert!(Verdict::judge(br#"{"node_invalid":1}"#, old).is_node_invalid());
    }

    #[test]
    fn enrollment_looks_for_a_key_and_for_nothing_else() {
        assert_eq!(Verdict::judge_enroll(br#"{"node_key":"k","node_invalid":true,"error":"x"}"#).unwrap(), "k");
        assert_eq!(Verdict::judge_enroll(br#"{"id":"k2"}"#).unwrap(), "k2");
        for refused in ["", "{}", "no", r#"{"node_key":""}"#, r#"{"node_key":7}"#, r#"{"node_invalid":true}"#] {
            assert!(Verdict::judge_enroll(refused.as_bytes()).is_err(), "{refused}");
        }
    }
}
