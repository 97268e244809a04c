use serde_json::{Value, json};

use super::world::World;

async fn with_a_pack() -> World {
    let world = World::new().await;
    world
        .apply(json!([
            { "kind": "query", "spec": { "name": "q", "query": "select 1" } },
            { "kind": "pack", "spec": { "name": "p", "targets": { "labels": ["All Hosts"] } } },
        ]))
        .await;
    world
}

#[actix_web::test]
async fn a_scheduled_query_is_served_changed_and_taken_out() {
    let world = with_a_pack().await;
    let key = world.enroll("h", "ubuntu").await;
    let body = json!({ "pack_id": 1, "query_id": 1, "interval": 60, "snapshot": true, "platform": null, "shard": 50 });
    let made = world.post("schedule", body).await.expect(200)["scheduled"].clone();
    assert_eq!((&made["name"], &made["query_name"], &made["query"]), (&json!("q"), &json!("q"), &json!("select 1")));
    assert_eq!(
        world.packs_of(&key).await["p"]["queries"],
        json!({ "q": { "interval": 60, "query": "select 1", "shard": 50, "snapshot": true } })
    );

    let changed = world.patch("schedule/1", json!({ "interval": 30, "shard": null, "removed": false })).await;
    let changed = changed.expect(200)["scheduled"].clone();
    assert_eq!(
        (&changed["snapshot"], &changed["shard"], &changed["denylist"]),
        (&json!(true), &Value::Null, &Value::Null)
    );
    assert_eq!(
        world.packs_of(&key).await["p"]["queries"],
        json!({ "q": { "interval": 30, "query": "select 1", "removed": false, "snapshot": true } })
    );
    assert_eq!(world.get("packs/1/scheduled").await.expect(200)["scheduled"][0], changed);
    assert_eq!(world.get("packs/1").await.expect(200)["pack"]["query_count"], 1);

    world.delete("schedule/1").await.expect(200);
    assert_eq!(world.packs_of(&key).await["p"]["queries"], json!({}));
    world.get("schedule/1").await.expect(404);
}

#[actix_web::test]
async fn names_are_unique_within_a_pack() {
    let world = with_a_pack().await;
    let name = async |body: Value| world.post("packs/schedule", body).await.expect(200)["scheduled"]["name"].clone();
    let plain = json!({ "pack_id": 1, "query_id": 1, "interval": 60 });
    assert_eq!(name(plain.clone()).await, "q");
    assert_eq!(name(plain.clone()).await, "q-1");
    assert_eq!(name(plain).await, "q-1-1");
    let taken = json!({ "pack_id": 1, "query_id": 1, "interval": 60, "name": "q" });
    world.post("schedule", taken).await.expect(409);
    world.patch("schedule/2", json!({ "name": "q" })).await.expect(409);
    assert_eq!(world.patch("schedule/2", json!({ "name": "other" })).await.expect(200)["scheduled"]["name"], "other");
}

#[actix_web::test]
async fn what_agents_would_skip_is_refused() {
    let world = with_a_pack().await;
    for (change, path) in [
        (json!({ "interval": 0 }), "interval"),
        (json!({ "interval": 604_801 }), "interval"),
        (json!({ "shard": 101 }), "shard"),
        (json!({ "version": "new" }), "version"),
        (json!({ "name": "epoch" }), "name"),
        (json!({ "query_id": 99 }), "query_id"),
        (json!({ "pack_id": 99 }), "pack_id"),
    ] {
        let mut body = json!({ "pack_id": 1, "query_id": 1, "interval": 60 });
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (found, _) = world.post("schedule", body.clone()).await.problem(422);
        assert_eq!(found, path, "{body}");
    }
    let of_no_pack = json!({ "query_id": 1, "interval": 60 });
    assert_eq!(world.post("packs/schedule", of_no_pack).await.problem(422).0, "pack_id");
}

/// Newer clients of Fleet mean the global schedule by the path that older ones use for packs.
#[actix_web::test]
async fn a_schedule_of_no_pack_is_the_global_one() {
    let world = with_a_pack().await;
    let of_pack = json!({ "pack_id": 1, "query_id": 1, "interval": 60 });
    world.post("schedule", of_pack).await.expect(200);
    assert_eq!(world.get("schedule").await.expect(200), json!({ "global_schedule": [] }));
    let of_all = json!({ "query_id": 1, "interval": 90 });
    let id = world.post("schedule", of_all).await.expect(200)["scheduled"]["id"].clone();
    let listed = world.get("schedule").await.expect(200);
    assert_eq!((&listed["global_schedule"][0]["id"], &listed["global_schedule"][1]), (&id, &Value::Null));
    assert_eq!(world.get("global/schedule").await.expect(200), listed);
}

#[actix_web::test]
async fn the_global_schedule_reaches_all_hosts_and_hides_its_pack() {
    let world = with_a_pack().await;
    let key = world.enroll("h", "windows").await;
    assert_eq!(world.get("global/schedule").await.expect(200), json!({ "global_schedule": [] }));
    let body = json!({ "query_id": 1, "interval": 60 });
    let id = world.post("global/schedule", body.clone()).await.expect(200)["scheduled"]["id"].as_i64().unwrap();
    let queries = json!({ "q": { "interval": 60, "query": "select 1" } });
    assert_eq!(world.packs_of(&key).await["Global"]["queries"], queries);

    let packs = world.get("packs").await.expect(200)["packs"].clone();
    assert_eq!(packs.as_array().unwrap().len(), 1);
    let hidden = world.get(&format!("schedule/{id}")).await.expect(200)["scheduled"]["pack_id"].as_i64().unwrap();
    world.get(&format!("packs/{hidden}")).await.expect(404);
    world.delete("packs/Global").await.expect(404);
    assert_eq!(world.get("spec/packs").await.expect(200)["specs"].as_array().unwrap().len(), 1);
    assert_eq!(world.get("queries/1").await.expect(200)["query"]["packs"], json!([]));
    let (_, reason) = world.delete("queries/q").await.problem(422);
    assert_eq!(reason, "query \"q\" is scheduled by the global schedule; remove it there first");

    // A row of another pack is not in the global schedule.
    let other = world.post("schedule", json!({ "pack_id": 1, "query_id": 1, "interval": 5 })).await.expect(200);
    let other = format!("global/schedule/{}", other["scheduled"]["id"]);
    world.patch(&other, json!({ "interval": 6 })).await.expect(404);
    world.delete(&other).await.expect(404);

    let path = format!("global/schedule/{id}");
    world.patch(&path, json!({ "interval": 90 })).await.expect(200);
    assert_eq!(world.packs_of(&key).await["Global"]["queries"]["q"]["interval"], 90);
    world.delete(&path).await.expect(200);
    assert_eq!(world.packs_of(&key).await["Global"]["queries"], json!({}));
}
