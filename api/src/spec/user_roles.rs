use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::absent::null_is_default;
use crate::rest::Role;

/// The roles of users, by e-mail address. Applying changes only the users that are named.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserRolesSpec {
    pub roles: BTreeMap<String, UserRoleSpec>,
}

/// The role of one user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserRoleSpec {
    /// Users without one, who on Fleet are in teams alone, are skipped with a warning.
    pub global_role: Option<Role>,
    /// Skipped with a warning: there are no teams.
    #[serde(default, deserialize_with = "null_is_default")]
    pub teams: Vec<Value>,
}
