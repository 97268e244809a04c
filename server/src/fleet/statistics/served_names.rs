//! The names that agents give to the queries of a config. With the delimiter `_`, a name says neither where the pack ends
//! nor whether there is one; so names are not taken apart but looked up among those of the config that was served.

use std::collections::HashMap;

use muster_api::osquery::config::full_name;
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
    queries: Vec<ServedQuery>,
    /// That of agents which do not say theirs.
    delimiter: String,
    /// Positions in `queries`, for each delimiter that was asked for.
    by_delimiter: HashMap<String, HashMap<String, Vec<usize>>>,
}

/// Most delimiters by which names are remembered. An agent may say any; all of a fleet mostly say the same.
const MAX_DELIMITERS: usize = 8;

/// The default of the flag.
const DEFAULT_DELIMITER: &str = "_";

/// The default of the flag, in seconds.
const DEFAULT_INTERVAL: u64 = 3600;

impl ServedNames {
    /// The queries of a config as it was served. One that cannot be read has none.
    pub fn of(config: &[u8]) -> Self {
        let config: Map<String, Value> = serde_json::from_slice(config).unwrap_or_default();
        let interval = config.get("options").and_then(|options| whole(options.get("schedule_default_interval")?));
        let mut queries = Vec::new();
        let mut add = |pack: &str, scheduled: Option<&Value>| {
            for (name, query) in scheduled.and_then(Value::as_object).into_iter().flatten() {
                let Some(sql) = query.get("query").and_then(Value::as_str) else { continue };
                queries.push(ServedQuery {
                    pack: pack.to_owned(),
                    name: name.clone(),
                    sql_hash: sql_hash(sql),
                    interval: query.get("interval").and_then(whole).or(interval).unwrap_or(DEFAULT_INTERVAL),
                });
            }
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
        Self { queries, delimiter, by_delimiter: HashMap::new() }
    }

    /// The query that an agent with this delimiter calls so; with that of the config if it is empty. Where that may be
    /// several, it is the one with this SQL, or else the first: to such an agent they are one.
    pub fn find(&mut self, full_name: &str, sql_hash: Option<i64>, delimiter: &str) -> Option<&ServedQuery> {
        let delimiter = if delimiter.is_empty() { &self.delimiter } else { delimiter };
        if self.by_delimiter.len() >= MAX_DELIMITERS && !self.by_delimiter.contains_key(delimiter) {
            self.by_delimiter.clear();
        }
        let names = self.by_delimiter.entry(delimiter.to_owned()).or_insert_with(|| names(&self.queries, delimiter));
        let candidates = names.get(full_name)?;
        let meant = candidates.iter().find(|at| Some(self.queries[**at].sql_hash) == sql_hash).or(candidates.first())?;
        self.queries.get(*meant)
    }
}

fn names(queries: &[ServedQuery], delimiter: &str) -> HashMap<String, Vec<usize>> {
    let mut names: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, query) in queries.iter().enumerate() {
        let pack = if query.pack.is_empty() { MAIN } else { &query.pack };
        names.entry(full_name(pack, &query.name, delimiter)).or_default().push(at);
    }
    names
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

    fn found(names: &mut ServedNames, full_name: &str, sql: &str, delimiter: &str) -> Option<(String, String)> {
        let query = names.find(full_name, Some(sql_hash(sql)), delimiter)?;
        Some((query.pack.clone(), query.name.clone()))
    }

    #[test]
    fn names_are_those_of_the_config() {
        let mut names = served();
        let mut find = |full_name: &str, sql: &str, delimiter: &str| {
            found(&mut names, full_name, sql, delimiter).map(|(pack, name)| format!("{pack}|{name}"))
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
        let mut names = served();
        let mut find = |sql: &str| found(&mut names, "pack_a_b_c", sql, "_").map(|(pack, _)| pack);
        assert_eq!(find("select 1").as_deref(), Some("a"));
        assert_eq!(find("select 2").as_deref(), Some("a_b"));
        assert_eq!(find("select 99").as_deref(), Some("a"));
    }

    #[test]
    fn intervals_are_those_of_the_config() {
        let names = served();
        let interval = |name: &str| names.queries.iter().find(|query| query.name == name).unwrap().interval;
        assert_eq!((interval("top"), interval("q")), (90, 60));
        assert!(ServedNames::of(b"[]").queries.is_empty());
    }

    #[test]
    fn an_agent_that_says_another_delimiter_each_time_takes_no_memory() {
        let mut names = served();
        for number in 0..100 {
            let delimiter = number.to_string();
            assert!(found(&mut names, &format!("pack{delimiter}a{delimiter}x"), "select 7", &delimiter).is_some());
        }
        assert!(names.by_delimiter.len() <= MAX_DELIMITERS);
    }
}
