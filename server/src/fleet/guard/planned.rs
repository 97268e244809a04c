//! The SQL of a plan: all that hosts run without being asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use muster_sql::{Guard, SqlKind};
use serde_json::Value;

use super::{GuardedSql, Views};
use crate::fleet::changes::ObjectKind;
use crate::fleet::path;
use crate::fleet::schedule::Plan;
use crate::store::case;
use crate::store::packs::TargetLabels;

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
    runs_for: RunsFor<'a>,
    at: PlannedAt<'a>,
}

/// Of a pack: which, for which hosts, and how often. SQL of one pack is not known in another one.
#[derive(Debug, Clone)]
struct PackScope<'a> {
    id: i64,
    targets: &'a TargetLabels,
    /// 0 for discovery queries.
    interval_secs: i64,
}

impl PackScope<'_> {
    /// Whether the pack runs for no more hosts than before, and no more often.
    fn is_within(&self, before: &Self) -> bool {
        self.id == before.id
            && self.targets.any == before.targets.any
            && self.targets.all == before.targets.all
            && before.targets.excluded.iter().all(|label| self.targets.excluded.contains(label))
            && self.interval_secs >= before.interval_secs
    }
}

/// SQL that is of no pack, and that any host may run.
const FOR_ALL: RunsFor<'static> = RunsFor { labels: None, pack: None };

/// For whom SQL runs: the labels of the guard that its hosts may have, and the pack, if it is of one.
#[derive(Debug, Clone)]
struct RunsFor<'a> {
    labels: Option<BTreeSet<&'a str>>,
    pack: Option<PackScope<'a>>,
}

impl RunsFor<'_> {
    fn is_within(&self, before: &Self) -> bool {
        let labels = match (&before.labels, &self.labels) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(before), Some(labels)) => labels.is_subset(before),
        };
        let pack = match (&before.pack, &self.pack) {
            (None, None) => true,
            (Some(before), Some(pack)) => pack.is_within(before),
            _ => false,
        };
        labels && pack
    }
}

#[derive(Debug)]
enum PlannedAt<'a> {
    Scheduled { pack: &'a str, name: &'a str },
    Discovery { pack: &'a str, position: usize },
    Label(&'a str),
    Options(String),
}

/// What hosts would run by the plan `after` and do not run by the plan `before`: other SQL, for another use, in another pack,
/// for more hosts or more often; and what names a view, if views differ.
pub(super) fn planned_anew(guard: &Guard, before: &Plan, after: &Plan, paths: &DocumentPaths) -> Vec<GuardedSql> {
    let mut known: HashMap<(SqlKind, &str), Vec<RunsFor<'_>>> = HashMap::new();
    for planned in planned(guard, before) {
        known.entry((planned.kind, planned.sql)).or_default().push(planned.runs_for);
    }
    let views = changed_views(before, after);
    let mut anew: Vec<GuardedSql> = Vec::new();
    for planned in planned(guard, after) {
        let before = known.entry((planned.kind, planned.sql)).or_default();
        let is_known = before.iter().any(|before| planned.runs_for.is_within(before));
        if !is_known {
            anew.push(planned.guarded(paths));
            // The same in another place is said once.
            before.push(planned.runs_for);
        } else if names_any(planned.sql, &views) {
            anew.push(planned.guarded(paths));
        }
    }
    anew
}

/// The names of all views, in small letters, if one of them reads something else by now.
fn changed_views(before: &Plan, after: &Plan) -> BTreeSet<String> {
    let after = views_of(after);
    if views_of(before) == after {
        return BTreeSet::new();
    }
    after.into_iter().flatten().map(|(name, _)| name.to_ascii_lowercase()).collect()
}

/// Whether a text may name one of these; it may also only seem so.
fn names_any(sql: &str, names: &BTreeSet<String>) -> bool {
    if names.is_empty() {
        return false;
    }
    let sql = sql.to_ascii_lowercase();
    names.iter().any(|name| sql.contains(name.as_str()))
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
        let labels = self.runs_for.labels.as_ref().map(|labels| labels.iter().map(|&label| label.to_owned()).collect());
        GuardedSql { about, ..GuardedSql::of(self.kind, self.sql.to_owned(), labels, path) }
    }
}

