//! A configuration as the agent reads it.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::version::Version;

/// Longest interval of a scheduled query in seconds.
const MAX_INTERVAL_S: u64 = 604_800;

/// The parts of one configuration that this model acts on. The same for every agent that gets the same bytes.
#[derive(Debug, Default)]
pub struct Document {
    pub options: Map<String, Value>,
    pub packs: Vec<Pack>,
    pub decorators: Decorators,
}

#[derive(Debug, Default)]
pub struct Decorators {
    pub load: Vec<String>,
    pub always: Vec<String>,
    /// Period in seconds and SQL.
    pub interval: Vec<(u64, String)>,
}

/// A pack; the schedule is the pack `main`.
#[derive(Debug)]
pub struct Pack {
    pub name: String,
    pub filter: Filter,
    pub discovery: Vec<String>,
    pub queries: Vec<Query>,
}

/// Conditions on a host.
#[derive(Debug, Default)]
pub struct Filter {
    pub platform: String,
    pub version: String,
    pub shard: u64,
}

#[derive(Debug)]
pub struct Query {
    pub name: String,
    pub sql: Arc<str>,
    pub interval: Interval,
    pub snapshot: bool,
    pub removed: bool,
    pub denylist: bool,
    pub filter: Filter,
    pub startup_priority: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interval {
    /// Not given: the flag decides.
    Default,
    Seconds(u64),
    /// Refused, as the agent prints it.
    Invalid(String),
}

impl Document {
    /// Reads the root object; members of the wrong shape are left out as the agent does.
    pub fn read(root: &Map<String, Value>, version: Version) -> Self {
        let mut packs = Vec::new();
        if let Some(schedule) = root.get("schedule").and_then(Value::as_object) {
            packs.push(read_pack("main", &Map::new(), schedule, version));
        }
        for (name, value) in object(root.get("packs")) {
            match value.as_object() {
                Some(several) if name == "*" => {
                    for (name, pack) in several {
                        add_pack(&mut packs, name, pack.as_object(), version);
                    }
                }
                pack => add_pack(&mut packs, name, pack, version),
            }
        }
        let decorators = root.get("decorators").and_then(Value::as_object);
        let texts = |name: &str| {
            let list = decorators.and_then(|members| members.get(name)).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(|sql| sql.as_str().map(str::to_owned)).collect()
        };
        Self {
            options: object(root.get("options")).map(|(name, value)| (name.clone(), value.clone())).collect(),
            packs,
            decorators: Decorators {
                load: texts("load"),
                always: texts("always"),
                interval: interval_decorators(decorators.and_then(|members| members.get("interval"))),
            },
        }
    }
}

fn object(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

fn interval_decorators(value: Option<&Value>) -> Vec<(u64, String)> {
    let mut found = Vec::new();
    for (seconds, list) in object(value) {
        let Ok(seconds) = seconds.parse::<u64>() else {
            continue;
        };
        if seconds == 0 || seconds % 60 != 0 {
            continue;
        }
        for sql in list.as_array().into_iter().flatten().filter_map(Value::as_str) {
            found.push((seconds, sql.to_owned()));
        }
    }
    found
}

fn add_pack(packs: &mut Vec<Pack>, name: &str, pack: Option<&Map<String, Value>>, version: Version) {
    // A pack given as text names a file, which the tls plugin cannot fetch.
    let Some(pack) = pack else { return };
    let none = Map::new();
    let queries = pack.get("queries").and_then(Value::as_object).unwrap_or(&none);
    // A pack of the same name replaces the earlier one, so a pack `main` replaces the schedule.
    packs.retain(|earlier| earlier.name != name);
    packs.push(read_pack(name, pack, queries, version));
}

fn read_pack(name: &str, members: &Map<String, Value>, queries: &Map<String, Value>, version: Version) -> Pack {
    let discovery = members.get("discovery").and_then(Value::as_array);
    let mut read: Vec<Query> =
        queries.iter().filter_map(|(name, value)| read_query(name, value.as_object()?, version)).collect();
    read.sort_by(|a, b| a.name.cmp(&b.name));
    Pack {
        name: name.to_owned(),
        filter: read_filter(members),
        discovery: discovery.into_iter().flatten().filter_map(|sql| sql.as_str().map(str::to_owned)).collect(),
        queries: read,
    }
}

fn read_filter(members: &Map<String, Value>) -> Filter {
    let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let shard = members.get("shard");
    Filter {
        platform: text("platform"),
        version: text("version"),
        shard: shard
            .and_then(|value| value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok())))
            .unwrap_or(0),
    }
}

