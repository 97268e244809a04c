//! Which scheduled queries hosts run otherwise by another plan, and how many hosts do.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::rollout::Cohorts;
use super::{Plan, PlannedPack};
use crate::fleet::hosts::{AlikeHosts, Assignment, means_platform};

/// Seconds between runs of a query of the agent options that says no interval: the default of the flag.
const DEFAULT_INTERVAL: u64 = 3600;

/// A query of a schedule, whoever runs it. Its pack is empty for the top-level schedule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct QuerySql {
    pub pack: String,
    pub name: String,
    pub sql: String,
}

/// How hosts run a scheduled query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledRuns {
    pub sql: String,
    pub interval_secs: u64,
    pub is_snapshot: bool,
    /// Discovery queries or a version decide which of these hosts run it.
    pub is_at_most: bool,
    /// Hosts by platform; of those with a shard its part.
    pub hosts: BTreeMap<String, u64>,
}

/// A scheduled query that hosts run otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedQuery {
    pub pack: String,
    pub name: String,
    /// `None` if no host has run it.
    pub before: Option<ScheduledRuns>,
    /// `None` if no host will run it.
    pub after: Option<ScheduledRuns>,
}

impl ScheduledRuns {
    pub fn host_count(&self) -> u64 {
        self.hosts.values().sum()
    }

    fn is_run_as(&self, other: &Self) -> bool {
        (&self.sql, self.interval_secs, self.is_snapshot, self.is_at_most)
            == (&other.sql, other.interval_secs, other.is_snapshot, other.is_at_most)
    }
}

impl Plan {
    /// What it schedules, in packs and in the agent options, for some hosts or none.
    pub fn scheduled_sql(&self) -> Vec<QuerySql> {
        let mut all = BTreeSet::new();
        for pack in self.packs_of_all() {
            let sql = |query: &super::ScheduledQuery| QuerySql {
                pack: pack.name.clone(),
                name: query.name.clone(),
                sql: query.sql.clone(),
            };
            all.extend(pack.queries.iter().map(sql));
        }
        for platform in self.platforms().into_iter().chain([""]) {
            for cohorts in self.possible_cohorts() {
                let document =
                    self.options_for(&Assignment { platform: platform.into(), cohorts, ..Assignment::default() });
                let entries = queries_of(&document).into_iter();
                all.extend(entries.map(|entry| QuerySql { pack: entry.pack, name: entry.name, sql: entry.sql }));
            }
        }
        all.into_iter().collect()
    }
}

/// What hosts run otherwise by `after` than by `before`. Takes time with the number of packs and of hosts that differ.
pub fn changed_queries(before: &Plan, after: &Plan, hosts: &[AlikeHosts]) -> Vec<ChangedQuery> {
    let mut old = runs(before, hosts.iter().map(|alike| (&alike.before, alike.count)));
    let mut new = runs(after, hosts.iter().map(|alike| (&alike.after, alike.count)));
    let names: BTreeSet<(String, String)> = old.keys().chain(new.keys()).cloned().collect();
    let mut changed = Vec::new();
    for (pack, name) in names {
        let key = (pack, name);
        let (mut before, mut after) = (old.remove(&key).unwrap_or_default(), new.remove(&key).unwrap_or_default());
        before.retain(|runs| match after.iter().position(|other| other == runs) {
            Some(position) => {
                after.remove(position);
                false
            }
            None => true,
        });
        let (pack, name) = key;
        let query = |before, after| ChangedQuery { pack: pack.clone(), name: name.clone(), before, after };
        if let ([before], [after]) = (&before[..], &after[..]) {
            changed.push(query(Some(before.clone()), Some(after.clone())));
        } else {
            // The options of platforms may schedule several queries under one name.
            changed.extend(before.into_iter().map(|runs| query(Some(runs), None)));
            changed.extend(after.into_iter().map(|runs| query(None, Some(runs))));
        }
    }
    changed
}

/// How queries are run, by the names of pack and query.
type AllRuns = BTreeMap<(String, String), Vec<ScheduledRuns>>;

