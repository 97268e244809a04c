//! Reports of hosts on their way through the database into what operators see.

mod asking;
mod hostile;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use muster_api::osquery::DistributedWrite;
use muster_api::osquery::answer::NO_WORK;
use sea_orm::{ConnectionTrait as _, Statement};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::fleet::hosts::{Authenticated, Host};
use crate::store::reports::RefreshRecord;
use crate::tests::world::World;

const QUESTION: &str = "fleet_detail_query_table_schema";

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A host that is asked nothing else, at an address of its own.
async fn host(world: &World, name: &str, platform: &str, version: &str) -> Arc<Host> {
    host_of_key(world, &world.enroll(name, platform).await, version).await
}

/// As [`host`], for one that has enrolled.
async fn host_of_key(world: &World, key: &str, version: &str) -> Arc<Host> {
    let host = known_host(world, key).await;
    let address = format!("192.0.{}.{}", host.id / 256, host.id % 256);
    let set = format!("osquery_version = '{version}', primary_ip = '{address}'");
    execute(world, &format!("UPDATE hosts SET {set} WHERE id = {}", host.id)).await;
    is_up_to_date(world, &host).await;
    host
}

async fn known_host(world: &World, key: &str) -> Arc<Host> {
    match world.app.fleet.hosts.authenticate(key).await.unwrap() {
        Authenticated::Host(host) => host,
        Authenticated::Unknown => panic!("the key is good"),
    }
}

/// Notes that a host has just been asked everything else, and was seen.
async fn is_up_to_date(world: &World, host: &Arc<Host>) {
    let now = world.app.fleet.clock.now();
    let all = ["detail_updated_at", "label_updated_at", "statistics_updated_at"].map(|at| format!("{at} = {}", now.0));
    execute(world, &format!("UPDATE hosts SET {} WHERE id = {}", all.join(", "), host.id)).await;
    host.refresh_state.take_over(&RefreshRecord {
        id: host.id,
        detail_updated_at: now,
        label_updated_at: now,
        statistics_updated_at: now,
        refetch_requested: false,
        open_round: None,
    });
    host.mark_seen(now);
}

async fn execute(world: &World, sql: &str) {
    world.app.store.reader().execute_unprepared(sql).await.unwrap();
}

async fn number(world: &World, sql: &str) -> i64 {
    let db = world.app.store.reader();
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

/// Reads hosts that were changed by hand.
async fn read_hosts(world: &World) {
    let newest = number(world, "SELECT MAX(id) FROM hosts").await;
    world.app.fleet.hosts.mark_changed_here(1..=newest);
    world.app.fleet.hosts.refresh_stale().await.unwrap();
}

/// Picks as the leader does, after it has read the hosts.
async fn pick(world: &World) {
    world.app.fleet.node.renew_lease(true).await.unwrap();
    read_hosts(world).await;
    world.app.fleet.schemas.pick().await.unwrap();
    world.app.fleet.schemas.follow().await.unwrap();
}

/// Lets hosts check in together, and gives those that are asked for their tables.
async fn asked(world: &World, hosts: &[Arc<Host>]) -> Vec<Arc<Host>> {
    let answers = join_all(hosts.iter().map(|host| world.app.fleet.checkin.read(host))).await;
    let mut asked = Vec::new();
    for (host, answer) in hosts.iter().zip(answers) {
        if answer == NO_WORK {
            continue;
        }
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let names: Vec<&String> = answer["queries"].as_object().unwrap().keys().collect();
        assert_eq!(names, [QUESTION], "it is asked alone");
        asked.push(Arc::clone(host));
    }
    asked
}

/// Rows of an agent that has these tables, each with these columns.
fn rows(version: &str, tables: &[(&str, &[&str])]) -> Vec<Value> {
    let row = |table: &str, column: &str| json!({ "table": table, "column": column, "type": "TEXT", "hidden": "0" });
    let all = tables.iter().flat_map(|(table, columns)| columns.iter().map(move |column| row(table, column)));
    all.chain([json!({ "table": "", "column": version, "type": "", "hidden": "" })]).collect()
}

/// Has a host answer with rows.
async fn say(world: &World, host: &Arc<Host>, rows: &[Value]) {
    let body = json!({ "node_key": "k", "queries": { QUESTION: rows }, "statuses": { QUESTION: 0 } }).to_string();
    let write = DistributedWrite::read(body.as_bytes()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    world.app.fleet.checkin.write(host, &write, deadline).await.unwrap();
    world.app.fleet.checkin.write_reports(true).await.unwrap();
}

/// What operators see.
async fn schema(world: &World, parameters: &str) -> Value {
    world.get(&format!("schema?{parameters}")).await.expect(200)
}

fn names(schema: &Value) -> Vec<&str> {
    schema["tables"].as_array().unwrap().iter().map(|table| table["name"].as_str().unwrap()).collect()
}
