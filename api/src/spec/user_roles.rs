use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rest::Role;

/// What users may do, by e-mail address. Applying changes the users that are named and no others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRolesSpec {
    pub roles: BTreeMap<String, UserRoleSpec>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserRoleSpec {
    /// Null is read, so that files of servers with teams are refused with a reason.
    pub global_role: Option<Role>,
    /// Accepted when empty; there are no teams.
    #[serde(default)]
    pub teams: Vec<Value>,
}