/// What these hosts run by a plan.
fn runs<'a>(plan: &Plan, hosts: impl Iterator<Item = (&'a Assignment, u64)>) -> AllRuns {
    let mut of_packs: Vec<BTreeMap<&str, u64>> = vec![BTreeMap::new(); plan.packs_of_all().count()];
    let mut platforms: BTreeMap<(&str, Cohorts), u64> = BTreeMap::new();
    for (assignment, count) in hosts {
        *platforms.entry((&assignment.platform, assignment.cohorts)).or_default() += count;
        for position in plan.chosen(assignment) {
            let is_run = |pack: &PlannedPack| is_for_platform(&pack.platform, &assignment.platform);
            if let Some(hosts) = of_packs.get_mut(position).filter(|_| plan.pack(position).is_some_and(is_run)) {
                *hosts.entry(&assignment.platform).or_default() += count;
            }
        }
    }
    let mut all = AllRuns::new();
    for (pack, hosts) in plan.packs_of_all().zip(&of_packs) {
        add_pack(&mut all, pack, hosts);
    }
    for ((platform, cohorts), count) in platforms {
        let document = plan.options_for(&Assignment { platform: platform.into(), cohorts, ..Assignment::default() });
        for entry in queries_of(&document) {
            if is_for_platform(&entry.pack_platform, platform) && is_for_platform(&entry.platform, platform) {
                let hosts = [(platform.to_owned(), part(part(count, entry.pack_shard), entry.shard))].into();
                let (sql, interval_secs, is_snapshot, is_at_most) =
                    (entry.sql, entry.interval_secs, entry.is_snapshot, entry.is_at_most);
                let runs = ScheduledRuns { sql, interval_secs, is_snapshot, is_at_most, hosts };
                add(&mut all, (entry.pack, entry.name), runs);
            }
        }
    }
    all
}

fn add_pack(all: &mut AllRuns, pack: &PlannedPack, hosts: &BTreeMap<&str, u64>) {
    // Shard 0 means nobody.
    for query in pack.queries.iter().filter(|query| query.shard != Some(0)) {
        let is_run = |platform: &str| is_for_platform(&query.platform, platform);
        let hosts = hosts.iter().filter(|(platform, _)| is_run(platform));
        let runs = ScheduledRuns {
            sql: query.sql.clone(),
            interval_secs: u64::try_from(query.interval_secs).unwrap_or(0).max(1),
            is_snapshot: query.snapshot == Some(true),
            is_at_most: !pack.discovery.is_empty() || !pack.version.is_empty() || !query.version.is_empty(),
            hosts: hosts
                .map(|(platform, count)| ((*platform).to_owned(), part(part(*count, pack.shard), query.shard)))
                .collect(),
        };
        add(all, (pack.name.clone(), query.name.clone()), runs);
    }
}

fn add(all: &mut AllRuns, name: (String, String), runs: ScheduledRuns) {
    if runs.host_count() == 0 {
        return;
    }
    let known = all.entry(name).or_default();
    match known.iter_mut().find(|known| known.is_run_as(&runs)) {
        Some(known) => {
            for (platform, count) in runs.hosts {
                *known.hosts.entry(platform).or_default() += count;
            }
        }
        None => known.push(runs),
    }
}

/// So many percent, and all of them without a number.
fn part(hosts: u64, shard: Option<i64>) -> u64 {
    let percent = shard.map_or(100, |shard| u64::try_from(shard).unwrap_or(0).min(100));
    (hosts * percent).div_ceil(100)
}

fn is_for_platform(wanted: &str, platform: &str) -> bool {
    wanted.is_empty() || wanted.split(',').any(|word| means_platform(word.trim(), platform))
}

/// A scheduled query of the agent options.
#[derive(Debug, Default)]
struct OptionsQuery {
    pack: String,
    name: String,
    sql: String,
    interval_secs: u64,
    is_snapshot: bool,
    is_at_most: bool,
    platform: String,
    pack_platform: String,
    shard: Option<i64>,
    pack_shard: Option<i64>,
}

