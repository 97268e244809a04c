//! Queries that are written out in the agent options.

use muster_api::osquery::config::full_name;
use muster_api::rest::ExplainedQuery;
use serde_json::{Map, Value};

use super::facts::{HostFacts, Limits};
use super::{Assignment, Plan, ScheduleVerdict};

/// The default of the flag, in seconds.
const DEFAULT_INTERVAL: u32 = 3600;

/// A pack written out in the agent options.
struct InlinePack<'a> {
    name: &'a str,
    members: Option<&'a Map<String, Value>>,
    queries: Option<&'a Map<String, Value>>,
}

/// Explains the options' `schedule` and `packs`.
pub(super) fn explain(
    plan: &Plan,
    assignment: &Assignment,
    config: &Value,
    delimiter: &str,
    facts: &HostFacts<'_>,
) -> Vec<ExplainedQuery> {
    let document = plan.options_for(assignment);
    let is_replaced = plan.packs_for(assignment).next().is_some();
    let interval = config.get("options").and_then(|options| seconds(options.get("schedule_default_interval")?));
    let mut explained = Vec::new();
    for pack in packs(&document) {
        for (name, query) in pack.queries.into_iter().flatten() {
            let Some(query) = query.as_object() else { continue };
            let verdict = if is_replaced && pack.members.is_some() {
                ScheduleVerdict::not(
                    "packs in the agent options are served only to hosts that are targets of no other pack",
                )
            } else {
                verdict(facts, &pack, query)
            };
            let is_in_pack = pack.members.is_some();
            explained.push(ExplainedQuery {
                pack: if is_in_pack { pack.name.to_owned() } else { String::new() },
                name: name.clone(),
                full_name: full_name(pack.name, name, delimiter),
                query: text(query, "query").to_owned(),
                interval: query.get("interval").and_then(seconds).or(interval).unwrap_or(DEFAULT_INTERVAL),
                runs: verdict.runs,
                reason: verdict.reason,
            });
        }
    }
    explained
}

/// Whether the options of any host schedule a query of this name; `pack` is empty for the top-level schedule.
pub(super) fn schedules(plan: &Plan, pack: &str, name: &str) -> bool {
    let options = &plan.agent_options;
    let overrides = options.pointer("/overrides/platforms").and_then(Value::as_object);
    let mut documents = options.get("config").into_iter().chain(overrides.into_iter().flat_map(Map::values));
    let is_scheduled = |inline: &InlinePack<'_>| {
        let inline_name = if inline.members.is_some() { inline.name } else { "" };
        inline_name == pack && inline.queries.is_some_and(|queries| queries.contains_key(name))
    };
    documents.any(|document| document.as_object().is_some_and(|document| packs(document).iter().any(is_scheduled)))
}

/// The schedule, which agents take for a pack called `main`, and all packs, those under `*` included.
fn packs(document: &Map<String, Value>) -> Vec<InlinePack<'_>> {
    let mut packs =
        vec![InlinePack { name: "main", members: None, queries: document.get("schedule").and_then(Value::as_object) }];
    for (name, pack) in document.get("packs").and_then(Value::as_object).into_iter().flatten() {
        let Some(members) = pack.as_object() else { continue };
        if name == "*" {
            packs.extend(members.iter().filter_map(|(name, pack)| inline_pack(name, pack.as_object()?)));
        } else {
            packs.extend(inline_pack(name, members));
        }
    }
    packs
}

fn inline_pack<'a>(name: &'a str, members: &'a Map<String, Value>) -> Option<InlinePack<'a>> {
    let queries = members.get("queries")?.as_object()?;
    Some(InlinePack { name, members: Some(members), queries: Some(queries) })
}

fn verdict(facts: &HostFacts<'_>, pack: &InlinePack<'_>, query: &Map<String, Value>) -> ScheduleVerdict {
    let discovery = pack.members.and_then(|members| members.get("discovery")?.as_array());
    pack.members
        .and_then(|members| facts.excluded("pack", &limits(members)))
        .or_else(|| facts.excluded("query", &limits(query)))
        .map_or_else(
            || ScheduleVerdict::runs(discovery.is_some_and(|queries| !queries.is_empty())),
            ScheduleVerdict::not,
        )
}

fn limits(members: &Map<String, Value>) -> Limits<'_> {
    Limits {
        platform: text(members, "platform"),
        version: text(members, "version"),
        shard: members.get("shard").and_then(whole).unwrap_or(0),
    }
}

fn text<'a>(members: &'a Map<String, Value>, key: &str) -> &'a str {
    members.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn seconds(value: &Value) -> Option<u32> {
    whole(value)?.try_into().ok()
}

/// A number, which may be written as text.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}
