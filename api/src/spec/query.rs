use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::absent::null_is_default;

/// A saved query: SQL under a name that packs and people refer to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QuerySpec {
    #[serde(default, deserialize_with = "null_is_default")]
    pub description: String,
    pub name: String,
    /// Observers may run it as a live query.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "std::ops::Not::not")]
    pub observer_can_run: bool,
    pub query: String,
}
