//! Makes documents of what decides at Fleet what hosts run, to be applied like those of operators.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use muster_api::spec::API_VERSION;
use serde_json::{Map, Value, json};

use super::report::LeftReport;
use crate::fleet::hosts::BUILTIN;
use crate::fleet::packs::{GLOBAL, Narrowing};
use crate::store::case;
use crate::store::entity::enroll_secrets::Model as Secret;
use crate::store::import_fleet::{
    FleetConfig, FleetLabel, FleetQuery, FleetSchedule, FleetScheduledQuery, FleetSecret, FleetTeam, TargetWord,
};

/// Names of Fleet's built-in labels that it has changed since.
const FORMER_NAMES: [(&str, &str); 1] = [("Mac OS X", "macOS")];

/// Labels made by Fleet.
const BUILT_IN: i64 = 1;

/// How hosts get into labels.
const MANUAL: i64 = 1;
const BY_VITALS: i64 = 2;

/// What was made of Fleet's rows.
#[derive(Debug, Default)]
pub(super) struct Converted {
    pub documents: Vec<Value>,
    pub left: Vec<LeftReport>,
    pub notes: Vec<String>,
    /// Names of labels whose members come along, by Fleet's ids; and whether they are manual.
    pub labels: HashMap<i64, (String, bool)>,
}

fn document(kind: &str, spec: Value) -> Value {
    json!({ "apiVersion": API_VERSION, "kind": kind, "spec": spec })
}

/// The documents of labels, queries and packs.
pub(super) fn of_schedule(schedule: &FleetSchedule) -> Converted {
    let mut made = Converted::default();
    let names = made.labels(schedule);
    made.queries(&schedule.queries);
    let mut global = made.packs(schedule, &names);
    let by_labels = made.scheduled_queries(schedule, &names, &mut global);
    if !global.is_empty() {
        let queries = made.unique("the global schedule", global);
        made.documents.push(document("global_schedule", json!({ "queries": queries })));
    }
    for (narrowing, queries) in by_labels {
        let name = narrowing.pack_name();
        made.notes.push(format!(
            "queries of the schedule that Fleet narrows to labels are in the pack {name:?}, so results are named after it"
        ));
        made.pack(json!({ "name": name, "targets": narrowing.targets() }), queries);
    }
    made
}

impl Converted {
    /// Adds the documents of labels. Gives the names here of all labels that can be targets.
    fn labels(&mut self, schedule: &FleetSchedule) -> HashMap<i64, String> {
        let of_packs = schedule.targets.iter().filter(|target| target.word() == Some(TargetWord::Label));
        let targets: HashSet<i64> = of_packs
            .map(|target| target.target_id)
            .chain(schedule.query_labels.iter().filter_map(|label| label.label_id))
            .collect();
        let mut names = HashMap::new();
        for label in &schedule.labels {
            if label.label_type == BUILT_IN {
                if let Some(name) = builtin_name(&label.name) {
                    names.insert(label.id, name.to_owned());
                    continue;
                }
                // One that only Fleet makes is needed where it is a target.
                if !targets.contains(&label.id) {
                    continue;
                }
            }
            if label.membership_type == BY_VITALS || label.query.is_empty() && label.membership_type != MANUAL {
                let why = "labels find their hosts by SQL or by a list here";
                self.left.push(LeftReport::one(format!("label {:?}", label.name), why));
                continue;
            }
            names.insert(label.id, label.name.clone());
            let is_manual = label.membership_type == MANUAL;
            self.labels.insert(label.id, (label.name.clone(), is_manual));
            self.documents.push(document("label", label_spec(label, is_manual)));
        }
        names
    }

    fn queries(&mut self, queries: &[FleetQuery]) {
        let mut of_teams = 0;
        for query in queries {
            if query.team_id.is_some() {
                of_teams += 1;
                continue;
            }
            let spec = json!({
                "name": query.name, "description": query.description, "query": query.query,
                "observer_can_run": query.observer_can_run,
            });
            self.documents.push(document("query", spec));
        }
        if of_teams > 0 {
            let why = "there are no teams here; save those that are needed for all hosts, or for a label";
            self.left.push(LeftReport {
                what: "queries of teams".to_owned(),
                number: Some(of_teams),
                why: why.to_owned(),
            });
        }
    }

