use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What a user may do: observers read, maintainers also change what hosts run, admins also manage users and settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Observer,
    Maintainer,
    Admin,
}

/// `POST /api/v1/setup`: makes the first administrator. Works once.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    pub admin: NewAdmin,
    #[serde(default)]
    pub org_info: OrgInfo,
    /// Address agents and people reach the server at.
    #[serde(default)]
    pub server_url: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAdmin {
    pub email: String,
    #[serde(default)]
    pub name: String,
    pub password: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_confirmation: Option<String>,
    /// Fleet's clients send it; the first user is always an administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<bool>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrgInfo {
    #[serde(default)]
    pub org_name: String,
    #[serde(default)]
    pub org_logo_url: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetUpDone {
    pub admin: User,
    pub org_info: OrgInfo,
    pub server_url: String,
    /// Always null: read it with `GET spec/enroll_secret`.
    pub osquery_enroll_secret: Option<String>,
    pub token: String,
}

/// `POST login`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    #[serde(alias = "username")]
    pub email: String,
    pub password: String,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LoggedIn {
    pub user: User,
    pub token: String,
}

/// `GET me`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Me {
    pub user: User,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub id: i64,
    pub name: String,
    pub email: String,
    pub force_password_reset: bool,
    pub gravatar_url: String,
    pub sso_enabled: bool,
    pub global_role: Option<Role>,
    pub api_only: bool,
    /// Always empty: there are no teams.
    pub teams: Vec<serde_json::Value>,
}

/// `GET version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    pub version: String,
    pub branch: String,
    pub revision: String,
    pub go_version: String,
    pub build_date: String,
    pub build_user: String,
}
