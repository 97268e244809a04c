//! What hosts are served is always what would be made anew for them.

use std::time::Duration;

use muster_api::osquery::config::{MAX_CONFIG_DEPTH, depth};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::clock::Moment;
use crate::config;
use crate::fleet::hosts::Assignment;
use crate::store::StoreCounters;
use crate::store::packs::TargetLabels;

const PLATFORMS: [&str; 3] = ["ubuntu", "darwin", ""];

/// Room for one big config or many small ones.
const CACHE_BYTES: usize = 700_000;

/// Half of what fits a config, so that two packs together can be too much.
const LONG_SQL_BYTES: usize = 600_000;

/// One change of what hosts run, or of the hosts.
#[derive(Debug, Clone)]
enum ScheduleEdit {
    Packs(Vec<PlannedPack>),
    Options(Value),
    Labels { host: usize, label_ids: Vec<i64> },
    Platform { host: usize, platform: &'static str },
    Days(u32),
}

fn shard() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![4 => Just(None), 1 => Just(Some(0)), 1 => Just(Some(30))]
}

fn query() -> impl Strategy<Value = ScheduledQuery> {
    let sql =
        prop_oneof![9 => Just("select 1".to_owned()), 1 => Just(format!("select '{}'", "x".repeat(LONG_SQL_BYTES)))];
    let flags = (any::<Option<bool>>(), any::<Option<bool>>(), any::<Option<bool>>());
    ("[a-c]", sql, 1..604_800_i64, flags, shard()).prop_map(|(name, sql, interval_secs, flags, shard)| ScheduledQuery {
        name,
        sql,
        interval_secs,
        snapshot: flags.0,
        removed: flags.1,
        denylist: flags.2,
        shard,
        platform: "linux".to_owned(),
        version: String::new(),
    })
}

fn labels() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::btree_set(1..5_i64, 0..4).prop_map(|ids| ids.into_iter().collect())
}

fn packs() -> impl Strategy<Value = Vec<PlannedPack>> {
    let queries = prop::collection::vec(query(), 0..3);
    let pack = (labels(), any::<bool>(), shard(), queries);
    prop::collection::vec(pack, 0..5).prop_map(|packs| {
        packs
            .into_iter()
            .zip(1..)
            .map(|((label_ids, is_disabled, shard, queries), id)| PlannedPack {
                id,
                name: format!("pack {id}"),
                platform: String::new(),
                version: "5.0.0".to_owned(),
                shard,
                discovery: vec!["select 1".to_owned()],
                is_disabled,
                targets: TargetLabels::any(label_ids),
                queries,
            })
            .collect()
    })
}

fn document() -> impl Strategy<Value = Value> {
    let options = prop::collection::btree_map(
        prop::sample::select(&["verbose", "events_optimize", "disable_audit"][..]),
        any::<bool>(),
        0..3,
    );
    (options, prop::option::of(Just(json!({"v": "select 1"}))), 1..34_usize).prop_map(|(options, views, levels)| {
        let mut document = Map::new();
        document.insert("options".to_owned(), json!(options));
        document.extend(views.map(|views| ("views".to_owned(), views)));
        document.insert("logger".to_owned(), (1..levels).fold(json!({}), |inner, _| json!({ "x": inner })));
        document.into()
    })
}

fn edit() -> impl Strategy<Value = ScheduleEdit> {
    let overrides = prop::collection::btree_map(prop::sample::select(&PLATFORMS[..2]), document(), 0..3);
    prop_oneof![
        2 => packs().prop_map(ScheduleEdit::Packs),
        3 => (document(), overrides).prop_map(|(config, platforms)| ScheduleEdit::Options(
            json!({"config": config, "overrides": {"platforms": platforms}})
        )),
        2 => (0..4_usize, labels()).prop_map(|(host, label_ids)| ScheduleEdit::Labels { host, label_ids }),
        1 => (0..4_usize, prop::sample::select(&PLATFORMS[..]))
            .prop_map(|(host, platform)| ScheduleEdit::Platform { host, platform }),
        1 => (1..40_u32).prop_map(ScheduleEdit::Days),
    ]
}

/// A schedule under edits, as applying documents and refreshing hosts make them.
struct EditedSchedule {
    schedule: Schedule,
    now: Moment,
    agent_options: Value,
    retired: retired::Retired,
    packs: Vec<PlannedPack>,
    generation: i64,
    hosts: Vec<Host>,
}

impl EditedSchedule {
    fn new(store: Store) -> Self {
        let hosts = (0..4).zip(PLATFORMS.into_iter().cycle()).map(|(id, platform)| Host::unasked(id, platform));
        let schedule = Schedule {
            store,
            clock: Clock::default(),
            built_in: BuiltInOptions::new(""),
            plan: ArcSwap::default(),
            configs: ConfigCache::new(CACHE_BYTES),
            metrics: Arc::new(Metrics::new().unwrap()),
        };
        let (retired, packs) = (retired::Retired::default(), Vec::new());
        Self {
            schedule,
            now: Moment(0),
            agent_options: json!({}),
            retired,
            packs,
            generation: 0,
            hosts: hosts.collect(),
        }
    }

