//! The SQL of a plan: all that hosts run without being asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use muster_sql::{Guard, SqlKind};
use serde_json::Value;

use super::{GuardedSql, Views};
use crate::fleet::changes::ObjectKind;
use crate::fleet::path;
use crate::fleet::schedule::Plan;
use crate::store::case;

/// Where objects stand in what an operator has sent, so that findings name the place. What is not there was sent by itself.
#[derive(Debug, Default)]
pub(in crate::fleet) struct DocumentPaths(HashMap<(ObjectKind, String), String>);

impl DocumentPaths {
    pub fn add(&mut self, kind: ObjectKind, name: &str, root: String) {
        self.0.insert((kind, case::fold(name)), root);
    }

    /// The path of a field of an object.
    pub fn of(&self, kind: ObjectKind, name: &str, field: &str) -> String {
        let root = self.0.get(&(kind, case::fold(name)));
        root.map_or_else(|| field.to_owned(), |root| format!("{root}.{field}"))
    }

    fn has(&self, kind: ObjectKind, name: &str) -> bool {
        self.0.contains_key(&(kind, case::fold(name)))
    }
}

/// SQL that hosts run, and for which of the labels of the guard; `None` for all.
#[derive(Debug)]
struct PlannedSql<'a> {
    kind: SqlKind,
    sql: &'a str,
    labels: Option<BTreeSet<&'a str>>,
    at: PlannedAt<'a>,
}

#[derive(Debug)]
enum PlannedAt<'a> {
    Scheduled { pack: &'a str, name: &'a str },
    Discovery { pack: &'a str, position: usize },
    Label(&'a str),
    Options(String),
}

/// What hosts would run by the plan `after` and do not run by the plan `before`: other SQL, for another use, or for hosts
/// with more labels.
pub(super) fn planned_anew(guard: &Guard, before: &Plan, after: &Plan, paths: &DocumentPaths) -> Vec<GuardedSql> {
    let mut known: HashMap<(SqlKind, &str), Vec<Option<BTreeSet<&str>>>> = HashMap::new();
    for planned in planned(guard, before) {
        known.entry((planned.kind, planned.sql)).or_default().push(planned.labels);
    }
    let mut anew: Vec<GuardedSql> = Vec::new();
    for planned in planned(guard, after) {
        let before = known.entry((planned.kind, planned.sql)).or_default();
        let is_known = before.iter().any(|before| match (before, &planned.labels) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(before), Some(labels)) => labels.is_subset(before),
        });
        if !is_known {
            anew.push(planned.guarded(paths));
            // The same in another place is said once.
            before.push(planned.labels);
        }
    }
    anew
}

impl PlannedSql<'_> {
    fn guarded(&self, paths: &DocumentPaths) -> GuardedSql {
        let (path, about) = match &self.at {
            PlannedAt::Scheduled { pack, name } => {
                let field = if paths.has(ObjectKind::Pack, pack) { "queries" } else { "query" };
                (paths.of(ObjectKind::Pack, pack, field), format!("query {name:?} of pack {pack:?}"))
            }
            PlannedAt::Discovery { pack, position } => {
                let path = paths.of(ObjectKind::Pack, pack, &path::item("discovery", *position));
                (path, format!("discovery query of pack {pack:?}"))
            }
            PlannedAt::Label(name) => (paths.of(ObjectKind::Label, name, "query"), String::new()),
            PlannedAt::Options(field) => (paths.of(ObjectKind::Config, "", field), String::new()),
        };
        let labels = self.labels.as_ref().map(|labels| labels.iter().map(|&label| label.to_owned()).collect());
        GuardedSql { about, ..GuardedSql::of(self.kind, self.sql.to_owned(), labels, path) }
    }
}

fn planned<'a>(guard: &'a Guard, plan: &'a Plan) -> Vec<PlannedSql<'a>> {
    let mut all = Vec::new();
    let guarded: BTreeMap<&str, Option<i64>> =
        guard.labels().into_iter().map(|label| (label, plan.label_id(label))).collect();
    for pack in plan.packs.iter().filter(|pack| !pack.is_disabled) {
        // Hosts may have any label beside those that the pack asks for, now or later; only those that it excludes they have not.
        let is_excluded =
            |label: &str| guarded.get(label).copied().flatten().is_some_and(|id| pack.targets.excluded.contains(&id));
        let labels: BTreeSet<&str> = guarded.keys().copied().filter(|label| !is_excluded(label)).collect();
        let of_pack = |kind, sql, at| PlannedSql { kind, sql, labels: Some(labels.clone()), at };
        for query in &pack.queries {
            let at = PlannedAt::Scheduled { pack: &pack.name, name: &query.name };
            all.push(of_pack(SqlKind::Scheduled, query.sql.as_str(), at));
        }
        for (position, sql) in pack.discovery.iter().enumerate() {
            all.push(of_pack(SqlKind::Discovery, sql, PlannedAt::Discovery { pack: &pack.name, position }));
        }
    }
    for label in plan.dynamic_labels() {
        let name = plan.label_name(label.id).unwrap_or_default();
        all.push(PlannedSql { kind: SqlKind::Label, sql: &label.sql, labels: None, at: PlannedAt::Label(name) });
    }
    for (at, document) in documents(&plan.agent_options) {
        OptionsSql(&mut all).document(&at, document);
    }
    all
}

