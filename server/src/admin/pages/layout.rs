//! What is around pages: the rail, the head, and the document.

use maud::{DOCTYPE, Markup, html};
use muster_api::rest::Role;

use super::answer::Page;
use super::assets;
use super::parts::{Icon, icon, shown, visible};
use super::visit::{Look, Theme, Visit};
use crate::fleet::access::{Frozen, Permission};
use crate::fleet::documents::DocumentsNotice;

/// An entry of the rail.
struct RailEntry {
    address: &'static str,
    word: &'static str,
    icon: Icon,
    needs: Permission,
    /// The key that goes there after `g`.
    key: &'static str,
}

const fn entry(
    address: &'static str,
    word: &'static str,
    icon: Icon,
    key: &'static str,
    needs: Permission,
) -> RailEntry {
    RailEntry { address, word, icon, needs, key }
}

const RAIL: [RailEntry; 12] = [
    entry("/", "Overview", Icon::Overview, "o", Permission::ReadHosts),
    entry("/hosts", "Hosts", Icon::Hosts, "h", Permission::ReadHosts),
    entry("/queries", "Queries", Icon::Queries, "q", Permission::ReadQueries),
    entry("/live", "Live queries", Icon::Live, "r", Permission::ReadQueries),
    entry("/watchdog", "Watchdog", Icon::Watchdog, "w", Permission::ReadHosts),
    entry("/packs", "Packs", Icon::Packs, "p", Permission::ReadPacks),
    entry("/rollouts", "Rollouts", Icon::Rollouts, "t", Permission::ReadPacks),
    entry("/labels", "Labels", Icon::Labels, "l", Permission::ReadLabels),
    entry("/activity", "Activity", Icon::Activity, "c", Permission::ReadActivities),
    entry("/users", "Users", Icon::Users, "u", Permission::ManageUsers),
    entry("/settings", "Settings", Icon::Settings, "s", Permission::ReadConfig),
    entry("/about", "About", Icon::About, "a", Permission::ReadHosts),
];

/// Addresses and words of the pages that the visitor may go to and whose words have this part.
pub(super) fn pages_with(visit: &Visit, text: &str) -> Vec<(&'static str, &'static str)> {
    let lower = text.to_lowercase();
    let found = RAIL.iter().filter(|entry| visit.may(entry.needs) && entry.word.to_lowercase().contains(&lower));
    found.map(|entry| (if entry.address == "/" { "." } else { &entry.address[1..] }, entry.word)).collect()
}

/// The keys that go to pages after `g`, and the words of these pages.
pub(super) fn keys(visit: &Visit) -> impl Iterator<Item = (&'static str, &'static str)> {
    RAIL.iter().filter(|entry| visit.may(entry.needs)).map(|entry| (entry.key, entry.word))
}

/// What a page says after a change, by the word for it in the address.
const NOTICES: [(&str, &str); 8] = [
    ("refetch", "The host is asked for its details and labels with its next check-in."),
    ("refetched", "The hosts are asked for their details and labels with their next check-ins."),
    ("deleted", "Deleted."),
    ("created", "The user can log in now."),
    ("saved", "Saved."),
    ("added", "The secret is added: agents may enroll with it now."),
    ("removed", "The secret is removed: no agent enrolls with it any more."),
    ("password", "The password is changed. Other sessions of yours have ended."),
];

/// A page with what is around it.
pub(super) fn whole(visit: &Visit, page: &Page) -> Markup {
    let notice = visit.look.parameter("notice");
    let notice = notice.and_then(|word| NOTICES.iter().find(|(known, _)| *known == word)).map(|(_, text)| *text);
    let main = html! {
        @if let Some(notice) = notice { p.toast role="status" { (notice) } }
        (page.main)
    };
    document(&visit.look, &page.title, &framed(visit, &main))
}

/// A page that could not be made.
pub(super) fn failure(visit: Option<&Visit>, look: &Look, title: &str, what: &str) -> Markup {
    let main =
        html! { div.empty { h1 { (title) } p { (shown(what)) } p { a.button href="." { "Go to the overview" } } } };
    match visit {
        Some(visit) => document(look, title, &framed(visit, &main)),
        None => document(look, title, &alone(&main)),
    }
}