fn planned<'a>(guard: &'a Guard, plan: &'a Plan) -> Vec<PlannedSql<'a>> {
    let mut all = Vec::new();
    let guarded: BTreeMap<&str, Option<i64>> =
        guard.labels().into_iter().map(|label| (label, plan.label_id(label))).collect();
    for pack in plan.packs_of_all().filter(|pack| !pack.is_disabled) {
        // Hosts may have any label beside those that the pack asks for, now or later; only those that it excludes they have not.
        let is_excluded =
            |label: &str| guarded.get(label).copied().flatten().is_some_and(|id| pack.targets.excluded.contains(&id));
        let labels: BTreeSet<&str> = guarded.keys().copied().filter(|label| !is_excluded(label)).collect();
        let of_pack = |kind, sql, interval_secs, at| {
            let scope = PackScope { id: pack.id, targets: &pack.targets, interval_secs };
            PlannedSql { kind, sql, runs_for: RunsFor { labels: Some(labels.clone()), pack: Some(scope) }, at }
        };
        for query in &pack.queries {
            let at = PlannedAt::Scheduled { pack: &pack.name, name: &query.name };
            all.push(of_pack(SqlKind::Scheduled, query.sql.as_str(), query.interval_secs, at));
        }
        for (position, sql) in pack.discovery.iter().enumerate() {
            all.push(of_pack(SqlKind::Discovery, sql, 0, PlannedAt::Discovery { pack: &pack.name, position }));
        }
    }
    for label in plan.dynamic_labels() {
        let name = plan.label_name(label.id).unwrap_or_default();
        all.push(PlannedSql { kind: SqlKind::Label, sql: &label.sql, runs_for: FOR_ALL, at: PlannedAt::Label(name) });
    }
    for (at, document) in plan.options_of_all().flat_map(documents) {
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
    for (_, document) in plan.options_of_all().flat_map(documents) {
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
                self.0.push(PlannedSql { kind, sql, runs_for: FOR_ALL, at: PlannedAt::Options(at.to_owned()) });
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
    fn what_one_pack_runs_is_new_in_another_for_more_hosts_and_more_often() {
        let none = DocumentPaths::default();
        let first = plan(json!({}), vec![pack("p", &["SELECT 1"], &[])]);
        let change = |change: &dyn Fn(&mut PlannedPack)| {
            let mut changed = pack("p", &["SELECT 1"], &[]);
            changed.discovery.clear();
            change(&mut changed);
            said(&first, &plan(json!({}), vec![changed]), &none).len()
        };
        assert_eq!(change(&|_| {}), 0);
        assert_eq!(change(&|pack| pack.name = "renamed".to_owned()), 0);
        assert_eq!(change(&|pack| pack.id = 2), 1);
        assert_eq!(change(&|pack| pack.targets.any = vec![8]), 1);
        assert_eq!(change(&|pack| pack.targets.all = vec![8]), 1);
        assert_eq!(change(&|pack| pack.queries[0].interval_secs = 59), 1);
        assert_eq!(change(&|pack| pack.queries[0].interval_secs = 61), 0);
    }

    #[test]
    fn what_names_a_view_is_new_when_views_change() {
        let with = |sql: &str| json!({ "config": { "views": { "V_c": sql } } });
        let packs = || vec![pack("p", &["SELECT 1", "SELECT 1 FROM v_C"], &[])];
        let (before, after) = (plan(with("SELECT 1"), packs()), plan(with("SELECT * FROM carves"), packs()));
        let found = said(&before, &after, &DocumentPaths::default());
        assert!(found.iter().any(|text| text.contains("SELECT 1 FROM v_C")), "{found:?}");
        assert_eq!(found.len(), 2, "the view itself, and what names it: {found:?}");
        assert_eq!(said(&after, &plan(with("SELECT * FROM carves"), packs()), &DocumentPaths::default()), [""; 0]);
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
