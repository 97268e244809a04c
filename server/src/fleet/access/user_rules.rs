//! The rules for users.

use muster_api::rest::Role;
use serde_json::Value;

use crate::fleet::Problem;

/// The length of the columns, in characters.
const MAX_TEXT: usize = 255;

pub(super) fn check_email(path: &str, email: &str, problems: &mut Vec<Problem>) {
    let email = email.trim();
    if email.is_empty() || email.chars().count() > MAX_TEXT || !email.contains('@') {
        problems.push(Problem::new(path, format!("expects an e-mail address of at most {MAX_TEXT} characters")));
    }
}

pub(super) fn check_name(path: &str, name: &str, problems: &mut Vec<Problem>) {
    if name.chars().count() > MAX_TEXT {
        problems.push(Problem::new(path, format!("is longer than {MAX_TEXT} characters")));
    }
}

/// What a user is called: by the name, by what clients of Fleet 3.x send for one, or by the address.
pub(super) fn name_of<'a>(name: &'a str, username: Option<&'a str>, email: &'a str) -> &'a str {
    [name, username.unwrap_or_default()].into_iter().find(|text| !text.is_empty()).unwrap_or(email.trim())
}

/// The role, which is required. Those who were no administrators in Fleet 3.x might do all but manage users and settings.
pub(super) fn check_role(role: Option<Role>, is_admin: Option<bool>, problems: &mut Vec<Problem>) -> Role {
    let older = is_admin.map(|is_admin| if is_admin { Role::Admin } else { Role::Maintainer });
    role.or(older).unwrap_or_else(|| {
        problems.push(Problem::new("global_role", "expects observer, maintainer or admin"));
        Role::Observer
    })
}

/// Refuses features that Fleet's clients can ask for and Muster does not have.
pub(super) fn check_absent(sso: bool, teams: Option<&[Value]>, problems: &mut Vec<Problem>) {
    if sso {
        problems.push(Problem::new("sso_enabled", "there is no single sign-on; give the user a password"));
    }
    if teams.is_some_and(|teams| !teams.is_empty()) {
        problems.push(Problem::new("teams", "there are no teams; give a global_role alone"));
    }
}
