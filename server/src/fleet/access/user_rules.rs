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

/// The role, which is required.
pub(super) fn check_role(role: Option<Role>, problems: &mut Vec<Problem>) -> Role {
    role.unwrap_or_else(|| {
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