/// The documents in agent options, with their paths: the one for all hosts, and those for hosts of a platform.
fn documents(options: &Value) -> impl Iterator<Item = (String, &Value)> {
    let general = options.get("config").map(|document| ("config".to_owned(), document));
    let platforms = options.get("overrides").and_then(|overrides| overrides.get("platforms"));
    let apart = platforms.and_then(Value::as_object).into_iter().flatten();
    general
        .into_iter()
        .chain(apart.map(|(platform, document)| (path::member("overrides.platforms", platform), document)))
}

/// The views of agent options: one set for each document.
pub(in crate::fleet) fn views_of(plan: &Plan) -> Vec<Views> {
    let mut sets: Vec<Views> = Vec::new();
    for (_, document) in documents(&plan.agent_options) {
        let views = document.get("views").and_then(Value::as_object).into_iter().flatten();
        let views = views.filter_map(|(name, sql)| Some((name.clone(), sql.as_str()?.to_owned()))).collect();
        if !sets.contains(&views) {
            sets.push(views);
        }
    }
    if sets.is_empty() {
        sets.push(Views::new());
    }
    sets
}

/// Finds the SQL of an options document, where agents read it.
struct OptionsSql<'s, 'a>(&'s mut Vec<PlannedSql<'a>>);

impl<'a> OptionsSql<'_, 'a> {
    fn document(&mut self, at: &str, document: &'a Value) {
        for (key, value) in members(document) {
            let here = path::member(at, key);
            match key.as_str() {
                "schedule" => self.queries(&here, value),
                "packs" => self.packs(&here, value),
                // Agents of long ago read it, and `force` lets it through.
                "scheduledQueries" => {
                    for (position, query) in value.as_array().into_iter().flatten().enumerate() {
                        self.query(&path::item(&here, position), query);
                    }
                }
                _ => self.part(&here, key, value),
            }
        }
    }

    fn packs(&mut self, at: &str, packs: &'a Value) {
        for (name, pack) in members(packs) {
            let here = path::member(at, name);
            if name == "*" {
                members(pack).for_each(|(name, pack)| self.pack(&path::member(&here, name), pack));
            } else {
                self.pack(&here, pack);
            }
        }
    }

    fn pack(&mut self, at: &str, pack: &'a Value) {
        for (key, value) in members(pack) {
            let here = path::member(at, key);
            match key.as_str() {
                "queries" => self.queries(&here, value),
                "discovery" => self.texts(SqlKind::Discovery, &here, value),
                _ => self.part(&here, key, value),
            }
        }
    }

    /// What documents and packs have in common.
    fn part(&mut self, at: &str, key: &str, value: &'a Value) {
        match key {
            "decorators" => self.texts(SqlKind::Decorator, at, value),
            "views" | "file_paths_query" => self.texts(SqlKind::Scheduled, at, value),
            _ => {}
        }
    }

    fn queries(&mut self, at: &str, queries: &'a Value) {
        members(queries).for_each(|(name, query)| self.query(&path::member(at, name), query));
    }

    fn query(&mut self, at: &str, query: &'a Value) {
        if let Some(sql) = query.get("query") {
            self.texts(SqlKind::Scheduled, &path::member(at, "query"), sql);
        }
    }

    /// Every text in a value. Agents do not read options that are nested deeply, which are refused before.
    fn texts(&mut self, kind: SqlKind, at: &str, value: &'a Value) {
        match value {
            Value::String(sql) => {
                self.0.push(PlannedSql { kind, sql, labels: None, at: PlannedAt::Options(at.to_owned()) });
            }
            Value::Array(items) => {
                for (position, item) in items.iter().enumerate() {
                    self.texts(kind, &path::item(at, position), item);
                }
            }
            Value::Object(members) => {
                for (key, value) in members {
                    self.texts(kind, &path::member(at, key), value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fleet::schedule::{Edition, PlannedPack, Retired, ScheduledQuery};
    use crate::store::packs::TargetLabels;

    const GUARD: &str =
        "mode: enforce\nrules:\n  - {name: a, reason: b, tables: [curl], deny: true, labels: ['7', '8']}\n";

    fn pack(name: &str, sql: &[&str], excluded: &[i64]) -> PlannedPack {
        let query = |(position, sql): (usize, &&str)| ScheduledQuery {
            name: format!("q{position}"),
            sql: (*sql).to_owned(),
            interval_secs: 60,
            snapshot: None,
            removed: None,
            denylist: None,
            shard: None,
            platform: String::new(),
            version: String::new(),
        };
        PlannedPack {
            id: 1,
            name: name.to_owned(),
            platform: String::new(),
            version: String::new(),
            shard: None,
            discovery: vec!["SELECT 1 FROM found".to_owned()],
            is_disabled: false,
            targets: TargetLabels { any: vec![9], all: vec![], excluded: excluded.to_vec(), has_unknown: false },
            queries: sql.iter().enumerate().map(query).collect(),
        }
    }

    fn plan(options: Value, packs: Vec<PlannedPack>) -> Plan {
        Plan::of(Edition::default(), options, Retired::default(), packs).with_labels([7, 8, 9])
    }

    fn said(before: &Plan, after: &Plan, paths: &DocumentPaths) -> Vec<String> {
        let guard = Guard::parse(GUARD).unwrap();
        let show = |sql: GuardedSql| {
            let labels = sql.labels.map(|labels| labels.into_iter().collect::<Vec<_>>().join(","));
            let (path, about) = (sql.path, sql.about);
            format!("{path} | {} | {} | {about}", sql.sql, labels.unwrap_or_else(|| "all".to_owned()))
        };
        planned_anew(&guard, before, after, paths).into_iter().map(show).collect()
    }

    #[test]
    fn only_what_is_new_is_judged() {
        let empty = plan(json!({}), vec![]);
        let first = plan(json!({}), vec![pack("p", &["SELECT 1"], &[7])]);
        assert_eq!(
            said(&empty, &first, &DocumentPaths::default()),
            [
                "query | SELECT 1 | 8 | query \"q0\" of pack \"p\"",
                "discovery[0] | SELECT 1 FROM found | 8 | discovery query of pack \"p\""
            ]
        );
        assert_eq!(said(&first, &first, &DocumentPaths::default()), [""; 0]);
        assert_eq!(said(&first, &empty, &DocumentPaths::default()), [""; 0]);
        let fewer = plan(json!({}), vec![pack("p", &["SELECT 1"], &[7, 8])]);
        assert_eq!(said(&first, &fewer, &DocumentPaths::default()), [""; 0], "for hosts with fewer labels");
        let mut paths = DocumentPaths::default();
        paths.add(ObjectKind::Pack, "P", "documents[3].spec".to_owned());
        let more = plan(json!({}), vec![pack("p", &["SELECT 1", "SELECT 2"], &[])]);
        assert_eq!(
            said(&first, &more, &paths),
            [
                "documents[3].spec.queries | SELECT 1 | 7,8 | query \"q0\" of pack \"p\"",
                "documents[3].spec.queries | SELECT 2 | 7,8 | query \"q1\" of pack \"p\"",
                "documents[3].spec.discovery[0] | SELECT 1 FROM found | 7,8 | discovery query of pack \"p\""
            ]
        );
        let disabled = plan(json!({}), vec![PlannedPack { is_disabled: true, ..pack("p", &["SELECT 1"], &[7]) }]);
        assert_eq!(said(&empty, &disabled, &DocumentPaths::default()), [""; 0]);
        assert_eq!(said(&disabled, &first, &DocumentPaths::default()).len(), 2, "when it is enabled");
    }

    #[test]
    fn sql_is_found_wherever_agents_read_it() {
        let document = json!({
            "options": { "logger_plugin": "tls", "query": "no SQL" },
            "schedule": { "options": { "query": "S1", "interval": 60, "description": "no SQL" } },
            "packs": {
                "a": { "queries": { "decorators": { "query": "S2" } }, "discovery": ["D1"], "decorators": { "load": ["C1"] } },
                "*": { "b": { "queries": { "q": { "query": "S3" } }, "file_paths_query": { "x": ["S4"] } } },
            },
            "decorators": { "load": ["C2"], "always": "C3", "interval": { "60": ["C4"] } },
            "views": { "v": "S5" },
            "file_paths_query": { "x": ["S6"] },
            "scheduledQueries": [{ "query": "S7" }],
            "auto_table_construction": { "t": { "query": "of a file", "path": "/x" } },
        });
        let options = json!({
            "config": document,
            "overrides": { "platforms": { "darwin": { "schedule": { "q": { "query": "S8" } }, "views": { "v": "S9" } } } },
        });
        let after = plan(options, vec![]);
        let mut found: Vec<String> = said(&plan(json!({}), vec![]), &after, &DocumentPaths::default());
        found.iter_mut().for_each(|text| *text = text.replace(" | all | ", ""));
        found.sort();
        let mut sql: Vec<&str> = found.iter().filter_map(|text| text.split(" | ").nth(1)).collect();
        sql.sort_unstable();
        assert_eq!(sql, ["C1", "C2", "C3", "C4", "D1", "S1", "S2", "S3", "S4", "S5", "S6", "S7", "S8", "S9"]);
        assert!(found.contains(&"config.decorators.interval[\"60\"][0] | C4".to_owned()), "{found:?}");
        assert!(found.contains(&"overrides.platforms.darwin.views.v | S9".to_owned()), "{found:?}");
        let views = views_of(&after);
        assert_eq!(views.iter().map(|views| views["v"].as_str()).collect::<Vec<_>>(), ["S5", "S9"]);
    }
}
