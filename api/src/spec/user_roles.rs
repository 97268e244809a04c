use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// Required. Null is accepted here so that files of servers with teams are refused with a helpful reason.
    pub global_role: Option<Role>,
    /// Accepted when empty; there are no teams.
    #[serde(default)]
    pub teams: Vec<Value>,
}
