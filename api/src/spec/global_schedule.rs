use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PackQuery;
use crate::absent::null_is_default;

/// The schedule that all hosts run. Applying replaces it as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GlobalScheduleSpec {
    #[serde(default, deserialize_with = "null_is_default")]
    pub queries: Vec<PackQuery>,
}
