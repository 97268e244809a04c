//! The rules for names and other short texts: agents must understand them, and columns must hold them.

use muster_api::osquery::filters;
use muster_sql::MAX_SQL_BYTES;

use crate::fleet::Problem;
pub use crate::store::case::has_part;

/// The length of the columns, in characters.
pub(super) const MAX_NAME: usize = 255;

/// Longest description.
const MAX_DESCRIPTION_BYTES: usize = 64 * 1024;

/// Beginnings and endings that agents from 5.19 on refuse and older agents handle wrongly.
const RESERVED_BEGINNINGS: [&str; 3] = ["query.", "cache.", "config_views."];
const RESERVED_ENDINGS: [&str; 2] = ["epoch", "counter"];

/// A name of anything.
pub(in crate::fleet) fn check_name(path: &str, name: &str, problems: &mut Vec<Problem>) {
    if name.is_empty() {
        problems.push(Problem::new(path, "cannot be empty"));
    } else if name.trim() != name {
        problems.push(Problem::new(path, "begins or ends with a space; remove it"));
    } else if name.chars().count() > MAX_NAME {
        problems.push(Problem::new(path, format!("is longer than {MAX_NAME} characters")));
    } else if name.chars().any(char::is_control) {
        problems.push(Problem::new(path, "has a control character in it"));
    }
}

/// A name that agents use in their schedule.
pub(in crate::fleet) fn check_scheduled_name(path: &str, name: &str, problems: &mut Vec<Problem>) {
    check_name(path, name, problems);
    if name.contains(':') {
        problems.push(Problem::new(path, "has a ':' in it, which breaks the agents' denylist; use another character"));
    }
    if let Some(beginning) = RESERVED_BEGINNINGS.iter().find(|beginning| name.starts_with(**beginning)) {
        problems.push(Problem::new(
            path,
            format!("begins with {beginning:?}, which agents keep for themselves; choose another name"),
        ));
    }
    if let Some(ending) = RESERVED_ENDINGS.iter().find(|ending| name.ends_with(**ending)) {
        problems.push(Problem::new(
            path,
            format!("ends in {ending:?}, which agents keep for themselves; choose another name"),
        ));
    }
}

/// A name of a pack.
pub(in crate::fleet) fn check_pack_name(path: &str, name: &str, problems: &mut Vec<Problem>) {
    check_scheduled_name(path, name, problems);
    if name == "main" {
        let reason = "agents keep the name \"main\" for the schedule outside packs; choose another";
        problems.push(Problem::new(path, reason));
    }
}

/// SQL of a query.
pub(in crate::fleet) fn check_sql(path: &str, sql: &str, problems: &mut Vec<Problem>) {
    if sql.trim().is_empty() {
        problems.push(Problem::new(path, "cannot be empty"));
    } else if sql.len() > MAX_SQL_BYTES {
        problems.push(Problem::new(path, format!("is longer than {MAX_SQL_BYTES} bytes")));
    } else if sql.contains('\0') {
        problems.push(Problem::new(path, "has a NUL character in it"));
    }
}

pub(in crate::fleet) fn check_description(path: &str, text: &str, problems: &mut Vec<Problem>) {
    if text.len() > MAX_DESCRIPTION_BYTES {
        problems.push(Problem::new(path, format!("is longer than {MAX_DESCRIPTION_BYTES} bytes")));
    }
}

/// Text that need not be there but must fit its column.
pub(in crate::fleet) fn check_short(path: &str, text: &str, problems: &mut Vec<Problem>) {
    if text.chars().count() > MAX_NAME {
        problems.push(Problem::new(path, format!("is longer than {MAX_NAME} characters")));
    }
}

/// Words people write for a platform that no agent answers to, and what they mean.
const MISTAKEN_PLATFORMS: [(&str, &str); 8] = [
    ("macos", "darwin"),
    ("mac", "darwin"),
    ("osx", "darwin"),
    ("macosx", "darwin"),
    ("win", "windows"),
    ("win32", "windows"),
    ("win64", "windows"),
    ("gnu/linux", "linux"),
];

/// What is meant by a word that no agent calls its platform.
pub(in crate::fleet) fn meant_platform(word: &str) -> Option<&'static str> {
    MISTAKEN_PLATFORMS.iter().find(|(wrong, _)| word.eq_ignore_ascii_case(wrong)).map(|(_, meant)| *meant)
}

/// The platform filter of a pack or scheduled query, which agents compare.
pub(in crate::fleet) fn check_platform(
    path: &str,
    platform: &str,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<Problem>,
) {
    check_short(path, platform, problems);
    let mut is_mistaken = false;
    for word in platform.split(',').map(str::trim) {
        if let Some(meant) = meant_platform(word) {
            is_mistaken = true;
            problems.push(Problem::new(path, format!("no agent's platform is {word:?}; write {meant}")));
        }
    }
    if !is_mistaken && !filters::Platform::ALL.iter().any(|agent| filters::platform_allows(platform, *agent)) {
        warnings.push(Problem::new(
            path,
            format!(
                "no agent's platform matches {platform:?}, so no host runs it; agents know linux, darwin, windows, freebsd, posix, ubuntu, centos, any, all"
            ),
        ));
    }
}

/// The least agent version of a pack or scheduled query.
pub(in crate::fleet) fn check_version(path: &str, version: &str, problems: &mut Vec<Problem>) {
    let is_number = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    if version.chars().count() > MAX_NAME {
        problems.push(Problem::new(path, format!("is longer than {MAX_NAME} characters")));
    } else if !version.is_empty() && !version.split('.').all(is_number) {
        problems.push(Problem::new(path, format!("{version:?} is not a version such as 5.4.0")));
    }
}

/// The share of hosts a pack or query runs on.
pub(in crate::fleet) fn check_shard(path: &str, shard: Option<u8>, problems: &mut Vec<Problem>) {
    if shard.is_some_and(|shard| shard > 100) {
        problems.push(Problem::new(path, "expects 0 (no host) to 100 (all hosts)"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_nobody_has_are_mistakes_or_doubtful() {
        for (filter, problems, warnings) in [
            ("", 0, 0),
            ("darwin,linux", 0, 0),
            ("gentoo,linux", 0, 0),
            ("macos", 1, 0),
            ("OSX, linux", 1, 0),
            ("gentoo", 0, 1),
            ("debian,rhel", 0, 1),
        ] {
            let (mut wrong, mut doubtful) = (Vec::new(), Vec::new());
            check_platform("platform", filter, &mut wrong, &mut doubtful);
            assert_eq!((wrong.len(), doubtful.len()), (problems, warnings), "{filter}");
        }
    }

    #[test]
    fn names_agents_keep_are_refused() {
        for name in ["query.x", "cache.y", "config_views.z", "my_epoch", "counter", "a:b", "", " x"] {
            let mut problems = Vec::new();
            check_scheduled_name("name", name, &mut problems);
            assert_eq!(problems.len(), 1, "{name:?}");
        }
        let mut problems = Vec::new();
        check_scheduled_name("name", "queries.counter_of_x", &mut problems);
        assert_eq!(problems, []);
    }
}
