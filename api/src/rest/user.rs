use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Role, User};

/// `POST users/admin`: makes a user.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    pub email: String,
    #[serde(default)]
    pub name: String,
    /// Must be given: there is no single sign-on.
    #[serde(default)]
    pub password: Option<String>,
    /// Must be given: there are no teams that could have a role for the user instead.
    #[serde(default)]
    pub global_role: Option<Role>,
    #[serde(default)]
    pub api_only: bool,
    /// Accepted when false.
    #[serde(default)]
    pub sso_enabled: bool,
    /// Accepted when false.
    #[serde(default)]
    pub admin_forced_password_reset: bool,
    /// Accepted when empty.
    #[serde(default)]
    pub teams: Option<Vec<Value>>,
}

/// `PATCH users/{id}`: any part of a user.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
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
    /// The password from now on.
    #[serde(default)]
    pub password: Option<String>,
    /// As `password`, and stronger: Fleet's clients send the current password beside it.
    #[serde(default)]
    pub new_password: Option<String>,
    /// Accepted when false.
    #[serde(default)]
    pub sso_enabled: Option<bool>,
    /// Accepted when empty.
    #[serde(default)]
    pub teams: Option<Vec<Value>>,
}

/// `POST change_password`: for oneself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    pub old_password: String,
    pub new_password: String,
}

/// `GET users`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserList {
    pub users: Vec<User>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserEnvelope {
    pub user: User,
}
