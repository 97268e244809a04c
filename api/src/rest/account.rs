use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::absent::null_is_default;

/// What a user may do: observers read, maintainers also change what hosts run, admins also manage users and settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Observer,
    Maintainer,
    Admin,
}

/// `POST /api/v1/setup`: creates the first administrator. Works once.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    pub admin: NewAdmin,
    #[serde(default, deserialize_with = "null_is_default")]
    pub org_info: OrgInfo,
    /// The address at which agents and people reach the server. Older clients call it `kolide_server_url`.
    #[serde(default, deserialize_with = "null_is_default", alias = "kolide_server_url")]
    pub server_url: String,
}

/// The first administrator.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAdmin {
    pub email: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub name: String,
    /// Taken for the name if there is none. Clients of Fleet 3.x send it; users log in with their address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    pub password: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_confirmation: Option<String>,
    /// Ignored: the first user is always an administrator. Fleet's clients send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<bool>,
}

/// The organisation's name and logo.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OrgInfo {
    #[serde(default, deserialize_with = "null_is_default")]
    pub org_name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    pub org_logo_url: String,
    /// Ignored. Newer clients of Fleet send it.
    #[serde(default, skip_serializing)]
    pub org_logo_url_light_background: Option<Value>,
    /// Ignored. Newer clients of Fleet send it.
    #[serde(default, skip_serializing)]
    pub contact_url: Option<Value>,
}

/// The administrator, logged in.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct SetUpDone {
    pub admin: User,
    pub org_info: OrgInfo,
    pub server_url: String,
    /// The same for clients of Fleet 3.x: they read this key.
    #[serde(default)]
    pub kolide_server_url: String,
    /// Always null: read it with `GET spec/enroll_secret`.
    pub osquery_enroll_secret: Option<String>,
    pub token: String,
}

/// `POST login`. Older clients send `username` in place of `email`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    #[serde(alias = "username")]
    pub email: String,
    pub password: String,
}

/// The user, and the token for the `Authorization` header of further requests.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct LoggedIn {
    pub user: User,
    pub token: String,
}

/// `GET me`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct Me {
    pub user: User,
}

/// A user of the REST API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct User {
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub id: i64,
    pub name: String,
    pub email: String,
    /// The address, with which users log in. Clients of Fleet 3.x read this key and the next two.
    #[serde(default)]
    pub username: String,
    /// Whether the role is admin.
    #[serde(default)]
    pub admin: bool,
    /// Always true: a user who may not log in any more is deleted.
    #[serde(default)]
    pub enabled: bool,
    pub force_password_reset: bool,
    pub gravatar_url: String,
    pub sso_enabled: bool,
    pub global_role: Option<Role>,
    pub api_only: bool,
    /// Always empty: there are no teams.
    pub teams: Vec<Value>,
}

/// The header with the reason for which an administrator passes a change freeze.
pub const FREEZE_OVERRIDE: &str = "Muster-Freeze-Override";

/// A change freeze that is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeFreeze {
    /// The name of the window in the settings of the server.
    pub window: String,
    /// When it ends, with the windows that follow it at once.
    pub until: DateTime<Utc>,
    /// Whether live queries are refused, too.
    pub live_queries: bool,
}

/// `GET version`. All fields but `version` and `freeze` are empty; Fleet's clients expect them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    pub version: String,
    pub branch: String,
    pub revision: String,
    pub go_version: String,
    pub build_date: String,
    pub build_user: String,
    /// The change freeze that is in force, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<ChangeFreeze>,
}
