//! Agent options: what operators may put into them. Whatever agents would misread or silently ignore is refused here.

mod cli_only;
mod flags;
mod known_flags;
mod packs;
mod parts;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use muster_api::osquery::config::{MAX_CONFIG_DEPTH, depth};
use serde_json::{Map, Value, json};

use crate::fleet::findings::Findings;
use crate::fleet::names::meant_platform;
use crate::fleet::{Problem, path};

pub(super) use cli_only::is_cli_only;
pub use known_flags::default_of;

/// Keys agents read at the root of a config. `packs` and `schedule` may also be served from here.
const ROOT_KEYS: [&str; 16] = [
    "options",
    "schedule",
    "packs",
    "decorators",
    "file_paths",
    "file_paths_query",
    "file_accesses",
    "exclude_paths",
    "yara",
    "auto_table_construction",
    "views",
    "events",
    "prometheus_targets",
    "feature_vectors",
    "kafka_topics",
    "logger",
];

/// The agent options in force until an operator chooses others.
#[derive(Debug, Clone, PartialEq)]
pub struct BuiltInOptions {
    /// What every path of this server begins with; agents must call them so.
    pub url_prefix: String,
    pub options: Value,
}

impl BuiltInOptions {
    pub fn new(url_prefix: &str) -> Self {
        let options = json!({
            "config": {
                "options": {
                    "pack_delimiter": "/",
                    "logger_tls_period": 10,
                    "distributed_plugin": "tls",
                    "disable_distributed": false,
                    "logger_tls_endpoint": format!("{url_prefix}/api/v1/osquery/log"),
                    "distributed_interval": 10,
                    "distributed_tls_max_attempts": 3,
                },
                "decorators": {
                    "load": [
                        "SELECT uuid AS host_uuid FROM system_info;",
                        "SELECT hostname AS hostname FROM system_info;",
                    ],
                },
            },
            "overrides": {},
        });
        Self { url_prefix: url_prefix.to_owned(), options }
    }

    /// The agent options in a configuration that an operator has chosen. Earlier versions stored the built-in ones when a
    /// server was set up: those are nobody's choice.
    pub fn chosen<'a>(&self, app_config: &'a Value) -> Option<&'a Value> {
        let is_built_in = |options: &Value| *options == self.options || *options == Self::new("").options;
        app_config.get("agent_options").filter(|options| !is_built_in(options))
    }

    /// The agent options in force.
    pub fn in_force(&self, app_config: &Value) -> Value {
        self.chosen(app_config).unwrap_or(&self.options).clone()
    }
}

/// The options document that replaces `config` for hosts of a platform, if there is one.
pub(super) fn override_for<'a>(agent_options: &'a Value, platform: &str) -> Option<&'a Value> {
    agent_options.get("overrides")?.get("platforms")?.get(platform)
}

/// The options document of hosts whose platform has none of its own.
pub(super) fn general_document(agent_options: &Value) -> Option<&Map<String, Value>> {
    agent_options.get("config")?.as_object()
}

/// The options document hosts of a platform get.
pub(super) fn document_for<'a>(agent_options: &'a Value, platform: &str) -> Option<&'a Map<String, Value>> {
    match override_for(agent_options, platform) {
        Some(document) => document.as_object(),
        None => general_document(agent_options),
    }
}

/// Platforms whose hosts get a document of their own.
pub(super) fn overridden_platforms(agent_options: &Value) -> impl Iterator<Item = &String> {
    let platforms = agent_options.get("overrides").and_then(|overrides| overrides.get("platforms"));
    platforms.and_then(Value::as_object).into_iter().flat_map(Map::keys)
}

/// Agent options as they are kept: without what is null, which is as if absent, and with `overrides` beside `config`. A flag
/// that is null stays: somebody has probably forgotten its value.
pub fn normal(mut options: Value) -> Value {
    fn drop_null(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|_, value| !value.is_null());
                members.iter_mut().filter(|(key, _)| *key != "options").for_each(|(_, value)| drop_null(value));
            }
            Value::Array(items) => items.iter_mut().for_each(drop_null),
            _ => {}
        }
    }
    drop_null(&mut options);
    if let Some(parts) = options.as_object_mut().filter(|parts| parts.contains_key("config")) {
        parts.entry("overrides").or_insert_with(|| Map::new().into());
    }
    options
}