fn read_query(name: &str, members: &Map<String, Value>, version: Version) -> Option<Query> {
    if version.at_least(5, 19, 0) && is_reserved(name) {
        return None;
    }
    let truth = |name: &str, default| members.get(name).map_or(default, is_true);
    let denylist = if version.at_least(5, 0, 0) {
        truth("denylist", true)
    } else {
        truth("blacklist", true) && (!version.at_least(4, 4, 0) || truth("denylist", true))
    };
    Some(Query {
        name: name.to_owned(),
        sql: members.get("query")?.as_str()?.into(),
        interval: read_interval(members.get("interval")),
        snapshot: truth("snapshot", false),
        removed: truth("removed", true),
        denylist,
        filter: read_filter(members),
        startup_priority: version
            .at_least(5, 17, 0)
            .then(|| members.get("startup_priority").and_then(Value::as_u64))
            .flatten(),
    })
}

fn is_reserved(name: &str) -> bool {
    ["query.", "cache.", "config_views."].iter().any(|prefix| name.starts_with(prefix))
        || name.ends_with("epoch")
        || name.ends_with("counter")
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => matches!(text.as_str(), "true" | "t" | "True" | "T"),
        _ => false,
    }
}

fn read_interval(value: Option<&Value>) -> Interval {
    let number = match value {
        None => return Interval::Default,
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(_) => None,
    };
    match number {
        Some(seconds) if (1..=MAX_INTERVAL_S).contains(&seconds) => Interval::Seconds(seconds),
        _ => Interval::Invalid(value.map(ToString::to_string).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Document {
        Document::read(value.as_object().unwrap(), Version::parse("5.12.0"))
    }

    #[test]
    fn intervals_are_whole_seconds_up_to_a_week() {
        for (given, expected) in [
            (json!(60), Interval::Seconds(60)),
            (json!("60"), Interval::Seconds(60)),
            (json!(604_800), Interval::Seconds(604_800)),
            (json!(60.0), Interval::Invalid("60.0".to_owned())),
            (json!(0), Interval::Invalid("0".to_owned())),
            (json!(-5), Interval::Invalid("-5".to_owned())),
            (json!(604_801), Interval::Invalid("604801".to_owned())),
            (json!(true), Interval::Invalid("true".to_owned())),
        ] {
            assert_eq!(read_interval(Some(&given)), expected);
        }
        assert_eq!(read_interval(None), Interval::Default);
    }

    #[test]
    fn a_pack_named_main_replaces_the_schedule_and_a_star_holds_several() {
        let document = read(json!({
            "schedule": {"a": {"query": "select 1"}},
            "packs": {
                "main": {"queries": {"b": {"query": "select 2"}}},
                "*": {"one": {"queries": {}}, "two": {"queries": {}}},
                "file": "/etc/pack.conf"
            }
        }));
        let names: Vec<_> = document.packs.iter().map(|pack| pack.name.as_str()).collect();
        assert_eq!(names, ["main", "one", "two"]);
        assert_eq!(document.packs[0].queries[0].name, "b");
    }

    #[test]
    fn loosely_typed_members_are_understood() {
        let document = read(json!({"schedule": {
            "q": {"query": "select 1", "snapshot": "true", "removed": 0, "shard": "25", "interval": "13"},
            "no_sql": {"interval": 5},
            "not_text": {"query": 5}
        }}));
        assert_eq!(document.packs[0].queries.len(), 1);
        let query = &document.packs[0].queries[0];
        assert!(query.snapshot && !query.removed && query.denylist);
        assert_eq!((query.filter.shard, &query.interval), (25, &Interval::Seconds(13)));
    }

    #[test]
    fn interval_decorators_need_whole_minutes() {
        let document = read(json!({"decorators": {
            "load": ["select 1"], "always": [7], "interval": {"60": ["select 2"], "90": ["select 3"]}
        }}));
        assert_eq!(document.decorators.load, ["select 1"]);
        assert!(document.decorators.always.is_empty());
        assert_eq!(document.decorators.interval, [(60, "select 2".to_owned())]);
    }
}
