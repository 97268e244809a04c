use serde::{Deserialize, Serialize};

/// The body of every refused request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    pub message: String,
    pub errors: Vec<FieldError>,
    /// The message again, under the only name by which an agent that was pointed at the wrong path knows a refusal.
    #[serde(default)]
    pub error: String,
    /// Finds the cause in the server's log; present on 5xx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

impl ErrorBody {
    pub fn new(message: impl Into<String>, errors: Vec<FieldError>) -> Self {
        let message = message.into();
        Self { error: message.clone(), message, errors, uuid: None }
    }
}

/// One thing that is wrong. `name` is a field path such as `documents[2].spec.queries[0].interval`, or `base`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    pub name: String,
    pub reason: String,
}
