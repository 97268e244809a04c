//! The parts of a config beside flags and queries.

use serde_json::{Map, Value};

use super::Categories;
use crate::fleet::findings::Findings;
use crate::fleet::names::check_platform;
use crate::fleet::path;

/// Intervals of decorators are whole minutes.
const DECORATOR_STEP_SECS: u64 = 60;

/// How many characters have a frequency.
const MAX_FREQUENCIES: usize = 256;

/// The categories of files that `document` names.
pub(super) fn categories(document: &Map<String, Value>) -> Categories<'_> {
    let parts = ["file_paths", "file_paths_query"].into_iter().filter_map(|key| document.get(key)?.as_object());
    parts.flat_map(Map::keys).map(String::as_str).collect()
}

/// Checks one part; `false` if there is none of that name.
pub(super) fn check(
    path: &str,
    key: &str,
    value: &Value,
    categories: &Categories<'_>,
    found: &mut Findings<'_>,
) -> bool {
    match key {
        "decorators" => decorators(path, value, found),
        "file_paths" => {
            for (here, _, globs) in found.members(path, value) {
                found.texts(&here, globs);
            }
        }
        "file_paths_query" => {
            for (here, _, queries) in found.members(path, value) {
                found.list_of_sql(&here, queries);
            }
        }
        "file_accesses" => {
            for (here, category) in found.texts(path, value) {
                expect_category(&here, category, categories, found);
            }
        }
        "exclude_paths" => exclude_paths(path, value, categories, found),
        "yara" => yara(path, value, categories, found),
        "auto_table_construction" => {
            for (here, table, value) in found.members(path, value) {
                constructed_table(&here, table, value, found);
            }
        }
        "views" => {
            for (here, name, sql) in found.members(path, value) {
                expect_name(&here, name, found);
                found.sql(&here, sql);
            }
        }
        "events" => {
            const KEYS: [&str; 3] = ["enable_subscribers", "disable_subscribers", "environment_variables"];
            for (here, key, names) in found.members(path, value) {
                if KEYS.contains(&key.as_str()) {
                    found.texts(&here, names);
                } else {
                    found.unknown_key(path, key, "events have", &KEYS);
                }
            }
        }
        "prometheus_targets" => prometheus_targets(path, value, found),
        "feature_vectors" => feature_vectors(path, value, found),
        // Data of other plugins; what it means is theirs.
        "kafka_topics" | "logger" => {
            found.members(path, value);
        }
        _ => return false,
    }
    true
}

fn decorators(path: &str, value: &Value, found: &mut Findings<'_>) {
    for (here, key, value) in found.members(path, value) {
        match key.as_str() {
            "load" | "always" => decorator_queries(&here, value, found),
            "interval" => {
                for (here, seconds, queries) in found.members(&here, value) {
                    let is_whole = |seconds: u64| seconds > 0 && seconds.is_multiple_of(DECORATOR_STEP_SECS);
                    if !seconds.parse().is_ok_and(is_whole) {
                        found.problem(
                            &here,
                            format!("expects seconds that are a multiple of {DECORATOR_STEP_SECS}; agents skip anything else"),
                        );
                    }
                    decorator_queries(&here, queries, found);
                }
            }
            _ => found.unknown_key(path, key, "decorators have", &["load", "always", "interval"]),
        }
    }
}

fn decorator_queries(path: &str, value: &Value, found: &mut Findings<'_>) {
    if value.is_string() {
        found.warn(path, "agents read a list of queries here and skip a single text; write it as a list");
    } else {
        found.list_of_sql(path, value);
    }
}

fn exclude_paths(path: &str, value: &Value, categories: &Categories<'_>, found: &mut Findings<'_>) {
    for (here, category, globs) in found.members(path, value) {
        found.texts(&here, globs);
        if !categories.contains(category.as_str()) {
            found.warn(&here, format!("excludes nothing: neither file_paths nor file_paths_query has {category:?}"));
        }
    }
}

