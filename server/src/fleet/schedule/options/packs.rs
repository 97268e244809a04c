//! Queries and packs that are written out inside the options. Agents get them as they stand, so they must be right as
//! they stand.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Categories;
use super::parts::{self, whole_number};
use crate::fleet::findings::Findings;
use crate::fleet::names::{check_pack_name, check_platform, check_scheduled_name, check_version};
use crate::fleet::path;

/// What agents allow, in seconds: up to a week.
const INTERVALS: std::ops::RangeInclusive<u64> = 1..=604_800;

const QUERY_KEYS: [&str; 12] = [
    "query",
    "interval",
    "snapshot",
    "removed",
    "denylist",
    "blacklist",
    "platform",
    "version",
    "shard",
    "startup_priority",
    "description",
    "value",
];

const PACK_KEYS: [&str; 16] = [
    "queries",
    "discovery",
    "platform",
    "version",
    "shard",
    "oncall",
    "description",
    "decorators",
    "file_paths",
    "file_paths_query",
    "file_accesses",
    "exclude_paths",
    "yara",
    "events",
    "prometheus_targets",
    "feature_vectors",
];

/// Parts that agents keep until they restart. Of those in packs the server would not know when to take them back.
const STICKY_PARTS: [&str; 3] = ["options", "views", "auto_table_construction"];

/// Checks `packs`: each by its name, or several under `*`.
pub(super) fn check(path: &str, packs: &Value, categories: &Categories<'_>, found: &mut Findings<'_>) {
    let mut names = BTreeSet::new();
    for (here, name, pack) in found.members(path, packs) {
        if name != "*" {
            check_pack(&here, name, pack, categories, &mut names, found);
            continue;
        }
        for (here, name, pack) in found.members(&here, pack) {
            check_pack(&here, name, pack, categories, &mut names, found);
        }
    }
}

fn check_pack<'v>(
    path: &str,
    name: &'v str,
    pack: &'v Value,
    categories: &Categories<'v>,
    names: &mut BTreeSet<&'v str>,
    found: &mut Findings<'_>,
) {
    check_pack_name(path, name, found.problems);
    if !names.insert(name) {
        found.problem(path, format!("pack {name:?} stands here twice; agents keep only one of them"));
    }
    if pack.is_string() {
        found.problem(path, "agents that get their config over TLS cannot load a pack from a file; write the pack itself here, or apply it as a document of kind pack");
        return;
    }
    let Some(members) = pack.as_object() else {
        found.problem(path, "expects an object with queries");
        return;
    };
    let mut known = parts::categories(members);
    known.extend(categories);
    for (key, value) in members {
        let here = path::member(path, key);
        match key.as_str() {
            "queries" => check_queries(&here, value, found),
            "discovery" => found.list_of_sql(&here, value),
            "platform" | "version" | "shard" => check_filter(&here, key, value, found),
            "oncall" | "description" => expect_text(&here, value, found),
            _ if STICKY_PARTS.contains(&key.as_str()) => {
                found.problem(here, format!("put {key} beside packs: agents keep it when the pack is gone, and from there the server takes it back"));
            }
            _ if PACK_KEYS.contains(&key.as_str()) => {
                parts::check(&here, key, value, &known, found);
            }
            _ => found.unknown_key(path, key, "a pack has", &PACK_KEYS),
        }
    }
}

/// Checks scheduled queries, each by its name.
pub(super) fn check_queries(path: &str, queries: &Value, found: &mut Findings<'_>) {
    for (here, name, query) in found.members(path, queries) {
        check_scheduled_name(&here, name, found.problems);
        match query.as_object() {
            Some(members) => check_query(&here, members, found),
            None => found.problem(here, "expects an object with query and interval"),
        }
    }
}

fn check_query(path: &str, query: &Map<String, Value>, found: &mut Findings<'_>) {
    found.require(path, query, "query");
    for (key, value) in query {
        let here = path::member(path, key);
        match key.as_str() {
            "query" => found.sql(&here, value),
            "interval" => check_interval(&here, value, found),
            "snapshot" | "removed" | "denylist" | "blacklist" => {
                let is_word = |text: &str| ["true", "t", "false", "f"].contains(&text);
                if !(value.is_boolean() || value.is_u64() || value.as_str().is_some_and(is_word)) {
                    found.problem(here, "expects true or false");
                }
            }
            "platform" | "version" | "shard" => check_filter(&here, key, value, found),
            "startup_priority" if !value.is_u64() => found.problem(here, "expects a whole number"),
            "description" | "value" => expect_text(&here, value, found),
            "startup_priority" => {}
            _ => found.unknown_key(path, key, "a scheduled query has", &QUERY_KEYS),
        }
    }
}

fn check_interval(path: &str, value: &Value, found: &mut Findings<'_>) {
    if value.is_f64() {
        found.problem(path, "agents misread numbers with a decimal point; write a whole number");
    } else if !whole_number(value).is_some_and(|seconds| INTERVALS.contains(&seconds)) {
        found.problem(
            path,
            format!("expects {} to {} seconds; agents skip anything else", INTERVALS.start(), INTERVALS.end()),
        );
    }
}

fn check_filter(path: &str, key: &str, value: &Value, found: &mut Findings<'_>) {
    match (key, value.as_str()) {
        ("shard", _) => {
            if !whole_number(value).is_some_and(|shard| (1..=100).contains(&shard)) {
                found.problem(
                    path,
                    "expects 1 to 100; agents take 0 for all hosts, so remove the key if all are meant, or the query if none is",
                );
            }
        }
        ("platform", Some(platform)) => check_platform(path, platform, found.problems, found.warnings),
        (_, Some(version)) => check_version(path, version, found.problems),
        (_, None) => found.problem(path, "expects text"),
    }
}

/// Agents do not look at these, and packs in the wild have numbers there too.
fn expect_text(path: &str, value: &Value, found: &mut Findings<'_>) {
    if !value.is_string() && !value.is_number() {
        found.problem(path, "expects text");
    }
}
