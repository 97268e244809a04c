use muster_api::rest::{Role, UserRoles};

use super::DocumentFormat;
use super::print::{self, PrintedDocument};
use crate::rest::RestClient;
use crate::{output, table};

pub async fn user_roles(server: &RestClient, format: DocumentFormat) -> anyhow::Result<()> {
    let found: UserRoles = server.get("users/roles/spec").await?;
    if format.is_documents(false) {
        return print::items(&[PrintedDocument::new("user_roles", &found.spec)?], format);
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
