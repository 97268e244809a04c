//! Operations of Fleet's API that there are not here, and what to do instead.

use muster_api::rest::BASES;

const NO_TEAMS: &str = "there are no teams here; labels take their place";
const NO_POLICIES: &str = "there are no policies here; schedule a query instead, or ask a live query";
const NO_SOFTWARE: &str = "there is no software inventory here; ask for the tables of packages with a query";
const NO_DEVICE_MANAGEMENT: &str = "there is no device management here";
const NO_SCRIPTS: &str = "there are no scripts here";
const NO_SINGLE_SIGN_ON: &str = "there is no single sign-on here; log in with a password";
const NO_MAIL: &str = "no mail is sent from here; an administrator gives a user another password";
const NO_INVITATIONS: &str = "nobody is invited here; an administrator creates users";

/// Beginnings of paths below a base, by whole words.
const ABSENT: [(&str, &str); 29] = [
    ("/teams", NO_TEAMS),
    ("/team", NO_TEAMS),
    ("/fleets", NO_TEAMS),
    ("/spec/teams", NO_TEAMS),
    ("/spec/fleets", NO_TEAMS),
    ("/hosts/transfer", NO_TEAMS),
    ("/policies", NO_POLICIES),
    ("/global/policies", NO_POLICIES),
    ("/spec/policies", NO_POLICIES),
    ("/automations", NO_POLICIES),
    ("/software", NO_SOFTWARE),
    ("/vulnerabilities", NO_SOFTWARE),
    ("/macadmins", NO_DEVICE_MANAGEMENT),
    ("/mdm", NO_DEVICE_MANAGEMENT),
    ("/commands", NO_DEVICE_MANAGEMENT),
    ("/configuration_profiles", NO_DEVICE_MANAGEMENT),
    ("/scripts", NO_SCRIPTS),
    ("/spec/scripts", NO_SCRIPTS),
    ("/sso", NO_SINGLE_SIGN_ON),
    ("/invites", NO_INVITATIONS),
    ("/users/invite", NO_INVITATIONS),
    ("/forgot_password", NO_MAIL),
    ("/reset_password", NO_MAIL),
    ("/email", NO_MAIL),
    ("/perform_required_password_reset", "nobody is made to choose a password here; use POST change_password"),
    ("/trigger", "the server runs its tasks by itself"),
    ("/activities", "the dashboard shows activities"),
    ("/sessions", "a new password ends all sessions of a user"),
    ("/device", NO_DEVICE_MANAGEMENT),
];

/// Why there is nothing at a path, if it is one of Fleet's.
pub(super) fn why(path: &str) -> Option<&'static str> {
    let below = BASES.iter().find_map(|base| Some(path.split_once(base)?.1))?;
    let begins = |begin: &str| below.strip_prefix(begin).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    ABSENT.iter().find(|(begin, _)| begins(begin)).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_by_whole_words_below_a_base() {
        for path in ["/api/v1/fleet/teams", "/api/v1/kolide/teams/3/users", "/prefix/api/latest/fleet/spec/teams"] {
            assert_eq!(why(path), Some(NO_TEAMS), "{path}");
        }
        for path in ["/api/v1/fleet/teamsters", "/api/v1/fleet/x/teams", "/teams", "/api/v1/fleet"] {
            assert_eq!(why(path), None, "{path}");
        }
    }
}
