//! Hosts that run what they are served, hour by hour.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use muster_api::osquery::config::full_name;
use muster_api::rest::{Rollout, RolloutEnvelope};
use serde_json::{Value, json};

use crate::config::Config;
use crate::fleet::hosts::{Authenticated, Host};
use crate::fleet::statistics::tests::{RanQuery, sample_of};
use crate::tests::world::World;

/// The query of the pack, and what takes its place.
pub const CHEAP: &str = "SELECT 1 AS cheap";
pub const CHEAPER: &str = "SELECT 1 AS cheaper";
pub const HEAVY: &str = "SELECT 1 AS heavy FROM everything";

/// How often hosts report.
const PERIOD: u64 = 3600;

/// Hosts that report in one go.
const TOGETHER: usize = 500;

/// `few` in `make test`, `whole` in `make soak`.
pub fn count(few: i64, whole: i64) -> i64 {
    if std::env::var_os("MUSTER_TEST_SIZE").is_some_and(|size| size == "whole") { whole } else { few }
}

/// CPU time of a run, in milliseconds.
fn cost(sql: &str, host_id: i64) -> u64 {
    let own = host_id.unsigned_abs() % 7;
    match sql {
        HEAVY => 5_000 + own,
        CHEAPER => 18 + own,
        _ => 20 + own,
    }
}

/// A rollout of other SQL for the query of the pack.
pub fn rollout(name: &str, sql: &str, percents: &[f64]) -> Value {
    let cohorts: Vec<Value> = percents.iter().map(|percent| json!({ "percent": percent })).collect();
    let query = json!({ "apiVersion": "v1", "kind": "query", "spec": { "name": "work", "query": sql } });
    let spec = json!({ "name": name, "cohorts": cohorts, "bake": "90m", "documents": [query] });
    json!({ "apiVersion": "v1", "kind": "rollout", "spec": spec })
}

pub struct SimulatedHost {
    pub id: i64,
    key: String,
    host: Arc<Host>,
    /// By the name that the agent gives it.
    ran: BTreeMap<String, RanQuery>,
    /// All SQL that it was served.
    had: BTreeSet<String>,
}

pub struct SimulatedFleet {
    pub world: World,
    pub hosts: Vec<SimulatedHost>,
    seconds: u64,
}

impl SimulatedFleet {
    /// Hosts that have reported twice.
    pub async fn start(count: i64) -> Self {
        Self::with(count, |_| {}).await
    }

    /// The same, with other settings.
    pub async fn with(count: i64, change: impl FnOnce(&mut Config)) -> Self {
        let world = World::with(change).await;
        let query = json!({ "apiVersion": "v1", "kind": "query", "spec": { "name": "work", "query": CHEAP } });
        let queries = json!([{ "query": "work", "interval": 60 }]);
        let spec = json!({ "name": "base", "targets": { "labels": ["All Hosts"] }, "queries": queries });
        let pack = json!({ "apiVersion": "v1", "kind": "pack", "spec": spec });
        world.apply(json!([query, pack])).await;
        let mut hosts = Vec::new();
        for number in 0..count {
            let key = world.enroll(&format!("host-{number}"), "ubuntu").await;
            let host = authenticated(&world, &key).await;
            let (ran, had) = Default::default();
            hosts.push(SimulatedHost { id: host.id, key, host, ran, had });
        }
        let mut fleet = Self { world, hosts, seconds: 0 };
        fleet.period().await;
        fleet.period().await;
        // Rollouts do not begin just when hosts report.
        fleet.advance(60);
        fleet
    }

    pub fn advance(&mut self, seconds: u64) {
        self.seconds += seconds;
        self.world.app.fleet.clock.advance(Duration::from_secs(seconds));
    }

    /// Hosts fetch their configs, run them for an hour, and report; then the leader looks.
    pub async fn period(&mut self) {
        self.run().await;
        self.world.app.fleet.rollouts.keep().await.unwrap();
    }

    /// As [`SimulatedFleet::period`], without a look.
    pub async fn run(&mut self) {
        let configs = self.configs().await;
        for (host, config) in self.hosts.iter_mut().zip(configs) {
            host.load(&config);
        }
        self.advance(PERIOD);
        let fleet = self.world.app.fleet.clone();
        let now = 1_600_000_000 + self.seconds;
        for hosts in self.hosts.chunks_mut(TOGETHER) {
            for host in hosts {
                host.host = authenticated(&self.world, &host.key).await;
                host.run();
                let queries: Vec<RanQuery> = host.ran.values().cloned().collect();
                fleet.statistics.add(&host.host, sample_of(now, 7, &queries));
            }
            fleet.statistics.write(true).await.unwrap();
        }
    }

    /// What each host is served.
    pub async fn configs(&self) -> Vec<String> {
        let schedule = &self.world.app.fleet.schedule;
        let config = |host: &SimulatedHost| schedule.config_for(&host.host, None).unwrap();
        self.hosts.iter().map(|host| String::from_utf8(config(host).to_vec()).unwrap()).collect()
    }

    /// The hosts that were ever served this SQL.
    pub fn served(&self, sql: &str) -> BTreeSet<i64> {
        self.hosts.iter().filter(|host| host.had.contains(sql)).map(|host| host.id).collect()
    }

    pub async fn status(&self, name: &str) -> Rollout {
        let body = self.world.get(&format!("rollouts/{}", name.replace(' ', "%20"))).await.expect(200);
        serde_json::from_value::<RolloutEnvelope>(body).unwrap().rollout
    }
}

async fn authenticated(world: &World, key: &str) -> Arc<Host> {
    match world.app.fleet.hosts.authenticate(key).await.unwrap() {
        Authenticated::Host(host) => host,
        Authenticated::Unknown => panic!("the key is not good"),
    }
}

impl SimulatedHost {
    /// Loads a config. Counters of a query begin anew with its SQL.
    fn load(&mut self, config: &str) {
        let config: Value = serde_json::from_str(config).unwrap();
        let mut ran = BTreeMap::new();
        for (pack, members) in config["packs"].as_object().into_iter().flatten() {
            for (name, query) in members["queries"].as_object().into_iter().flatten() {
                let (full_name, sql) = (full_name(pack, name, "/"), query["query"].as_str().unwrap().to_owned());
                self.had.insert(sql.clone());
                let interval = query["interval"].as_u64().unwrap();
                let before = self.ran.get(&full_name).filter(|before| before.sql == sql).cloned();
                let query = RanQuery { full_name: full_name.clone(), sql, interval, ..RanQuery::default() };
                ran.insert(full_name, before.unwrap_or(query));
            }
        }
        self.ran = ran;
    }

    /// Runs what it has loaded for a period.
    fn run(&mut self) {
        for query in self.ran.values_mut() {
            let runs = PERIOD / query.interval;
            query.runs += runs;
            query.cpu_ms += runs * cost(&query.sql, self.id);
        }
    }
}
