use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `POST translate`: what clients know by name, and in the answer the ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Translation {
    /// 1,000 at most.
    pub list: Vec<Translated>,
}

/// One thing and its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Translated {
    /// `user`, `label` or `host`.
    #[serde(rename = "type")]
    pub of: String,
    pub payload: TranslatedName,
}

/// What a thing is called, and its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TranslatedName {
    /// The address of a user, the name of a label, or the identifier, UUID or name of a host.
    pub identifier: String,
    /// Ignored in requests.
    #[serde(default)]
    pub id: i64,
}
