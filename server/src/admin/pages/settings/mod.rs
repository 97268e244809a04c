//! Settings: agent options, and the secrets that agents enroll with.

mod options;
mod secrets;

use maud::{Markup, html};

pub(super) use self::options::{page as options_page, send as send_options};
pub(super) use self::secrets::{
    add as add_secret, page as secrets_page, remove as remove_secret, remove_page as remove_secret_page,
    reveal as reveal_secrets,
};
use super::visit::Visit;
use crate::fleet::access::Permission;

/// Pages of settings: word, name, address, and what is needed to see it.
const TABS: [(&str, &str, &str, Permission); 3] = [
    ("options", "Agent options", "settings", Permission::ReadConfig),
    ("secrets", "Enroll secrets", "settings/secrets", Permission::ReadSecrets),
    ("add", "Add hosts", "hosts/add", Permission::ReadSecrets),
];

pub(super) fn tabs(visit: &Visit, page: &str) -> Markup {
    html! {
        nav.tabs aria-label="Pages of settings" {
            @for (word, name, address, needs) in TABS {
                @if visit.may(needs) { a href=(address) aria-current=[(word == page).then_some("page")] { (name) } }
            }
        }
    }
}
