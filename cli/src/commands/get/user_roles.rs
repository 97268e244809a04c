use muster_api::rest::{Role, UserList, UserRoles};

use super::format::{self, DocumentFormat};
use super::print::{self, PrintedDocument};
use crate::rest::RestClient;
use crate::{output, table};

pub async fn user_roles(server: &RestClient, format: DocumentFormat) -> anyhow::Result<()> {
    let found: UserRoles = server.get("users/roles/spec").await?;
    if format.is_documents(false) {
        return print::items(&[PrintedDocument::new("user_roles", &found.spec)?], format);
    }
    if format.is_names() {
        return format::names(found.spec.roles.keys());
    }
    if format.is_wide() {
        let users = server.get::<UserList>("users").await?.users;
        let rows = users.into_iter().map(|user| {
            let role = word(user.global_role).to_owned();
            vec![user.email, role, user.name, user.id.to_string(), user.api_only.to_string()]
        });
        return output::data(&table::grid(&["User", "Global Role", "Name", "ID", "API Only"], rows));
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
