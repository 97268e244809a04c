use actix_web::http::Method;
use muster_api::osquery::answer::NO_WORK;
use muster_api::rest::{HostStatus, HostView};
use sea_orm::{Set, Unchanged};
use serde_json::json;

use super::world::World;
use crate::clock::Moment;
use crate::fleet::hosts::{Authenticated, HostFilter, HostState, StillSo};
use crate::store::{self, entity};

#[actix_web::test]
async fn a_deleted_host_has_to_enroll_again() {
    let world = World::new().await;
    let (key, other) = (world.enroll("h", "ubuntu").await, world.enroll("other", "ubuntu").await);
    assert_eq!((world.host_of(&key).await, world.host_of(&other).await), (Some(1), Some(2)));
    let counted = world.get("labels/1").await.expect(200)["label"]["count"].clone();
    assert_eq!(counted, 2);

    world.delete("hosts/1").await.expect(200);
    assert_eq!((world.host_of(&key).await, world.host_of(&other).await), (None, Some(2)));
    assert!(world.app.fleet.hosts.index.get(1).is_none());
    world.get("hosts/1").await.expect(404);
    world.delete("hosts/1").await.expect(404);
    assert_eq!(world.get("labels/1").await.expect(200)["label"]["count"], 1);

    let key = world.enroll("h", "ubuntu").await;
    assert_eq!(world.host_of(&key).await, Some(3));
}

#[actix_web::test]
async fn many_hosts_are_deleted_at_once() {
    let world = World::new().await;
    let mut keys = Vec::new();
    for name in ["a", "b", "c"] {
        keys.push(world.enroll(name, "ubuntu").await);
    }
    world.post("hosts/delete", json!({ "ids": [1, 3, 3, 99] })).await.expect(200);
    let mut left = Vec::new();
    for key in &keys {
        left.push(world.host_of(key).await);
    }
    assert_eq!(left, [None, Some(2), None]);
    assert_eq!(world.get("hosts/count").await.expect(200)["count"], 1);
    world.post("hosts/delete", json!({})).await.expect(400);
    assert_eq!(world.activities().await.last().unwrap(), "deleted_hosts");

    // Far more than one transaction deletes.
    let ids: Vec<i64> = (2..1500).collect();
    world.post("hosts/delete", json!({ "ids": ids })).await.expect(200);
    assert_eq!(world.get("hosts/count").await.expect(200)["count"], 0);
}

#[actix_web::test]
async fn a_host_that_is_asked_for_again_is_asked_everything() {
    let world = World::new().await;
    let key = world.enroll("h", "ubuntu").await;
    let Authenticated::Host(host) = world.app.fleet.hosts.authenticate(&key).await.unwrap() else { panic!() };
    let now = host.seen();
    let asked_now = entity::hosts::ActiveModel {
        id: Unchanged(1),
        detail_updated_at: Set(now),
        label_updated_at: Set(now),
        ..Default::default()
    };
    let store = &world.app.store;
    store.write(async |tx| store::hosts::update(tx, asked_now.clone()).await).await.unwrap();
    assert_eq!(world.app.fleet.checkin.read(&host).await, NO_WORK);

    world.post("hosts/1/refetch", json!({})).await.expect(200);
    assert_eq!(world.get("hosts/1").await.expect(200)["host"]["refetch_requested"], true);
    let asked = world.app.fleet.checkin.read(&host).await;
    assert!(String::from_utf8_lossy(&asked).contains("fleet_detail_query_"));
    world.post("hosts/9/refetch", json!({})).await.expect(404);
}

#[actix_web::test]
async fn observers_change_no_hosts() {
    let world = World::new().await;
    world.enroll("h", "ubuntu").await;
    let (observer, maintainer) = (world.log_in_as("observer").await, world.log_in_as("maintainer").await);
    for (method, path, body) in [
        (Method::POST, "hosts/1/refetch", None),
        (Method::DELETE, "hosts/1", None),
        (Method::POST, "hosts/delete", Some(json!({ "ids": [1] }))),
    ] {
        world.as_user(&observer, method, path, body).await.expect(403);
    }
    world.as_user(&maintainer, Method::DELETE, "hosts/1", None).await.expect(200);
}

