//! What is to be run: each query once, however many packs schedule it.

use muster_api::rest::Explained;
use serde_json::Value;

/// A query that the host runs by its schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedQuery {
    /// As in the names of results, with the seconds of the schedule; several if the same SQL is scheduled more than once.
    pub names: Vec<(String, u32)>,
    pub sql: String,
    /// SQL that returns rows where the query's pack is active.
    pub discovery: Option<String>,
}

/// The queries that a host runs, in the order of its schedule; of one pack alone if it is named.
pub fn planned(explained: &Explained, pack: Option<&str>) -> Vec<PlannedQuery> {
    let mut planned = Vec::<PlannedQuery>::new();
    for query in &explained.schedule {
        if !query.runs || pack.is_some_and(|pack| query.pack != pack) {
            continue;
        }
        let name = (query.full_name.clone(), query.interval);
        let discovery = discovery(&explained.config, &query.pack);
        match planned.iter_mut().find(|one| one.sql == query.query && one.discovery == discovery) {
            Some(same) => same.names.push(name),
            None => planned.push(PlannedQuery { names: vec![name], sql: query.query.clone(), discovery }),
        }
    }
    planned
}

/// The discovery queries of a pack, as one: the pack is active where each of them returns a row.
fn discovery(config: &Value, pack: &str) -> Option<String> {
    let of_pack = config.get("packs")?.get(pack)?.get("discovery")?.as_array()?;
    let texts: Vec<&str> = of_pack.iter().filter_map(Value::as_str).collect();
    match texts.as_slice() {
        [] => None,
        [one] => Some((*one).to_owned()),
        several => {
            // A comment could end a text.
            let exists = |text: &&str| format!("EXISTS (\n{}\n)", text.trim_end().trim_end_matches(';'));
            Some(format!("SELECT 1 WHERE {}", several.iter().map(exists).collect::<Vec<_>>().join(" AND ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_query_that_runs_is_planned_once() {
        let query = |pack: &str, name: &str, sql: &str, runs: bool| {
            json!({"pack": pack, "name": name, "full_name": format!("pack/{pack}/{name}"), "query": sql, "interval": 60,
                   "runs": runs, "reason": ""})
        };
        let explained: Explained = serde_json::from_value(json!({
            "config": {"packs": {
                "a": {"discovery": []},
                "b": {},
                "found": {"discovery": ["SELECT 1"]},
                "both": {"discovery": ["SELECT 1;", "SELECT 2 -- so"]},
            }},
            "config_hash": "",
            "schedule": [
                query("a", "x", "SELECT 7", true),
                query("b", "y", "SELECT 7", true),
                query("b", "z", "SELECT 8", false),
                query("found", "x", "SELECT 7", true),
                query("both", "x", "SELECT 9", true),
            ],
        }))
        .unwrap();
        let all = planned(&explained, None);
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].names, [("pack/a/x".to_owned(), 60), ("pack/b/y".to_owned(), 60)]);
        assert_eq!(all[1].discovery.as_deref(), Some("SELECT 1"));
        assert_eq!(
            all[2].discovery.as_deref(),
            Some("SELECT 1 WHERE EXISTS (\nSELECT 1\n) AND EXISTS (\nSELECT 2 -- so\n)")
        );
        assert_eq!(planned(&explained, Some("b"))[0].names, [("pack/b/y".to_owned(), 60)]);
        assert!(planned(&explained, Some("none")).is_empty());
    }
}
