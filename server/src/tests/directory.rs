//! The directory of all hosts follows the database, whoever has changed it.

use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use muster_api::osquery::DistributedWrite;
use sea_orm::{ActiveModelTrait as _, EntityTrait as _, IntoActiveModel as _, NotSet, QueryOrder as _, Set, Unchanged};
use serde_json::{Value, json};

use super::world::World;
use crate::fleet::hosts::Authenticated;
use crate::store::hosts::AgentIntervals;
use crate::store::{self, directory, entity};

/// Longer than it takes until the next page of hosts is compared.
const COMPARED: Duration = Duration::from_secs(31);

/// So long that a server does not know any more what it has missed.
const CUT_OFF: Duration = Duration::from_secs(301);

impl World {
    async fn host(&self, key: &str) -> std::sync::Arc<crate::fleet::hosts::Host> {
        match self.app.fleet.hosts.authenticate(key).await.unwrap() {
            Authenticated::Host(host) => host,
            Authenticated::Unknown => panic!("the key is not good"),
        }
    }

    /// Hands in answers to questions about a host, and writes them.
    async fn answer(&self, key: &str, answers: Value) {
        let body = json!({ "node_key": key, "queries": answers }).to_string();
        let write = DistributedWrite::read(body.as_bytes()).unwrap();
        let (host, deadline) = (self.host(key).await, Instant::now() + Duration::from_secs(60));
        self.app.fleet.checkin.write(&host, &write, deadline.into()).await.unwrap();
        self.app.fleet.checkin.write_reports(true).await.unwrap();
    }

    async fn names_with(&self, text: &str) -> Vec<String> {
        let list = self.get(&format!("hosts?query={text}&order_key=hostname")).await.expect(200);
        let name = |host: &Value| host["hostname"].as_str().unwrap().to_owned();
        list["hosts"].as_array().unwrap().iter().map(name).collect()
    }

    async fn count(&self, parameters: &str) -> Value {
        self.get(&format!("hosts/count?{parameters}")).await.expect(200)["count"].clone()
    }
}

#[actix_web::test]
async fn what_a_host_says_of_itself_is_found_at_every_server() {
    let world = World::new().await;
    let other = world.beside().await;
    let key = world.enroll("before", "ubuntu").await;
    other.app.fleet.follow().await.unwrap();
    let system = json!([{
        "hostname": "after", "computer_name": "Desk", "uuid": "U-7", "hardware_serial": "SER-7", "hardware_model": "M7",
        "physical_memory": "7",
    }]);
    world.answer(&key, json!({ "fleet_detail_query_system_info": system })).await;
    other.app.fleet.follow().await.unwrap();
    for server in [&world, &other] {
        for text in ["after", "desk", "ser-7"] {
            assert_eq!(server.names_with(text).await, ["after"], "{text}");
        }
        assert_eq!(server.names_with("before").await, [""; 0]);
    }
}

/// Whatever column the directory holds: a report that changes it alone is told to other servers.
#[actix_web::test]
async fn every_column_that_lists_are_made_of_is_compared_when_a_host_reports() {
    let world = World::new().await;
    world.enroll("h", "ubuntu").await;
    let store = &world.app.store;
    let before = directory::of(store.reader(), &[1]).await.unwrap().remove(0).row;
    let changes = [
        entity::hosts::ActiveModel { hostname: Set("other".to_owned()), ..Default::default() },
        entity::hosts::ActiveModel { computer_name: Set("other".to_owned()), ..Default::default() },
        entity::hosts::ActiveModel { uuid: Set("other".to_owned()), ..Default::default() },
        entity::hosts::ActiveModel { hardware_serial: Set("other".to_owned()), ..Default::default() },
        entity::hosts::ActiveModel { hardware_model: Set("other".to_owned()), ..Default::default() },
        entity::hosts::ActiveModel { primary_ip: Set("other".to_owned()), ..Default::default() },
        entity::hosts::ActiveModel { platform: Set("other".to_owned()), ..Default::default() },
        entity::hosts::ActiveModel { os_version: Set("other".to_owned()), ..Default::default() },
        entity::hosts::ActiveModel { osquery_version: Set("other".to_owned()), ..Default::default() },
        entity::hosts::ActiveModel { memory: Set(7), ..Default::default() },
        entity::hosts::ActiveModel { distributed_interval: Set(7), ..Default::default() },
        entity::hosts::ActiveModel { config_refresh: Set(7), ..Default::default() },
    ];
    for details in changes {
        let report = store::reports::HostReport { host_id: 1, details: details.clone(), ..Default::default() };
        let reports = [(1, report)].into();
        let moved = store
            .write(async |tx| {
                let reporting = store::reports::reporting(tx, &[1]).await?.rows;
                Ok(store::reports::write(tx, &reports, &reporting, &Default::default()).await?.moved)
            })
            .await
            .unwrap();
        assert_eq!(moved, [1].into(), "{details:?}");
    }
    let after = directory::of(store.reader(), &[1]).await.unwrap().remove(0).row;
    let kept = directory::DirectoryRow {
        id: before.id,
        created_at: before.created_at,
        enrolled_at: before.enrolled_at,
        seen_at: before.seen_at,
        ..after.clone()
    };
    assert_eq!(kept, after, "only these columns are not said in reports");
}