/// The scheduled queries of an options document, in its top-level schedule and in its own packs.
fn queries_of(document: &Map<String, Value>) -> Vec<OptionsQuery> {
    let interval = document.get("options").and_then(|options| whole(options.get("schedule_default_interval")?));
    let interval = interval.unwrap_or(DEFAULT_INTERVAL);
    let mut all = Vec::new();
    let mut add = |pack: &str, scheduled: Option<&Value>, of_pack: Option<&Value>| {
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let shard = |value: &Value| whole(value.get("shard")?).and_then(|shard| i64::try_from(shard).ok());
        for (name, query) in scheduled.and_then(Value::as_object).into_iter().flatten() {
            let Some(sql) = query.get("query").and_then(Value::as_str) else { continue };
            let decides = |value: &Value| value.get("version").is_some() || value.get("discovery").is_some();
            all.push(OptionsQuery {
                pack: pack.to_owned(),
                name: name.clone(),
                sql: sql.to_owned(),
                interval_secs: query.get("interval").and_then(whole).unwrap_or(interval).max(1),
                is_snapshot: query.get("snapshot").is_some_and(|snapshot| *snapshot == true),
                is_at_most: decides(query) || of_pack.is_some_and(decides),
                platform: text(query, "platform"),
                pack_platform: of_pack.map(|pack| text(pack, "platform")).unwrap_or_default(),
                shard: shard(query),
                pack_shard: of_pack.and_then(shard),
            });
        }
    };
    add("", document.get("schedule"), None);
    for (name, pack) in document.get("packs").and_then(Value::as_object).into_iter().flatten() {
        match pack.as_object() {
            // Several packs under one key.
            Some(packs) if name == "*" => {
                packs.iter().for_each(|(name, pack)| add(name, pack.get("queries"), Some(pack)));
            }
            _ => add(name, pack.get("queries"), Some(pack)),
        }
    }
    all
}

