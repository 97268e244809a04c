use serde::{Deserialize, Serialize};

/// The body of every refused request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    pub message: String,
    pub errors: Vec<FieldError>,
    /// Finds the cause in the server's log; present on 5xx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
}

/// One thing that is wrong. `name` is a field path such as `documents[2].spec.queries[0].interval`, or `base`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    pub name: String,
    pub reason: String,
}
