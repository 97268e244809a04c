//! What names and other short texts may be, so that agents understand them and columns hold them.

use crate::fleet::Problem;

/// As the columns are.
const MAX_NAME: usize = 255;

/// Longest SQL text: what still fits a config with room for others.
const MAX_SQL_BYTES: usize = 256 * 1024;

/// Longest description.
const MAX_DESCRIPTION_BYTES: usize = 64 * 1024;

/// Endings agents from 5.19 on refuse, and older ones stumble over.
const RESERVED_ENDINGS: [&str; 2] = ["epoch", "counter"];

/// A name of anything.
pub(super) fn check_name(place: &str, name: &str, problems: &mut Vec<Problem>) {
    if name.is_empty() {
        problems.push(Problem::new(place, "cannot be empty"));
    } else if name.trim() != name {
        problems.push(Problem::new(place, "begins or ends with a space; remove it"));
    } else if name.chars().count() > MAX_NAME {
        problems.push(Problem::new(place, format!("is longer than {MAX_NAME} characters")));
    } else if name.chars().any(char::is_control) {
        problems.push(Problem::new(place, "has a control character in it"));
    }
}

/// A name that agents use in their schedule.
pub(super) fn check_scheduled_name(place: &str, name: &str, problems: &mut Vec<Problem>) {
    check_name(place, name, problems);
    if name.contains(':') {
        problems.push(Problem::new(place, "has a ':' in it, which breaks the agents' denylist; use another character"));
    }
    if let Some(ending) = RESERVED_ENDINGS.iter().find(|ending| name.ends_with(**ending)) {
        problems.push(Problem::new(
            place,
            format!("ends in {ending:?}, which agents keep for themselves; choose another name"),
        ));
    }
}

/// SQL of a query.
pub(super) fn check_sql(place: &str, sql: &str, problems: &mut Vec<Problem>) {
    if sql.trim().is_empty() {
        problems.push(Problem::new(place, "cannot be empty"));
    } else if sql.len() > MAX_SQL_BYTES {
        problems.push(Problem::new(place, format!("is longer than {MAX_SQL_BYTES} bytes")));
    } else if sql.contains('\0') {
        problems.push(Problem::new(place, "has a NUL character in it"));
    }
}

pub(super) fn check_description(place: &str, text: &str, problems: &mut Vec<Problem>) {
    if text.len() > MAX_DESCRIPTION_BYTES {
        problems.push(Problem::new(place, format!("is longer than {MAX_DESCRIPTION_BYTES} bytes")));
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

/// The platform filter of a pack or scheduled query, which agents compare.
pub(super) fn check_platform(place: &str, platform: &str, problems: &mut Vec<Problem>) {
    if platform.chars().count() > MAX_NAME {
        problems.push(Problem::new(place, format!("is longer than {MAX_NAME} characters")));
    }
    for word in platform.split(',').map(str::trim) {
        if let Some((_, meant)) = MISTAKEN_PLATFORMS.iter().find(|(wrong, _)| word.eq_ignore_ascii_case(wrong)) {
            problems.push(Problem::new(place, format!("no agent's platform is {word:?}; write {meant}")));
        }
    }
}

/// The least agent version of a pack or scheduled query.
pub(super) fn check_version(place: &str, version: &str, problems: &mut Vec<Problem>) {
    let is_number = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    if version.chars().count() > MAX_NAME {
        problems.push(Problem::new(place, format!("is longer than {MAX_NAME} characters")));
    } else if !version.is_empty() && !version.split('.').all(is_number) {
        problems.push(Problem::new(place, format!("{version:?} is not a version such as 5.4.0")));
    }
}

/// The share of hosts a pack or query runs on.
pub(super) fn check_shard(place: &str, shard: Option<u8>, problems: &mut Vec<Problem>) {
    if shard.is_some_and(|shard| shard > 100) {
        problems.push(Problem::new(place, "expects 0 (no host) to 100 (all hosts)"));
    }
}
