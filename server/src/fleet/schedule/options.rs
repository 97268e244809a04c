//! Agent options: what operators may put into them.

use serde_json::{Value, json};

use crate::fleet::Problem;

/// Keys agents read at the root of a config, and what kind of value each has. `packs` and `schedule` may also be served
/// from here.
const ROOT_KEYS: [(&str, Shape); 16] = [
    ("options", Shape::Object),
    ("schedule", Shape::Object),
    ("packs", Shape::Object),
    ("decorators", Shape::Object),
    ("file_paths", Shape::Object),
    ("file_paths_query", Shape::Object),
    ("file_accesses", Shape::Array),
    ("exclude_paths", Shape::Object),
    ("yara", Shape::Object),
    ("auto_table_construction", Shape::Object),
    ("views", Shape::Object),
    ("events", Shape::Object),
    ("prometheus_targets", Shape::Object),
    ("feature_vectors", Shape::Object),
    ("kafka_topics", Shape::Object),
    ("logger", Shape::Object),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Object,
    Array,
}

/// Levels of nesting agents from 4.3 on read; two are the pack's.
const MAX_DEPTH: usize = 32;

/// What a new server serves.
pub fn default_agent_options() -> Value {
    json!({
        "config": {
            "options": {
                "logger_plugin": "tls",
                "pack_delimiter": "/",
                "logger_tls_period": 10,
                "distributed_plugin": "tls",
                "disable_distributed": false,
                "logger_tls_endpoint": "/api/v1/osquery/log",
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
    })
}

/// Checks `{config, overrides: {platforms: {NAME: …}}}` under `place`.
pub fn check(place: &str, options: &Value, problems: &mut Vec<Problem>) {
    let Some(parts) = options.as_object() else {
        problems.push(Problem::new(place, "expects an object with config and overrides"));
        return;
    };
    for (key, value) in parts {
        let place = format!("{place}.{key}");
        match key.as_str() {
            "config" => check_config(&place, value, problems),
            "overrides" => check_overrides(&place, value, problems),
            _ => problems.push(Problem::new(place, "unknown key; agent options have config and overrides")),
        }
    }
}

fn check_overrides(place: &str, overrides: &Value, problems: &mut Vec<Problem>) {
    let Some(parts) = overrides.as_object() else {
        if !overrides.is_null() {
            problems.push(Problem::new(place, "expects an object with platforms"));
        }
        return;
    };
    for (key, value) in parts {
        let place = format!("{place}.{key}");
        match (key.as_str(), value.as_object()) {
            ("platforms", Some(platforms)) => {
                for (platform, config) in platforms {
                    check_config(&format!("{place}.{platform}"), config, problems);
                }
            }
            ("platforms", None) if value.is_null() => {}
            ("platforms", None) => problems.push(Problem::new(place, "expects an object of platforms")),
            _ => problems.push(Problem::new(place, "unknown key; overrides have platforms")),
        }
    }
}

fn check_config(place: &str, config: &Value, problems: &mut Vec<Problem>) {
    let Some(parts) = config.as_object() else {
        problems.push(Problem::new(place, "expects an object"));
        return;
    };
    for (key, value) in parts {
        let here = format!("{place}.{key}");
        let Some((_, shape)) = ROOT_KEYS.iter().find(|(name, _)| name == key) else {
            let known: Vec<&str> = ROOT_KEYS.iter().map(|(name, _)| *name).collect();
            problems.push(Problem::new(here, format!("unknown key; osquery reads {}", known.join(", "))));
            continue;
        };
        let fits = match shape {
            Shape::Object => value.is_object(),
            Shape::Array => value.is_array(),
        };
        if !fits {
            let expected = if *shape == Shape::Object { "an object" } else { "a list" };
            problems.push(Problem::new(here, format!("expects {expected}")));
        } else if key == "options" {
            check_flags(&here, value, problems);
        } else if depth(value) + 1 > MAX_DEPTH {
            problems.push(Problem::new(here, format!("nested deeper than the {MAX_DEPTH} levels agents read")));
        }
    }
}

/// Flags are text, whole numbers or booleans; agents mangle anything else.
fn check_flags(place: &str, options: &Value, problems: &mut Vec<Problem>) {
    for (flag, value) in options.as_object().into_iter().flatten() {
        let here = format!("{place}.{flag}");
        match value {
            Value::Number(number) if number.is_f64() => {
                problems.push(Problem::new(here, "agents misread numbers with a decimal point; write a whole number"));
            }
            Value::Null => problems.push(Problem::new(here, "has no value; give one or remove the key")),
            Value::String(text) if text.is_empty() => {
                problems.push(Problem::new(here, "agents skip empty text, so it would change nothing; remove the key"));
            }
            _ => {}
        }
    }
}

fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Object(members) => members.values().map(depth).max(),
        Value::Array(items) => items.iter().map(depth).max(),
        _ => return 0,
    };
    1 + inner.unwrap_or(0)
}
