//! The names that agents give to the queries of a config. With the delimiter `_`, a name says neither where the pack ends
//! nor whether there is one; so names are not taken apart but looked up among those of the config that was served.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::sample::sql_hash;

/// The pack under which agents keep the top-level schedule.
const MAIN: &str = "main";

/// A scheduled query of a config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServedQuery {
    /// Empty for the top-level schedule.
    pub pack: String,
    pub name: String,
    pub sql_hash: i64,
    /// In seconds.
    pub interval: u64,
}

/// The scheduled queries of a config by what agents call them.
#[derive(Debug, Default)]
pub(super) struct ServedNames {
    /// In the order of the config, the top-level schedule first, by their names in the pack.
    packs: Vec<(String, HashMap<String, ServedQuery>)>,
    /// That of agents which do not say theirs.
    delimiter: String,
}

/// The default of the flag.
const DEFAULT_DELIMITER: &str = "_";

/// The default of the flag, in seconds.
const DEFAULT_INTERVAL: u64 = 3600;

impl ServedNames {
    /// The queries of a config as it was served. One that cannot be read has none.
    pub fn of(config: &[u8]) -> Self {
        let config: Map<String, Value> = serde_json::from_slice(config).unwrap_or_default();
        let interval = config.get("options").and_then(|options| whole(options.get("schedule_default_interval")?));
        let mut packs = Vec::new();
        let mut add = |pack: &str, scheduled: Option<&Value>| {
            let all = scheduled.and_then(Value::as_object).into_iter().flatten();
            let queries = all.filter_map(|(name, query)| {
                let served = ServedQuery {
                    pack: pack.to_owned(),
                    name: name.clone(),
                    sql_hash: sql_hash(query.get("query")?.as_str()?),
                    interval: query.get("interval").and_then(whole).or(interval).unwrap_or(DEFAULT_INTERVAL),
                };
                Some((name.clone(), served))
            });
            packs.push((pack.to_owned(), queries.collect()));
        };
        add("", config.get("schedule"));
        for (name, pack) in config.get("packs").and_then(Value::as_object).into_iter().flatten() {
            match pack.as_object() {
                // Several packs under one key.
                Some(packs) if name == "*" => {
                    packs.iter().for_each(|(name, pack)| add(name, pack.get("queries")));
                }
                _ => add(name, pack.get("queries")),
            }
        }
        let delimiter = config.get("options").and_then(|options| options.get("pack_delimiter")?.as_str());
        let delimiter = delimiter.filter(|text| !text.is_empty()).unwrap_or(DEFAULT_DELIMITER).to_owned();
        Self { packs, delimiter }
    }

    /// The query that an agent with this delimiter calls so; with that of the config if it is empty. Where that may be
    /// several, it is the one with this SQL, or else the first: to such an agent they are one.
    pub fn find(&self, full_name: &str, sql_hash: Option<i64>, delimiter: &str) -> Option<&ServedQuery> {
        let delimiter = if delimiter.is_empty() { &self.delimiter } else { delimiter };
        let in_pack = full_name.strip_prefix("pack").and_then(|rest| rest.strip_prefix(delimiter));
        let mut first = None;
        for (pack, queries) in &self.packs {
            let name = match pack.as_str() {
                "" | MAIN => Some(full_name),
                pack => in_pack.and_then(|rest| rest.strip_prefix(pack)?.strip_prefix(delimiter)),
            };
            match name.and_then(|name| queries.get(name)) {
                Some(query) if Some(query.sql_hash) == sql_hash => return Some(query),
                found => first = first.or(found),
            }
        }
        first
    }
}

/// A number, which may be written as text.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn served() -> ServedNames {
        let query = |sql: &str| json!({ "query": sql, "interval": 60 });
        let config = json!({
            "options": { "schedule_default_interval": "90", "pack_delimiter": "~" },
            "schedule": { "top": { "query": "select 0" }, "pack_of_one": query("select 5") },
            "packs": {
                "a": { "queries": { "b_c": query("select 1"), "x": query("select 7") } },
                "a_b": { "queries": { "c": query("select 2") } },
                "*": { "wild": { "queries": { "q": query("select 3") } } },
                "from file": "/etc/pack.conf",
            },
        });
        ServedNames::of(config.to_string().as_bytes())
    }

    fn found(names: &ServedNames, full_name: &str, sql: &str, delimiter: &str) -> Option<(String, String)> {
        let query = names.find(full_name, Some(sql_hash(sql)), delimiter)?;
        Some((query.pack.clone(), query.name.clone()))
    }

    #[test]
    fn names_are_those_of_the_config() {
        let names = served();
        let find = |full_name: &str, sql: &str, delimiter: &str| {
            found(&names, full_name, sql, delimiter).map(|(pack, name)| format!("{pack}|{name}"))
        };
        assert_eq!(find("top", "select 0", "_").as_deref(), Some("|top"));
        assert_eq!(find("pack_of_one", "select 5", "_").as_deref(), Some("|pack_of_one"));
        assert_eq!(find("pack_a_x", "an older one", "_").as_deref(), Some("a|x"));
        assert_eq!(find("pack/a/x", "select 7", "/").as_deref(), Some("a|x"));
        assert_eq!(find("pack_a_x", "select 7", "/"), None, "another delimiter");
        assert_eq!(find("pack--wild--q", "select 3", "--").as_deref(), Some("wild|q"));
        assert_eq!(find("pack~a~x", "select 7", "").as_deref(), Some("a|x"), "the delimiter of the config");
        assert_eq!(find("pack_a_unheard_of", "select 1", "_"), None);
    }

    #[test]
    fn the_sql_decides_between_queries_of_one_name() {
        let names = served();
        let find = |sql: &str| found(&names, "pack_a_b_c", sql, "_").map(|(pack, _)| pack);
        assert_eq!(find("select 1").as_deref(), Some("a"));
        assert_eq!(find("select 2").as_deref(), Some("a_b"));
        assert_eq!(find("select 99").as_deref(), Some("a"));
    }

    #[test]
    fn names_are_those_that_agents_make_of_the_config() {
        use muster_api::osquery::config::full_name;
        let names = served();
        for delimiter in ["_", "/", "", "aa", "__"] {
            let meant = if delimiter.is_empty() { "~" } else { delimiter };
            for (pack, name) in [("a", "b_c"), ("a", "x"), ("wild", "q"), ("main", "top")] {
                let query = names.find(&full_name(pack, name, meant), None, delimiter).unwrap();
                let pack = if pack == "main" { "" } else { pack };
                assert_eq!((query.pack.as_str(), query.name.as_str()), (pack, name), "{delimiter}");
            }
        }
    }

    #[test]
    fn intervals_are_those_of_the_config() {
        let names = served();
        let interval = |name: &str| names.packs.iter().find_map(|(_, queries)| queries.get(name)).unwrap().interval;
        assert_eq!((interval("top"), interval("q")), (90, 60));
        assert!(ServedNames::of(b"[]").find("top", None, "_").is_none());
    }
}
