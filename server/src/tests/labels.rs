use std::time::Duration;

use sea_orm::{Set, Unchanged};
use serde_json::json;

use super::world::World;
use crate::fleet::hosts::Authenticated;
use crate::store::{self, entity};

#[actix_web::test]
async fn labels_are_made_renamed_and_deleted() {
    let world = World::new().await;
    let body = json!({ "name": "docker", "query": "select 1 from docker_version", "platform": "ubuntu" });
    let label = world.post("labels", body.clone()).await.expect(200)["label"].clone();
    let id = label["id"].as_i64().unwrap();
    assert_eq!((&label["label_type"], &label["label_membership_type"]), (&json!("regular"), &json!("dynamic")));
    assert_eq!((label.get("host_count"), &label["count"]), (None, &json!(0)));
    assert_eq!(world.app.fleet.schedule.plan().label_name(id), Some("docker"));
    world.post("labels", body).await.expect(409);
    world.post("labels", json!({ "name": "x" })).await.expect(422);

    let path = format!("labels/{id}");
    let renamed = world.patch(&path, json!({ "name": "containers", "platform": "ubuntu" })).await.expect(200);
    assert_eq!(renamed["label"]["query"], "select 1 from docker_version");
    assert_eq!(world.app.fleet.schedule.plan().label_name(id), Some("containers"));
    let (path, _) = world.patch(&path, json!({ "query": "select 2" })).await.problem(422);
    assert_eq!(path, "query");

    world.delete("labels/containers").await.expect(200);
    world.get(&path).await.expect(404);
    assert_eq!(world.app.fleet.schedule.plan().label_name(id), None);
}

#[actix_web::test]
async fn an_empty_list_of_hosts_is_none() {
    let world = World::new().await;
    let label = |hosts: serde_json::Value| json!([{ "kind": "label", "spec": { "name": "l", "query": "select 1", "hosts": hosts } }]);
    world.apply(label(json!([]))).await;
    let (path, _) = world.post("spec/apply", json!({ "documents": label(json!(["h"])) })).await.problem(422);
    assert_eq!(path, "documents[0].spec.hosts");
}

#[actix_web::test]
async fn built_in_labels_stay_as_they_are() {
    let world = World::new().await;
    world.patch("labels/1", json!({ "name": "x" })).await.expect(422);
    world.delete("labels/id/1").await.expect(422);
    let (_, reason) = world.delete("labels/All%20Hosts").await.problem(422);
    assert_eq!(reason, "label \"All Hosts\" is built in and cannot be changed or deleted");
    let summary = world.get("labels/summary").await.expect(200)["labels"].clone();
    assert_eq!(summary.as_array().unwrap().len(), 7);
    assert_eq!(
        summary[0],
        json!({ "id": 1, "name": "All Hosts", "description": "All hosts which have enrolled", "label_type": "builtin" })
    );
}

