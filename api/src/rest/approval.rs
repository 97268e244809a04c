use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// SQL that waits for a second person, because a rule of the table guard asks for one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// Names it; any beginning that no other one has does, too.
    pub key: String,
    pub query: String,
    /// What the SQL is for: `live`, `scheduled`, `label`, `decorator`, `discovery` or `saved`.
    #[serde(rename = "use")]
    pub sql_use: String,
    /// What the guard says of it.
    pub findings: Vec<String>,
    /// Names of the rules that are about it; empty if a node of an older version has made the request.
    #[serde(default)]
    pub rules: Vec<String>,
    /// The user for whom it is approved.
    pub asked_by: String,
    pub asked_at: DateTime<Utc>,
    /// When it counts no more, approved or not.
    pub expires_at: DateTime<Utc>,
    pub state: ApprovalState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<DateTime<Utc>>,
}

/// What became of a request for a second person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalState {
    Open,
    Granted,
    Denied,
}

/// Requests for a second person that still count, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalList {
    pub approvals: Vec<Approval>,
}

/// One `Approval`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovalEnvelope {
    pub approval: Approval,
}
