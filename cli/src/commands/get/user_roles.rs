use std::collections::BTreeMap;

use muster_api::rest::Role;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Format;
use super::print::{self, Item};
use crate::rest::Server;
use crate::{output, table};

/// `GET users/roles/spec`
#[derive(Deserialize)]
struct Found {
    spec: UserRoles,
}

#[derive(Serialize, Deserialize)]
struct UserRoles {
    /// By email address.
    roles: BTreeMap<String, UserRole>,
}

#[derive(Serialize, Deserialize)]
struct UserRole {
    global_role: Option<Role>,
    /// Always empty: there are no teams.
    #[serde(default)]
    teams: Vec<Value>,
}

pub async fn user_roles(server: &Server, format: Format) -> anyhow::Result<()> {
    let found: Found = server.get("users/roles/spec").await?;
    if format.is_documents(false) {
        return print::items(&[Item::new("user_roles", &found.spec)?], format);
    }
    let rows = found.spec.roles.into_iter().map(|(email, user)| vec![email, word(user.global_role).to_owned()]);
    output::data(&table::grid(&["User", "Global Role"], rows))
}

fn word(role: Option<Role>) -> &'static str {
    match role {
        Some(Role::Observer) => "observer",
        Some(Role::Maintainer) => "maintainer",
        Some(Role::Admin) => "admin",
        None => "",
    }
}
