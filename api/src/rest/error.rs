use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The body of every refused request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    pub message: String,
    pub errors: Vec<FieldError>,
    /// The message again: agents that are pointed at a wrong path recognise an error only by this key.
    #[serde(default)]
    pub error: String,
    /// Identifies the cause in the server's log; present on status 500.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

impl ErrorBody {
    pub fn new(message: impl Into<String>, errors: Vec<FieldError>) -> Self {
        let message = message.into();
        Self { error: message.clone(), message, errors, uuid: None }
    }
}

/// One problem. `name` is a field path such as `documents[2].spec.queries[0].interval`, or `base`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldError {
    pub name: String,
    pub reason: String,
}