/// Flags with a path of the server that agents take from a config.
const ENDPOINTS: [&str; 3] = ["logger_tls_endpoint", "distributed_tls_read_endpoint", "distributed_tls_write_endpoint"];

/// Warns of paths without the prefix of this server: agents would call what is not there.
pub fn check_endpoints(path: &str, options: &Value, url_prefix: &str, warnings: &mut Vec<Problem>) {
    let general = options.get("config").map(|document| (path::member(path, "config"), document));
    let platforms = path::member(&path::member(path, "overrides"), "platforms");
    let apart = overridden_platforms(options)
        .filter_map(|platform| Some((path::member(&platforms, platform), override_for(options, platform)?)));
    for (at, document) in general.into_iter().chain(apart) {
        for flag in ENDPOINTS {
            let Some(endpoint) = document.get("options").and_then(|flags| flags.get(flag)?.as_str()) else { continue };
            if !url_prefix.is_empty() && endpoint.starts_with("/api/") {
                let at = path::member(&path::member(&at, "options"), flag);
                let reason =
                    format!("agents find nothing there: server.url_prefix is set, so write {url_prefix}{endpoint}");
                warnings.push(Problem::new(at, reason));
            }
        }
    }
}

/// Checks `{config, overrides: {platforms: {NAME: …}}}` under `path`.
pub fn check(path: &str, options: &Value, problems: &mut Vec<Problem>, warnings: &mut Vec<Problem>) {
    let mut found = Findings { problems, warnings };
    let Some(parts) = options.as_object() else {
        found.problem(path, "expects an object with config and overrides");
        return;
    };
    for (key, value) in parts {
        let here = path::member(path, key);
        match key.as_str() {
            "config" => check_document(&here, value, &mut found),
            "overrides" if value.is_null() => {}
            "overrides" => check_overrides(&here, value, &mut found),
            _ => found.unknown_key(path, key, "agent options have", &["config", "overrides"]),
        }
    }
}

fn check_overrides(path: &str, overrides: &Value, found: &mut Findings<'_>) {
    for (here, key, value) in found.members(path, overrides) {
        match key.as_str() {
            "platforms" if value.is_null() => {}
            "platforms" => {
                for (here, platform, document) in found.members(&here, value) {
                    if let Some(meant) = meant_platform(platform) {
                        found.warn(&here, format!("no host calls its platform {platform:?}, so none gets this override; overrides go by os_version.platform, here {meant}"));
                    }
                    check_document(&here, document, found);
                }
            }
            _ => found.unknown_key(path, key, "overrides have", &["platforms"]),
        }
    }
}

/// Whether agents cannot read an options document, because it is nested too deeply.
pub fn is_too_deep(document: &Value) -> bool {
    depth(document) > MAX_CONFIG_DEPTH
}

/// Checks a whole options document.
fn check_document(path: &str, document: &Value, found: &mut Findings<'_>) {
    let Some(members) = document.as_object() else {
        found.problem(path, "expects an object");
        return;
    };
    if is_too_deep(document) {
        let deepest = members.iter().max_by_key(|(_, value)| depth(value)).map(|(key, _)| path::member(path, key));
        found.problem(
            deepest.unwrap_or_else(|| path.to_owned()),
            format!("is nested deeper than the {MAX_CONFIG_DEPTH} levels agents read"),
        );
        return;
    }
    let categories = parts::categories(members);
    for (key, value) in members {
        let here = path::member(path, key);
        match key.as_str() {
            "options" => flags::check(&here, value, found),
            "schedule" => packs::check_queries(&here, value, found),
            "packs" => packs::check(&here, value, &categories, found),
            _ if parts::check(&here, key, value, &categories, found) => {}
            _ => found.unknown_key(path, key, "osquery reads", &ROOT_KEYS),
        }
    }
}

/// Names of the groups of files that are watched.
type Categories<'a> = BTreeSet<&'a str>;