    /// Adds the documents of packs. Gives what the global schedule of before 4.35 has.
    fn packs(&mut self, schedule: &FleetSchedule, labels: &HashMap<i64, String>) -> Vec<Value> {
        let mut global = Vec::new();
        let mut scheduled: HashMap<i64, Vec<Value>> = HashMap::new();
        for row in &schedule.scheduled {
            scheduled.entry(row.pack_id).or_default().push(scheduled_spec(row));
        }
        for pack in &schedule.packs {
            let queries = scheduled.remove(&pack.id).unwrap_or_default();
            if pack.pack_type == "global" || case::is_same(&pack.name, GLOBAL) {
                global = queries;
                continue;
            }
            if pack.pack_type.starts_with("team-") {
                let why = "there are no teams here; apply it as a pack for a label";
                self.left.push(LeftReport::one(format!("schedule {:?} of a team", pack.name), why));
                continue;
            }
            let targets = schedule.targets.iter().filter(|target| target.pack_id == pack.id);
            let (mut of_labels, mut others): (BTreeSet<&str>, BTreeMap<&str, i64>) = Default::default();
            for target in targets {
                match (target.word(), labels.get(&target.target_id)) {
                    (Some(TargetWord::Label), Some(name)) => drop(of_labels.insert(name)),
                    (Some(TargetWord::Label), None) => *others.entry("labels that do not come").or_default() += 1,
                    (Some(TargetWord::Host), _) => *others.entry("hosts").or_default() += 1,
                    (Some(TargetWord::Team) | None, _) => *others.entry("teams").or_default() += 1,
                }
            }
            for (what, number) in others {
                let what = format!("targets of pack {:?} that are {what}", pack.name);
                let why = "packs are targeted at labels here; put the hosts into a manual label".to_owned();
                self.left.push(LeftReport { what, number: Some(number), why });
            }
            let spec = json!({
                "name": pack.name, "description": pack.description, "platform": pack.platform, "disabled": pack.disabled,
                "targets": { "labels": of_labels },
            });
            self.pack(spec, queries);
        }
        global
    }

    /// Adds to the global schedule the queries that have one of their own, from 4.35 on; gives those of labels by these.
    fn scheduled_queries(
        &mut self,
        schedule: &FleetSchedule,
        labels: &HashMap<i64, String>,
        global: &mut Vec<Value>,
    ) -> BTreeMap<Narrowing, Vec<Value>> {
        let mut by_labels: BTreeMap<Narrowing, Vec<Value>> = BTreeMap::new();
        let mut reported = 0;
        for query in schedule.queries.iter().filter(|query| query.team_id.is_none() && query.interval > 0) {
            if query.is_logged == Some(false) {
                // Fleet does not send it to hosts: nobody would keep its results.
                if query.is_discarded {
                    continue;
                }
                reported += 1;
            }
            let of_query: Vec<_> = schedule.query_labels.iter().filter(|label| label.query_id == query.id).collect();
            let mut narrowing = Narrowing::default();
            let mut left_hosts = None;
            for label in &of_query {
                let name = label.label_id.and_then(|id| labels.get(&id));
                match (name, label.is_excluded, label.is_required) {
                    (Some(name), true, _) => drop(narrowing.excluded.insert(name.clone())),
                    (Some(name), false, true) => drop(narrowing.all.insert(name.clone())),
                    (Some(name), false, false) => drop(narrowing.any.insert(name.clone())),
                    (None, false, false) => {}
                    // Without it other hosts would run the query.
                    (None, true, _) => left_hosts = Some("a label whose hosts it leaves out does not come along"),
                    (None, false, true) => left_hosts = Some("a label that its hosts must be in does not come along"),
                }
            }
            if let Some(why) = left_hosts {
                self.left.push(LeftReport::one(format!("schedule of query {:?}", query.name), why));
            } else if narrowing.is_none() && !of_query.is_empty() {
                let why = "none of its labels comes along";
                self.left.push(LeftReport::one(format!("schedule of query {:?}", query.name), why));
            } else if narrowing.is_none() {
                global.push(own_schedule(query));
            } else {
                by_labels.entry(narrowing).or_default().push(own_schedule(query));
            }
        }
        if reported > 0 {
            self.notes.push(format!(
                "results of {reported} scheduled queries, which Fleet kept in reports and did not log, go to the log here"
            ));
        }
        by_labels
    }

    /// Adds a pack.
    fn pack(&mut self, mut spec: Value, queries: Vec<Value>) {
        let of = format!("pack {}", spec["name"]);
        spec["queries"] = Value::Array(self.unique(&of, queries));
        self.documents.push(document("pack", spec));
    }

    /// Of several entries with one name the first.
    fn unique(&mut self, of: &str, mut queries: Vec<Value>) -> Vec<Value> {
        let mut taken = HashSet::new();
        queries.retain(|query| {
            let name = query.get("name").unwrap_or(&query["query"]).as_str().unwrap_or_default().to_owned();
            let is_first = taken.insert(name.clone());
            if !is_first {
                let what = format!("{of}: another query under the name {name:?}");
                self.left.push(LeftReport::one(what, "names are unique within a pack"));
            }
            is_first
        });
        queries
    }
}

