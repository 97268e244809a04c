//! The dashboard, as browsers meet it.

mod accessible;
mod browser;
mod bulk;
mod changing;
mod editor;
mod find;
mod forms;
mod hostile;
mod inside;
mod live;
mod lively;
mod overview;
mod results;
mod roles;
mod screenshots;
mod sessions;
mod statements;

use crate::support::{TestServer, Visitor};

/// Every page of a lively fleet, and the least role that may look at it.
pub const PAGES: [(&str, &str); 40] = [
    ("/", "observer"),
    ("/overview/part", "observer"),
    ("/hosts", "observer"),
    ("/hosts?query=host&status=online&sort=seen_time", "observer"),
    ("/hosts/1", "observer"),
    ("/hosts/1/queries", "maintainer"),
    ("/hosts/1/config", "maintainer"),
    ("/hosts/1/delete", "maintainer"),
    ("/queries", "observer"),
    ("/queries/cost?pack=monitoring&name=processes", "maintainer"),
    ("/queries/saved", "observer"),
    ("/queries/1", "observer"),
    ("/packs", "maintainer"),
    ("/packs/1", "maintainer"),
    ("/rollouts", "maintainer"),
    ("/rollouts/1", "maintainer"),
    ("/labels", "observer"),
    ("/watchdog", "observer"),
    ("/live", "observer"),
    ("/live/1", "maintainer"),
    ("/activity", "maintainer"),
    ("/users", "admin"),
    ("/users/1", "admin"),
    ("/queries/new", "maintainer"),
    ("/queries/1/edit", "maintainer"),
    ("/queries/1/delete", "maintainer"),
    ("/queries/1/history", "maintainer"),
    ("/packs/1/history", "maintainer"),
    ("/labels/1", "observer"),
    ("/labels/1/history", "maintainer"),
    ("/activity/4", "maintainer"),
    ("/settings", "maintainer"),
    ("/settings/history", "maintainer"),
    ("/settings/secrets", "maintainer"),
    ("/settings/secrets/2/remove", "admin"),
    ("/hosts/add", "maintainer"),
    ("/hosts/add?platform=windows", "maintainer"),
    ("/about", "observer"),
    ("/find?query=host", "observer"),
    // In builds for development, as those of tests are.
    ("/style", "observer"),
];

/// The administrator, who has logged in with a browser.
pub fn admin(server: &TestServer) -> Visitor {
    Visitor::of(&server.address, &server.rest)
}

/// The value of a hidden field of a page.
pub fn hidden(page: &str, name: &str) -> String {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap_or_else(|| panic!("{name}: {page}"));
    rest.split('"').next().unwrap().to_owned()
}

/// Every answer with HTML forbids what is inline, foreign frames, and that anybody keeps it.
pub fn assert_guarded(path: &str, answer: &crate::support::Answer) {
    let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
    let policy = header("content-security-policy");
    for part in
        ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'"]
    {
        assert!(policy.contains(part), "{path}: {policy}");
    }
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
    assert_eq!(header("x-frame-options"), "DENY", "{path}");
    assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
    assert_eq!(header("cache-control"), "no-store", "{path}");
    for inline in [" style=", "<style", " onclick", "javascript:"] {
        assert!(!answer.text.contains(inline), "{path} has something inline: {inline}");
    }
}
