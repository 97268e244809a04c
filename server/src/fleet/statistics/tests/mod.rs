//! Samples on their way through the database into what operators see.

mod budget;
mod golden;
mod late;
mod nodes;

use std::sync::Arc;
use std::time::Duration;

use muster_api::osquery::DistributedWrite;
use sea_orm::EntityTrait as _;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::agent_version::AgentVersion;
use super::sample::{Counters, SampledQuery, WorkerId, sql_hash};
use super::{Sample, Statistics};
use crate::clock::Moment;
use crate::fleet::hosts::{Authenticated, Host, empty_row};
use crate::store::entity::hosts;
use crate::store::reports::RefreshRecord;
use crate::tests::world::World;

/// What the clock of a test begins with.
const START: u64 = 1_600_000_000;

/// Serves this top-level schedule and these packs, each of one query, to all hosts.
async fn serve(world: &World, schedule: Value, packs: &[(&str, &str, &str)]) {
    let options = json!({ "config": { "options": { "pack_delimiter": "_" }, "schedule": schedule } });
    let mut documents = vec![json!({ "apiVersion": "v1", "kind": "options", "spec": options })];
    for (pack, name, sql) in packs {
        let saved = format!("{pack} {name}");
        let queries = json!([{ "query": saved, "name": name, "interval": 5 }]);
        let spec = json!({ "name": pack, "targets": { "labels": ["All Hosts"] }, "queries": queries });
        let query = json!({ "name": saved, "query": sql });
        documents.push(json!({ "apiVersion": "v1", "kind": "query", "spec": query }));
        documents.push(json!({ "apiVersion": "v1", "kind": "pack", "spec": spec }));
    }
    world.apply(Value::Array(documents)).await;
}

/// A schedule of queries with these names, which all run once a minute.
fn schedule(names: impl IntoIterator<Item = String>) -> Value {
    names
        .into_iter()
        .map(|name| (name.clone(), json!({ "query": format!("SELECT '{name}'"), "interval": 60 })))
        .collect()
}

/// Sends the body of a write as the agent of this node key, and writes what it says.
async fn say(world: &World, key: &str, body: &str) {
    let Authenticated::Host(host) = world.app.fleet.hosts.authenticate(key).await.unwrap() else {
        panic!("the key is good");
    };
    let write = DistributedWrite::read(body.as_bytes()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    world.app.fleet.checkin.write(&host, &write, deadline).await.unwrap();
    world.app.fleet.statistics.write(true).await.unwrap();
}

/// Adds hosts with the ids from 1 on.
async fn add_hosts(world: &World, count: i64) {
    add_hosts_from(world, 1, count).await;
}

async fn add_hosts_from(world: &World, first: i64, count: i64) {
    let row = |id: i64| hosts::ActiveModel {
        id: sea_orm::Set(id),
        ..hosts::Model { identifier: id.to_string(), hostname: format!("host-{id}"), ..empty_row() }.into()
    };
    let rows: Vec<_> = (first..first + count).map(row).collect();
    for rows in rows.chunks(200) {
        hosts::Entity::insert_many(rows.to_vec()).exec_without_returning(world.app.store.reader()).await.unwrap();
    }
}

/// A host as check-ins know it.
fn host(id: i64, platform: &str) -> Arc<Host> {
    Arc::new(Host::unasked(id, platform))
}

/// A sample of the queries of [`schedule`] with these counters.
fn sample(unix_time: u64, pid: u64, queries: &[(String, Counters)]) -> Sample {
    let query = |(name, counters): &(String, Counters)| SampledQuery {
        full_name: name.clone(),
        sql_hash: Some(sql_hash(&format!("SELECT '{name}'"))),
        interval: 60,
        counters: *counters,
    };
    Sample {
        worker: WorkerId { start_time: pid, pid },
        unix_time,
        uptime_secs: unix_time - START / 2,
        version: AgentVersion::of("5.23.1"),
        delimiter: "_".to_owned(),
        queries: queries.iter().map(query).collect(),
    }
}

/// A query of a sample as rollouts are tested with.
#[derive(Debug, Clone, Default)]
pub(in crate::fleet) struct RanQuery {
    pub full_name: String,
    pub sql: String,
    pub interval: u64,
    pub runs: u64,
    pub cpu_ms: u64,
    pub is_denylisted: bool,
}

/// What a host says of its schedule that has not been restarted.
pub(in crate::fleet) fn sample_of(unix_time: u64, worker: u64, queries: &[RanQuery]) -> Sample {
    let query = |ran: &RanQuery| SampledQuery {
        full_name: ran.full_name.clone(),
        sql_hash: Some(sql_hash(&ran.sql)),
        interval: ran.interval,
        counters: Counters {
            executions: ran.runs,
            user_ms: ran.cpu_ms,
            wall_ms: ran.cpu_ms,
            output_bytes: ran.runs * 64,
            last_memory: 1 << 20,
            is_denylisted: ran.is_denylisted,
            ..Counters::default()
        },
    };
    Sample {
        worker: WorkerId { start_time: worker, pid: worker },
        unix_time,
        uptime_secs: unix_time - START / 2,
        version: AgentVersion::of("5.23.1"),
        delimiter: "/".to_owned(),
        queries: queries.iter().map(query).collect(),
    }
}

async fn report(world: &World, name: &str) -> Value {
    world.get(&format!("statistics/query?name={name}")).await.expect(200)
}