/// A page of somebody who is not logged in.
pub(super) fn alone(main: &Markup) -> Markup {
    html! { main.alone #main { p.brand { (icon(Icon::Watchdog)) "Muster" } (main) } }
}

/// The rail and the head around a page.
fn framed(visit: &Visit, main: &Markup) -> Markup {
    let address = visit.look.address.split('?').next().unwrap_or("/");
    let section = address.get(1..).unwrap_or_default().split('/').next().unwrap_or_default();
    html! {
        a.skip href={ "." (visit.look.address) "#main" } { "Skip to the content" }
        input.menu-switch #menu type="checkbox" aria-label="Show the menu";
        header.head {
            label.menu-button for="menu" { (icon(Icon::Menu)) span.only-read { "Menu" } }
            a.brand href="." { (icon(Icon::Watchdog)) "Muster" }
            form.search action="hosts" method="get" role="search" {
                (icon(Icon::Search))
                input type="search" name="query" placeholder="Find a host by name, UUID, serial or address"
                    aria-label="Find a host" maxlength="200" data-key="/";
            }
            a.button.palette-open href="find" data-palette="find/part" aria-keyshortcuts="Control+K" {
                (icon(Icon::Search)) span { "Go to" } kbd aria-hidden="true" { "Ctrl K" }
            }
            (account(visit))
        }
        nav.rail aria-label="Pages" {
            ul {
                @for entry in RAIL.iter().filter(|entry| visit.may(entry.needs)) {
                    li {
                        a href={ "." (entry.address) } data-go=(entry.key)
                            aria-current=[(section == &entry.address[1..]).then_some("page")] {
                            (icon(entry.icon)) (entry.word)
                        }
                    }
                }
            }
        }
        main #main {
            @if let Some(frozen) = visit.principal.frozen() { (freeze(&frozen)) }
            @if let Some(documents) = visit.principal.documents() { (documents_folder(visit, documents)) }
            (main)
        }
    }
}

/// What is frozen, and until when.
fn freeze(frozen: &Frozen) -> Markup {
    let live_queries = match frozen.is_for_live_queries {
        true => "Nor can live queries be started.",
        false => "Live queries can be started.",
    };
    html! {
        p.toast.stale role="status" {
            "Change freeze “" (shown(&frozen.window)) "”: nothing can be changed until " (frozen.until_there) ". "
            (live_queries)
        }
    }
}

/// Where documents come from, and what is wrong with that.
fn documents_folder(visit: &Visit, notice: &DocumentsNotice) -> Markup {
    let status = notice.status();
    // Reasons may name what observers do not see.
    let may_read = visit.may(Permission::ReadConfig);
    let problem = status.problem.as_ref().and_then(|problem| problem.reasons.first());
    html! {
        p.toast.stale[problem.is_some()] role="status" {
            "Queries, packs, labels and options come from the folder " (shown(notice.folder())) " of the server alone. "
            @if let Some(applied) = &status.applied {
                @if let Some(commit) = &applied.commit { "Commit " (shown(commit.get(..12).unwrap_or(commit))) " was applied " }
                @else { "It was applied " }
                (applied.applied_at.format("%Y-%m-%d %H:%M UTC")) ". "
            } @else { "Nothing of it was applied yet. " }
            @if let Some(problem) = problem {
                "What it holds now cannot be applied" @if may_read { ": " (shown(problem)) } @else { "." }
            }
            @else if let Some(waits_for) = &status.waits_for { "What it holds now waits for " (shown(waits_for)) "." }
        }
    }
}

/// Who is logged in, and what that person can do about it.
fn account(visit: &Visit) -> Markup {
    let user = &visit.principal.user;
    html! {
        details.account {
            summary { span.initial aria-hidden="true" { (initial(&user.name)) } span.name { (shown(&user.name)) } }
            div.popup {
                p {
                    strong { (shown(&user.name)) }
                    br; (shown(&user.email)) br; span.muted { (role(user.global_role)) }
                }
                form.themes action="theme" method="post" {
                    (visit.form_key.field())
                    input type="hidden" name="back" value=(if visit.look.is_get { &visit.look.address } else { "/" });
                    fieldset {
                        legend { "Theme" }
                        @for theme in Theme::ALL {
                            button name="theme" value=(theme.word()) aria-pressed=(visit.look.theme == theme) {
                                (theme.word())
                            }
                        }
                    }
                }
                a.button.wide href="password" { "Change password" }
                form action="logout" method="post" {
                    (visit.form_key.field())
                    button.wide { (icon(Icon::LogOut)) "Log out" }
                }
            }
        }
    }
}

/// The first letter of a name that is one.
fn initial(name: &str) -> String {
    name.chars()
        .find(|char| char.is_alphanumeric())
        .map_or_else(|| "·".to_owned(), |char| char.to_uppercase().collect())
}

/// What a role is called.
pub(super) fn role(role: Option<Role>) -> &'static str {
    match role {
        Some(Role::Admin) => "Admin",
        Some(Role::Maintainer) => "Maintainer",
        Some(Role::Observer) => "Observer",
        None => "No role",
    }
}

/// The document around everything. Links in it are relative to `server.url_prefix`.
pub(super) fn document(look: &Look, title: &str, body: &Markup) -> Markup {
    let theme = (look.theme != Theme::System).then(|| look.theme.word());
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[theme] {
            head {
                meta charset="utf-8";
                title { (visible(title)) " · Muster" }
                base href={ (look.prefix) "/" };
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" type="image/svg+xml" href=(assets::ICON.address());
                link rel="stylesheet" href=(assets::STYLE.address());
                script src=(assets::SCRIPT.address()) defer {}
            }
            body { (body) }
        }
    }
}