#[actix_web::test]
async fn the_hosts_of_a_label_are_listed_as_hosts_are() {
    let world = World::new().await;
    for (name, platform) in [("u1", "ubuntu"), ("u2", "ubuntu"), ("m1", "darwin")] {
        world.enroll(name, platform).await;
    }
    let labels = world.get("labels?query=ubuntu").await.expect(200)["labels"].clone();
    assert_eq!((&labels[0]["name"], &labels[0]["host_count"]), (&json!("Ubuntu Linux"), &json!(2)));
    let path = format!("labels/{}/hosts", labels[0]["id"]);
    let names = async |path: &str| {
        let body = world.get(path).await.expect(200);
        body["hosts"].as_array().unwrap().iter().map(|h| h["hostname"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&path).await, ["u1", "u2"]);
    assert_eq!(names(&format!("{path}?order_key=hostname&order_direction=desc&per_page=1")).await, ["u2"]);
    assert_eq!(names(&format!("{path}?query=u1")).await, ["u1"]);
    assert_eq!(names(&format!("{path}?status=offline")).await, [""; 0]);
    world.get(&format!("{path}?stauts=online")).await.expect(400);
    world.get("labels/99/hosts").await.expect(404);
}

#[actix_web::test]
async fn a_deleted_label_leaves_its_hosts_and_their_configs() {
    let world = World::new().await;
    let key = world.enroll("h", "ubuntu").await;
    world
        .apply(json!([
            { "kind": "label", "spec": { "name": "l", "label_membership_type": "manual", "hosts": ["h"] } },
            { "kind": "pack", "spec": { "name": "p", "targets": { "labels": ["l"] } } },
        ]))
        .await;
    assert_eq!(world.packs_of(&key).await, json!({ "p": { "queries": {} } }));
    let (_, reason) = world.delete("labels/l").await.problem(422);
    assert_eq!(reason, "label \"l\" is a target of the pack \"p\"; remove it there first");

    world.patch("packs/1", json!({ "label_ids": [] })).await.expect(200);
    let id = world.get("labels?query=l&order_key=id&order_direction=desc").await.expect(200)["labels"][0]["id"].clone();
    world.delete(&format!("labels/id/{id}")).await.expect(200);
    let host = world.app.fleet.hosts.index.get(1).unwrap();
    assert!(!host.assignment.load().label_ids.contains(&id.as_i64().unwrap()));
    assert_eq!(world.packs_of(&key).await, json!({}));
    assert_eq!(world.get("hosts/1").await.expect(200)["host"]["labels"].as_array().unwrap().len(), 3);
}

#[actix_web::test]
async fn capitals_in_a_name_make_no_other_label() {
    let world = World::new().await;
    let label = |name: &str| json!({ "name": name, "query": "select 1" });
    let id = world.post("labels", label("Docker")).await.expect(200)["label"]["id"].clone();
    world.post("labels", label("docker")).await.expect(409);
    world.post("labels", label("ALL hosts")).await.expect(409);
    let pack = json!({ "kind": "pack", "spec": { "name": "p", "targets": { "labels": ["DOCKER"] } } });
    world.apply(json!([pack])).await;
    let again = world.post("spec/apply", json!({ "documents": [pack] })).await.expect(200);
    assert_eq!(again["changes"][0]["action"], "unchanged", "{again}");
    // A document that writes it otherwise renames it.
    world.apply(json!([{ "kind": "label", "spec": { "name": "docker", "query": "select 1" } }])).await;
    assert_eq!(world.get(&format!("labels/{id}")).await.expect(200)["label"]["name"], "docker");
    let twice = json!([{ "kind": "label", "spec": label("a") }, { "kind": "label", "spec": label("A") }]);
    world.post("spec/apply", json!({ "documents": twice })).await.expect(422);
    world.delete("labels/DOCKER").await.expect(422);
}

/// Members of a manual label are known at once, those of a dynamic one when hosts were asked.
#[actix_web::test]
async fn hosts_are_asked_for_a_label_that_becomes_dynamic_before_a_pack_goes_by_it() {
    let world = World::new().await;
    let fleet = &world.app.fleet;
    let key = world.enroll("h", "ubuntu").await;
    let Authenticated::Host(host) = fleet.hosts.authenticate(&key).await.unwrap() else { panic!() };
    let manual = json!({ "kind": "label", "spec": { "name": "l", "label_membership_type": "manual", "hosts": [] } });
    let dynamic = json!({ "kind": "label", "spec": { "name": "l", "query": "select 1" } });
    let pack = json!({ "kind": "pack", "spec": { "name": "p", "targets": { "labels_exclude_any": ["l"] } } });
    world.apply(json!([manual, pack])).await;
    let was_asked = async || {
        let now = fleet.clock.now();
        let asked = entity::hosts::ActiveModel {
            id: Unchanged(1),
            detail_updated_at: Set(now),
            label_updated_at: Set(now),
            ..Default::default()
        };
        world.app.store.write(async |tx| store::hosts::update(tx, asked.clone()).await).await.unwrap();
        fleet.hosts.mark_stale([1]);
        fleet.hosts.refresh_stale().await.unwrap();
    };
    fleet.clock.advance(Duration::from_secs(600));
    was_asked().await;
    let served = json!({ "p": { "queries": {} } });
    assert_eq!(world.packs_of(&key).await, served, "it is in no manual label");

    world.apply(json!([dynamic])).await;
    assert_eq!(world.packs_of(&key).await, json!({}), "nobody knows whether it is in the label");
    fleet.clock.advance(Duration::from_secs(120));
    let asked = String::from_utf8_lossy(&fleet.checkin.read(&host).await).into_owned();
    let id = world.get("labels?query=l&order_key=id&order_direction=desc").await.expect(200)["labels"][0]["id"].clone();
    assert!(asked.contains(&format!("fleet_label_query_{id}\"")), "{asked}");
    was_asked().await;
    assert_eq!(world.packs_of(&key).await, served, "it was asked, and is not in it");
}
