use serde_json::json;

use super::world::World;

#[actix_web::test]
async fn packs_are_made_targeted_and_deleted() {
    let world = World::new().await;
    let key = world.enroll("linux-1", "ubuntu").await;
    world.enroll("mac-1", "darwin").await;
    let label = |name: &str| {
        let plan = world.app.fleet.schedule.plan();
        (1..20).find(|id| plan.label_name(*id) == Some(name)).unwrap()
    };
    let (ubuntu, linux, mac) = (label("Ubuntu Linux"), label("All Linux"), label("macOS"));

    let body = json!({ "name": "p", "description": "d", "host_ids": [], "label_ids": [mac], "team_ids": [] });
    let pack = world.post("packs", body).await.expect(200)["pack"].clone();
    let id = pack["id"].as_i64().unwrap();
    assert_eq!(pack["label_ids"], json!([mac]));
    assert_eq!((&pack["total_hosts_count"], &pack["query_count"]), (&json!(1), &json!(0)));
    assert!(pack["type"].is_null());
    assert_eq!(world.packs_of(&key).await, json!({}));

    let path = format!("packs/{id}");
    let pack = world.patch(&path, json!({ "label_ids": [linux, ubuntu, ubuntu] })).await.expect(200)["pack"].clone();
    assert_eq!(pack["label_ids"], json!([ubuntu, linux]));
    assert_eq!(pack["total_hosts_count"], 1);
    assert_eq!(pack["description"], "d");
    assert_eq!(world.packs_of(&key).await, json!({ "p": { "queries": {} } }));
    assert_eq!(world.get("spec/packs/p").await.expect(200)["specs"]["targets"]["labels"][0], "All Linux");

    world.patch(&path, json!({ "disabled": true })).await.expect(200);
    assert_eq!(world.packs_of(&key).await, json!({}));
    world.delete("packs/p").await.expect(200);
    world.get(&path).await.expect(404);
    world.delete("packs/p").await.expect(404);
}

#[actix_web::test]
async fn what_a_pack_cannot_be_is_refused_as_in_documents() {
    let world = World::new().await;
    for (body, path) in [
        (json!({ "name": "main" }), "name"),
        (json!({ "name": "Global" }), "name"),
        (json!({ "name": "a:b" }), "name"),
        (json!({ "name": "p", "platform": "macos" }), "platform"),
        (json!({ "name": "p", "host_ids": [1] }), "host_ids"),
        (json!({ "name": "p", "team_ids": [1] }), "team_ids"),
        (json!({ "name": "p", "label_ids": [1, 99] }), "label_ids[1]"),
    ] {
        let (found, _) = world.post("packs", body.clone()).await.problem(422);
        assert_eq!(found, path, "{body}");
    }
    assert_eq!(world.get("packs").await.expect(200), json!({ "packs": [] }));
    world.post("packs", json!({ "name": "p" })).await.expect(200);
    world.post("packs", json!({ "name": "p" })).await.expect(409);
}

#[actix_web::test]
async fn a_change_keeps_what_only_documents_set() {
    let world = World::new().await;
    world
        .apply(json!([
            { "kind": "query", "spec": { "name": "q", "query": "select 1" } },
            { "kind": "pack", "spec": {
                "name": "p", "version": "5.4.0", "shard": 7, "discovery": ["select 1"],
                "queries": [{ "query": "q", "interval": 60 }],
            } },
        ]))
        .await;
    let before = world.get("spec/packs/p").await.expect(200)["specs"].clone();
    world.patch("packs/1", json!({ "name": "renamed" })).await.expect(200);
    let mut after = world.get("spec/packs/renamed").await.expect(200)["specs"].clone();
    after["name"] = json!("p");
    assert_eq!(after, before);
}