/// A list takes as long as its reader does, and hosts call meanwhile.
#[actix_web::test]
async fn hosts_of_a_status_are_shown_as_they_were_picked() {
    let world = World::new().await;
    let key = world.enroll("a", "ubuntu").await;
    world.enroll("b", "ubuntu").await;
    let fleet = &world.app.fleet;
    let principal = fleet.access.authenticate(&world.token).await.unwrap();
    let in_state = |state| HostFilter { state: Some(state), ..HostFilter::default() };
    let ids_and_states = |hosts: Vec<HostView>| -> Vec<_> { hosts.iter().map(|host| (host.id, host.status)).collect() };
    let hour = std::time::Duration::from_secs(3600);
    world.app.fleet.clock.advance(hour);
    let mut offline = fleet.hosts.list(&principal, &in_state(HostState::Offline)).await.unwrap();
    assert_eq!(world.host_of(&key).await, Some(1));
    let shown = ids_and_states(offline.read().await.unwrap());
    assert_eq!(shown, [(1, HostStatus::Offline), (2, HostStatus::Offline)]);

    let mut online = fleet.hosts.list(&principal, &in_state(HostState::Online)).await.unwrap();
    world.app.fleet.clock.advance(hour);
    assert_eq!(ids_and_states(online.read().await.unwrap()), [(1, HostStatus::Online)]);
}

/// A deletion that waits for others may find hosts that are back.
#[actix_web::test]
async fn a_host_that_is_back_is_not_deleted_for_its_state() {
    let world = World::new().await;
    let key = world.enroll("a", "ubuntu").await;
    world.enroll("b", "ubuntu").await;
    let fleet = &world.app.fleet;
    let principal = fleet.access.authenticate(&world.token).await.unwrap();
    fleet.clock.advance(std::time::Duration::from_secs(3600));
    let offline = HostFilter { state: Some(HostState::Offline), ..HostFilter::default() };
    let ids = fleet.hosts.list(&principal, &offline).await.unwrap().ids();
    assert_eq!(ids, [1, 2]);
    assert_eq!(world.host_of(&key).await, Some(1));
    let still = StillSo { state: offline.state, silent_since: None };
    assert_eq!(fleet.delete_hosts_still(&principal, &ids, still).await.unwrap(), 1);
    assert_eq!(world.host_of(&key).await, Some(1));
    world.get("hosts/2").await.expect(404);

    let hour_ago = fleet.clock.now().minus(std::time::Duration::from_secs(3600));
    let still = StillSo { state: None, silent_since: Some(hour_ago) };
    assert_eq!(fleet.delete_hosts_still(&principal, &[1], still).await.unwrap(), 0);
    assert_eq!(fleet.delete_hosts(&principal, &[1]).await.unwrap(), 1, "whoever names it means it");
}

/// A machine that was set up anew keeps its identifier, and nothing of what was known of the system before.
#[actix_web::test]
async fn a_host_that_enrolls_as_another_system_is_asked_everything() {
    let world = World::new().await;
    let fleet = &world.app.fleet;
    let key = world.enroll("h", "ubuntu").await;
    let Authenticated::Host(host) = fleet.hosts.authenticate(&key).await.unwrap() else { panic!() };
    let now = fleet.clock.now();
    let asked_now = entity::hosts::ActiveModel {
        id: Unchanged(1),
        detail_updated_at: Set(now),
        label_updated_at: Set(now),
        ..Default::default()
    };
    world.app.store.write(async |tx| store::hosts::update(tx, asked_now.clone()).await).await.unwrap();
    fleet.hosts.mark_stale([1]);
    fleet.hosts.refresh_stale().await.unwrap();
    assert_eq!(fleet.checkin.read(&host).await, NO_WORK);
    world.enroll("h", "ubuntu").await;
    assert_eq!((host.labels_asked_at(), fleet.checkin.read(&host).await), (now, NO_WORK.into()), "the same system");

    world.enroll("h", "windows").await;
    assert_eq!(host.labels_asked_at(), Moment::NEVER);
    let asked = fleet.checkin.read(&host).await;
    assert!(String::from_utf8_lossy(&asked).contains("fleet_detail_query_"), "{asked:?}");
    let shown = world.get("hosts/1").await.expect(200)["host"].clone();
    assert_eq!((&shown["platform"], &shown["label_updated_at"]), (&json!("windows"), &shown["detail_updated_at"]));
    let labels: Vec<&str> =
        shown["labels"].as_array().unwrap().iter().map(|label| label["name"].as_str().unwrap()).collect();
    assert_eq!(labels, ["All Hosts", "MS Windows"]);
}