/// A number, which may be written as text.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Edition, Retired, ScheduledQuery};
    use super::*;
    use crate::store::packs::TargetLabels;

    fn pack(sql: &str, change: impl FnOnce(&mut PlannedPack)) -> PlannedPack {
        let query = ScheduledQuery {
            name: "q".to_owned(),
            sql: sql.to_owned(),
            interval_secs: 60,
            snapshot: None,
            removed: None,
            denylist: None,
            shard: None,
            platform: String::new(),
            version: String::new(),
        };
        let mut pack = PlannedPack {
            id: 1,
            name: "p".to_owned(),
            platform: String::new(),
            version: String::new(),
            shard: None,
            discovery: Vec::new(),
            is_disabled: false,
            targets: TargetLabels::any(vec![1]),
            queries: vec![query],
        };
        change(&mut pack);
        pack
    }

    fn plan(options: Value, packs: Vec<PlannedPack>) -> Plan {
        Plan::of(Edition::default(), options, Retired::default(), packs)
    }

    fn alike(platform: &str, before: &[i64], after: &[i64], count: u64) -> AlikeHosts {
        let of = |labels: &[i64]| Assignment {
            platform: platform.into(),
            label_ids: labels.into(),
            ..Assignment::default()
        };
        AlikeHosts { before: of(before), after: of(after), count }
    }

    /// Name, and hosts and interval before and after.
    fn changed(before: &Plan, after: &Plan, hosts: &[AlikeHosts]) -> Vec<String> {
        let runs = |runs: Option<ScheduledRuns>| {
            runs.map_or_else(
                || "-".to_owned(),
                |runs| {
                    let hosts: Vec<_> =
                        runs.hosts.iter().map(|(platform, count)| format!("{count} {platform}")).collect();
                    let most = if runs.is_at_most { "<=" } else { "" };
                    format!("{most}{}/{}", hosts.join("+"), runs.interval_secs)
                },
            )
        };
        let show = |query: ChangedQuery| {
            format!("{}/{}: {} to {}", query.pack, query.name, runs(query.before), runs(query.after))
        };
        changed_queries(before, after, hosts).into_iter().map(show).collect()
    }

    #[test]
    fn hosts_are_counted_as_agents_choose_what_they_run() {
        let none = plan(json!({}), vec![]);
        let hosts = [alike("ubuntu", &[1], &[1], 150), alike("darwin", &[1], &[1], 30), alike("windows", &[], &[], 7)];
        let as_new =
            |change: fn(&mut PlannedPack)| changed(&none, &plan(json!({}), vec![pack("x", change)]), &hosts).join("; ");
        assert_eq!(as_new(|_| {}), "p/q: - to 30 darwin+150 ubuntu/60");
        assert_eq!(as_new(|pack| pack.platform = "linux".to_owned()), "p/q: - to 150 ubuntu/60");
        assert_eq!(as_new(|pack| pack.queries[0].platform = "windows,darwin".to_owned()), "p/q: - to 30 darwin/60");
        assert_eq!(as_new(|pack| pack.shard = Some(10)), "p/q: - to 3 darwin+15 ubuntu/60");
        assert_eq!(as_new(|pack| pack.queries[0].shard = Some(1)), "p/q: - to 1 darwin+2 ubuntu/60");
        assert_eq!(as_new(|pack| pack.discovery.push("SELECT 1".to_owned())), "p/q: - to <=30 darwin+150 ubuntu/60");
        for nobody in [
            |pack: &mut PlannedPack| pack.is_disabled = true,
            |pack: &mut PlannedPack| pack.queries[0].shard = Some(0),
            |pack: &mut PlannedPack| pack.platform = "windows".to_owned(),
        ] {
            assert_eq!(as_new(nobody), "");
        }
    }

    #[test]
    fn only_what_differs_is_told() {
        let before = plan(json!({}), vec![pack("x", |_| {})]);
        let hosts = [alike("ubuntu", &[1], &[1], 5), alike("ubuntu", &[], &[1], 2)];
        let of = |change: fn(&mut PlannedPack)| plan(json!({}), vec![pack("x", change)]);
        let stay = &hosts[..1];
        assert_eq!(changed(&before, &of(|_| {}), stay), [""; 0]);
        assert_eq!(changed(&before, &of(|_| {}), &hosts), ["p/q: 5 ubuntu/60 to 7 ubuntu/60"], "hosts join the label");
        assert_eq!(
            changed(&before, &of(|pack| pack.queries[0].interval_secs = 5), stay),
            ["p/q: 5 ubuntu/60 to 5 ubuntu/5"]
        );
        assert_eq!(changed(&before, &of(|pack| pack.queries.clear()), stay), ["p/q: 5 ubuntu/60 to -"]);
        assert_eq!(changed(&before, &of(|pack| pack.targets.any = vec![9]), stay), ["p/q: 5 ubuntu/60 to -"]);
    }

    #[test]
    fn agent_options_schedule_queries_too() {
        let options = |sql: &str| {
            json!({
                "config": {
                    "options": { "schedule_default_interval": "90" },
                    "schedule": { "top": { "query": sql, "platform": "linux" } },
                    "packs": {
                        "own": { "shard": "50", "version": "5.0.0", "queries": { "q": { "query": sql, "interval": "30" } } },
                        "*": { "wild": { "queries": { "w": { "query": sql, "snapshot": true } } } },
                        "of a file": "/etc/pack.conf",
                    },
                },
                "overrides": { "platforms": { "darwin": { "schedule": { "top": { "query": sql, "interval": 7 } } } } },
            })
        };
        let hosts = [alike("ubuntu", &[], &[], 4), alike("darwin", &[], &[], 3)];
        let (before, after) = (plan(options("a"), vec![]), plan(options("b"), vec![]));
        assert_eq!(
            changed(&before, &after, &hosts),
            [
                "/top: 3 darwin/7 to -",
                "/top: 4 ubuntu/90 to -",
                "/top: - to 3 darwin/7",
                "/top: - to 4 ubuntu/90",
                "own/q: <=2 ubuntu/30 to <=2 ubuntu/30",
                "wild/w: 4 ubuntu/90 to 4 ubuntu/90"
            ]
        );
        assert_eq!(changed(&before, &before, &hosts), [""; 0]);
        let sql: Vec<String> =
            before.scheduled_sql().iter().map(|query| format!("{}/{} {}", query.pack, query.name, query.sql)).collect();
        assert_eq!(sql, ["/top a", "own/q a", "wild/w a"]);
    }
}
