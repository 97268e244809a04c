use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::envelope::enveloped;
use super::{Role, User};
use crate::absent::null_is_default;

/// `POST users/admin`: creates a user.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    pub email: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// Taken for the name if there is none. Clients of Fleet 3.x send it; users log in with their address.
    #[serde(default)]
    pub username: Option<String>,
    /// Required: there is no single sign-on.
    #[serde(default)]
    pub password: Option<String>,
    /// Required: there are no teams that could give the user a role.
    #[serde(default)]
    pub global_role: Option<Role>,
    /// The role, if `global_role` is absent: true is admin, false is maintainer. Clients of Fleet 3.x send it.
    #[serde(default)]
    pub admin: Option<bool>,
    #[serde(default, deserialize_with = "null_is_default")]
    pub api_only: bool,
    /// Accepted when false.
    #[serde(default, deserialize_with = "null_is_default")]
    pub sso_enabled: bool,
    /// Ignored: nobody is made to choose another password. Fleet's clients send true.
    #[serde(default)]
    pub admin_forced_password_reset: Option<bool>,
    /// Ignored.
    #[serde(default)]
    pub position: Option<String>,
    /// Accepted when empty.
    #[serde(default)]
    pub teams: Option<Vec<Value>>,
}

/// `PATCH users/{id}`: any of the fields.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserEdit {
    #[serde(default)]
    pub email: Option<String>,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub global_role: Option<Role>,
    #[serde(default)]
    pub api_only: Option<bool>,
    /// The new password.
    #[serde(default)]
    pub password: Option<String>,
    /// As `password`, over which it takes precedence: Fleet's clients send the current password in `password`.
    #[serde(default)]
    pub new_password: Option<String>,
    /// Ignored.
    #[serde(default)]
    pub position: Option<String>,
    /// Accepted when false.
    #[serde(default)]
    pub sso_enabled: Option<bool>,
    /// Accepted when empty.
    #[serde(default)]
    pub teams: Option<Vec<Value>>,
}

/// `POST change_password`: changes the caller's own password.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    pub old_password: String,
    pub new_password: String,
}

enveloped!(User, UserList { users }, UserEnvelope { user });