/// As a server of the version before changes hosts, and as somebody does who works on the database by hand.
#[actix_web::test]
async fn changes_that_nobody_tells_of_are_found() {
    let world = World::new().await;
    for name in ["a", "b", "c"] {
        world.enroll(name, "ubuntu").await;
    }
    assert_eq!(world.names_with("").await, ["a", "b", "c"]);
    let store = &world.app.store;
    let row = entity::hosts::Entity::find().order_by_asc(entity::hosts::Column::Id).one(store.reader()).await.unwrap();
    let mut copy = row.unwrap().into_active_model().reset_all();
    (copy.id, copy.identifier, copy.hostname) = (NotSet, Set("d".to_owned()), Set("d".to_owned()));
    let renamed = entity::hosts::ActiveModel { id: Unchanged(2), hostname: Set("bb".to_owned()), ..Default::default() };
    store
        .write(async |tx| {
            store::hosts::insert_many(tx, vec![copy.clone()]).await?;
            store::hosts::update(tx, renamed.clone()).await?;
            store::hosts::delete(tx, &[3]).await
        })
        .await
        .unwrap();
    world.app.fleet.clock.advance(COMPARED);
    world.app.fleet.hosts.compare_directory().await.unwrap();
    assert_eq!(world.names_with("").await, ["a", "bb", "d"]);
    assert_eq!(world.count("").await, 3);
}

#[actix_web::test]
async fn hosts_that_are_named_are_targets_before_their_enrollment_is_heard_of() {
    let world = World::new().await;
    let other = world.beside().await;
    world.enroll("h", "ubuntu").await;
    let targets = json!({ "query": "", "selected": { "hosts": [1], "labels": [] } });
    assert_eq!(other.post("targets", targets).await.expect(200)["targets_count"], 1);
    let unknown = json!({ "query": "", "selected": { "hosts": [1, 2], "labels": [] } });
    assert_eq!(other.post("targets", unknown).await.problem(422).1, "there is no host with id 2");
    // Asking for a host that is not there yet does not keep it out.
    other.enroll("later", "ubuntu").await;
    assert_eq!(other.count("").await, 2);
    let named = json!({ "query": "SELECT 1", "targets": { "hosts": ["h"] } });
    assert_eq!(other.post("live_queries", named).await.expect(200)["live_query"]["counts"]["pending"], 1);
}

#[actix_web::test]
async fn intervals_of_hosts_are_known_at_every_server() {
    let world = World::new().await;
    let other = world.beside().await;
    let key = world.enroll("h", "ubuntu").await;
    let hour = AgentIntervals { distributed: 3600, config_refresh: 3600, logger: 10 };
    world.host(&key).await.intervals.are_named(hour);
    world.app.fleet.hosts.write_intervals().await.unwrap();
    for server in [&world, &other] {
        server.app.fleet.follow().await.unwrap();
        server.app.fleet.clock.advance(Duration::from_secs(1_800));
        assert_eq!(server.count("status=online").await, 1);
    }
}

#[actix_web::test]
async fn a_server_that_was_cut_off_reads_all_hosts_again_before_it_lists_any() {
    let world = World::new().await;
    let other = world.beside().await;
    world.enroll("deleted", "ubuntu").await;
    other.app.fleet.follow().await.unwrap();
    assert_eq!(other.names_with("").await, ["deleted"]);
    world.enroll("new", "ubuntu").await;
    world.delete("hosts/1").await.expect(200);

    other.app.fleet.clock.advance(CUT_OFF);
    other.app.fleet.follow().await.unwrap();
    assert!(other.app.fleet.hosts.directory.loaded().now_or_never().is_none(), "lists wait");
    other.app.fleet.hosts.compare_directory().await.unwrap();
    assert_eq!(other.names_with("").await, ["new"]);
    assert_eq!(other.app.fleet.hosts.take_deleted(), [1].into(), "live queries are told");
}

/// A database that was restored or worked on by hand may lack more hosts than fit one statement.
#[actix_web::test]
async fn any_number_of_hosts_may_be_gone() {
    let world = World::new().await;
    let key = world.enroll("h", "ubuntu").await;
    let first = directory::of(world.app.store.reader(), &[1]).await.unwrap().remove(0);
    let gone = (2..200_000).map(|id| {
        let row = directory::DirectoryRow { id, ..first.row.clone() };
        directory::DirectoryHost { row, label_ids: Vec::new() }
    });
    world.app.fleet.hosts.directory.put(gone);
    assert_eq!(world.count("").await, 199_999);
    world.app.fleet.clock.advance(COMPARED);
    world.app.fleet.hosts.compare_directory().await.unwrap();
    assert_eq!(world.count("").await, 1);
    assert_eq!(world.host_of(&key).await, Some(1));
}