/// The name here of a label that Fleet makes.
fn builtin_name(name: &str) -> Option<&'static str> {
    let name = FORMER_NAMES.iter().find(|(former, _)| *former == name).map_or(name, |(_, now)| now);
    BUILTIN.iter().find(|label| case::is_same(label.name, name)).map(|label| label.name)
}

fn label_spec(label: &FleetLabel, is_manual: bool) -> Value {
    if is_manual {
        return json!({ "name": label.name, "description": label.description, "label_membership_type": "manual" });
    }
    json!({
        "name": label.name, "description": label.description, "query": label.query, "platform": label.platform,
        "label_membership_type": "dynamic",
    })
}

fn scheduled_spec(row: &FleetScheduledQuery) -> Value {
    let mut spec = json!({
        "query": row.query_name, "interval": row.interval, "description": row.description, "platform": row.platform,
        "version": row.version,
    });
    let name = Some(row.name.as_str()).filter(|name| !name.is_empty() && *name != row.query_name);
    // Agents of Fleet take 0 for no shard.
    let shard = row.shard.filter(|shard| *shard != 0);
    put(&mut spec, "name", name);
    put(&mut spec, "shard", shard);
    put(&mut spec, "snapshot", row.snapshot);
    put(&mut spec, "removed", row.removed);
    put(&mut spec, "denylist", row.denylist);
    spec
}

fn own_schedule(query: &FleetQuery) -> Value {
    let mut spec = json!({
        "query": query.name, "interval": query.interval, "platform": query.platform, "version": query.version,
    });
    match query.logging.as_str() {
        "differential" => {}
        "differential_ignore_removals" => put(&mut spec, "removed", Some(false)),
        _ => put(&mut spec, "snapshot", Some(true)),
    }
    spec
}

fn put(spec: &mut Value, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        spec[key] = value.into();
    }
}

impl Converted {
    /// Adds the agent options, and what of the configuration is not set here; `shown` is the configuration as it is.
    pub fn config(&mut self, fleet: &FleetConfig, shown: &Value) {
        if let Some(options) = &fleet.agent_options {
            self.documents.push(document("options", options.clone()));
        }
        let mut spec = Map::new();
        for (part, key, text) in [
            ("org_info", "org_name", &fleet.org_name),
            ("org_info", "org_logo_url", &fleet.org_logo_url),
            ("server_settings", "server_url", &fleet.server_url),
        ] {
            let here = shown[part][key].as_str().unwrap_or_default();
            if text.is_empty() || text == here {
                continue;
            }
            if here.is_empty() {
                spec.entry(part).or_insert_with(|| json!({}))[key] = Value::from(text.as_str());
            } else {
                self.notes.push(format!("{part}.{key} is {here:?} here and {text:?} at Fleet; left as it is"));
            }
        }
        if !spec.is_empty() {
            self.documents.push(document("config", Value::Object(spec)));
        }
    }

    /// Adds the secrets to those that are there. Secrets of teams become secrets like others.
    pub fn secrets(&mut self, fleet: &[FleetSecret], teams: &[FleetTeam], here: &[Secret]) {
        let mut names: BTreeSet<String> = here.iter().map(|secret| secret.name.clone()).collect();
        let mut list: Vec<Value> = here
            .iter()
            .map(|secret| match secret.name.as_str() {
                "" => json!({ "secret": secret.secret }),
                name => json!({ "secret": secret.secret, "name": name }),
            })
            .collect();
        let (before, mut of_teams) = (list.len(), 0);
        for secret in fleet {
            if secret.active == Some(false) {
                let why = "it is not active, so no host may enroll with it";
                self.left.push(LeftReport::one(format!("enroll secret {:?}", secret.name), why));
                continue;
            }
            if here.iter().any(|known| known.secret == secret.secret) {
                continue;
            }
            of_teams += usize::from(secret.team_id.is_some());
            let team = teams.iter().find(|team| Some(team.id) == secret.team_id);
            let wanted = team.map_or_else(|| secret.name.clone(), |team| format!("Team {}", team.name));
            let mut name = wanted.clone();
            let mut number = 1;
            while !name.is_empty() && !names.insert(name.clone()) {
                number += 1;
                name = format!("{wanted} {number}");
            }
            list.push(match name.as_str() {
                "" => json!({ "secret": secret.secret }),
                name => json!({ "secret": secret.secret, "name": name }),
            });
        }
        if of_teams > 0 {
            self.notes.push(format!("{of_teams} enroll secrets of teams are secrets like all others here"));
        }
        if list.len() > before {
            self.documents.push(document("enroll_secret", json!({ "secrets": list })));
        }
    }
}

#[cfg(test)]
mod tests;