    fn make(&mut self, edit: ScheduleEdit) {
        match edit {
            ScheduleEdit::Packs(packs) => self.packs = packs,
            ScheduleEdit::Options(options) => {
                let (mut problems, mut warnings) = (Vec::new(), Vec::new());
                check_agent_options("o", &options, &mut problems, &mut warnings);
                if !problems.is_empty() {
                    return;
                }
                self.retired = self.retired.clone().at(self.now).0.after(&self.agent_options, &options, self.now).0;
                self.agent_options = options;
            }
            ScheduleEdit::Labels { host, label_ids } => {
                self.assign(host, |assignment| assignment.label_ids = label_ids.into())
            }
            ScheduleEdit::Platform { host, platform } => {
                self.assign(host, |assignment| assignment.platform = platform.into())
            }
            ScheduleEdit::Days(days) => {
                self.now = self.now.plus(Duration::from_secs(24 * 3600) * days);
                // Nothing has changed: a plan that is not outdated goes on.
                if self.now < self.schedule.plan().edition().outdated_at {
                    return;
                }
                self.load();
                return;
            }
        }
        self.generation += 1;
        self.load();
    }

    fn load(&self) {
        let (retired, outdated_at) = self.retired.clone().at(self.now);
        let edition = Edition { generation: self.generation, outdated_at };
        let plan = Plan::of(edition, self.agent_options.clone(), retired, self.packs.clone());
        // As the check of a change does, which leaves configs behind in the cache.
        let assignments: Vec<_> =
            self.hosts.iter().map(|host| Arc::clone(&host.assignment.load().assignment)).collect();
        let largest = self.schedule.largest_config(&plan, assignments.iter().map(|assignment| &**assignment));
        let anew = assignments.iter().map(|assignment| plan.assemble(assignment).bytes.len()).max();
        assert_eq!(Some(largest), anew);
        self.schedule.publish(plan);
    }

    fn assign(&self, host: usize, change: impl FnOnce(&mut Assignment)) {
        let mut assignment = Assignment::clone(&self.hosts[host].assignment.load());
        change(&mut assignment);
        self.hosts[host].assignment.store(assignment.into());
    }

    /// Every host gets what would be made anew, or goes on with what was good.
    fn check(&self) -> std::result::Result<(), TestCaseError> {
        let plan = self.schedule.plan();
        for host in &self.hosts {
            let before = host.config.get().map(|config| config.bytes.clone());
            let anew = plan.assemble(&host.assignment.load()).bytes;
            match self.schedule.config_for(host, None) {
                Ok(bytes) if anew.len() <= MAX_CONFIG_BYTES => prop_assert_eq!(&bytes, &anew),
                Ok(bytes) => prop_assert_eq!(Some(bytes), before),
                Err(_) => prop_assert!(anew.len() > MAX_CONFIG_BYTES && before.is_none()),
            }
            prop_assert!(self.schedule.configs.bytes() <= CACHE_BYTES);
            let config: Value = serde_json::from_slice(&anew).unwrap();
            prop_assert!(depth(&config) <= MAX_CONFIG_DEPTH);
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_plan_never_replaces_a_newer_one() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = config::Sqlite { path: folder.path().join("muster.db"), ..config::Sqlite::default() };
    let store = Store::open_sqlite(&sqlite, StoreCounters::default()).await.unwrap();
    let schedule = EditedSchedule::new(store.clone()).schedule;
    let plan = |generation, label: Option<i64>| {
        let edition = Edition { generation, outdated_at: Moment(i64::MAX) };
        Plan::of(edition, json!({}), Retired::default(), Vec::new()).with_labels(label)
    };
    assert_eq!(schedule.publish(plan(2, Some(7))), BTreeSet::new());
    assert_eq!(schedule.publish(plan(1, None)), BTreeSet::new(), "label 7 was created after this plan");
    assert_eq!(schedule.plan().generation, 2);
    assert_eq!(schedule.publish(plan(3, None)), BTreeSet::from([7]));
    assert_eq!(schedule.plan().generation, 3);
    store.close().await;
}

#[test]
fn served_is_what_would_be_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = config::Sqlite { path: folder.path().join("muster.db"), ..config::Sqlite::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // The schedule has a store, but no edit below asks it.
    let store = runtime.block_on(Store::open_sqlite(&sqlite, StoreCounters::default())).unwrap();
    let config = ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(edits in prop::collection::vec(edit(), 1..16))| {
        let mut world = EditedSchedule::new(store.clone());
        for edit in edits {
            world.make(edit);
            world.check()?;
        }
    });
    runtime.block_on(store.close());
}