fn yara(path: &str, value: &Value, categories: &Categories<'_>, found: &mut Findings<'_>) {
    let groups = value.get("signatures").and_then(Value::as_object);
    for (here, key, value) in found.members(path, value) {
        match key.as_str() {
            "signatures" => {
                for (here, _, files) in found.members(&here, value) {
                    found.texts(&here, files);
                }
            }
            "signature_urls" => {
                found.texts(&here, value);
            }
            "file_paths" => {
                for (here, category, names) in found.members(&here, value) {
                    expect_category(&here, category, categories, found);
                    for (here, name) in found.texts(&here, names) {
                        if !groups.is_some_and(|groups| groups.contains_key(name)) {
                            found.problem(here, format!("yara.signatures has no group {name:?}"));
                        }
                    }
                }
            }
            _ => found.unknown_key(path, key, "yara has", &["signatures", "signature_urls", "file_paths"]),
        }
    }
}

fn constructed_table(path: &str, name: &str, value: &Value, found: &mut Findings<'_>) {
    const KEYS: [&str; 4] = ["query", "path", "columns", "platform"];
    expect_name(path, name, found);
    let Some(members) = value.as_object() else {
        found.problem(path, "expects an object with query, path and columns");
        return;
    };
    for key in ["query", "path", "columns"] {
        found.require(path, members, key);
    }
    for (key, value) in members {
        let here = path::member(path, key);
        match key.as_str() {
            "query" => found.sql(&here, value),
            "path" => {
                found.text(&here, value);
            }
            "columns" => columns(&here, value, found),
            "platform" => match value.as_str() {
                Some(platform) => check_platform(&here, platform, found.problems, found.warnings),
                None => found.problem(here, "expects text"),
            },
            _ => found.unknown_key(path, key, "a table has", &KEYS),
        }
    }
}

fn columns(path: &str, value: &Value, found: &mut Findings<'_>) {
    if value.as_array().is_some_and(Vec::is_empty) {
        found.problem(path, "expects at least one column");
    }
    let mut seen = std::collections::BTreeSet::new();
    for (here, column) in found.texts(path, value) {
        if column == "path" {
            found.problem(here, "agents add the column \"path\" themselves; remove it");
        } else if !seen.insert(column) {
            found.problem(here, format!("column {column:?} stands in the list twice"));
        }
    }
}

fn prometheus_targets(path: &str, value: &Value, found: &mut Findings<'_>) {
    for (here, key, value) in found.members(path, value) {
        match key.as_str() {
            "urls" => {
                found.texts(&here, value);
            }
            "timeout" if whole_number(value).is_none_or(|seconds| seconds == 0) => {
                found.problem(here, "expects whole seconds");
            }
            "timeout" => {}
            _ => found.unknown_key(path, key, "prometheus_targets has", &["urls", "timeout"]),
        }
    }
}

fn feature_vectors(path: &str, value: &Value, found: &mut Findings<'_>) {
    for (here, key, value) in found.members(path, value) {
        if key != "character_frequencies" {
            found.unknown_key(path, key, "feature_vectors has", &["character_frequencies"]);
            continue;
        }
        let items = found.items(&here, value);
        if value.is_array() && !(1..=MAX_FREQUENCIES).contains(&items.len()) {
            found.problem(&here, format!("expects 1 to {MAX_FREQUENCIES} numbers"));
        }
        for (here, _) in items.iter().filter(|(_, item)| !item.is_number()) {
            found.problem(here, "expects a number");
        }
    }
}

fn expect_category(path: &str, category: &str, categories: &Categories<'_>, found: &mut Findings<'_>) {
    if !categories.contains(category) {
        found.problem(path, format!("neither file_paths nor file_paths_query has a category {category:?}"));
    }
}

fn expect_name(path: &str, name: &str, found: &mut Findings<'_>) {
    if name.trim().is_empty() {
        found.problem(path, "needs a name");
    }
}

/// A number agents read as whole: without a sign and a decimal point, as a number or as text.
pub(super) fn whole_number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok())
}
