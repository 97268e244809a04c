use actix_web::http::Method;
use serde_json::json;

use super::world::World;

#[actix_web::test]
async fn queries_are_made_changed_and_deleted() {
    let world = World::new().await;
    let made = world.post("queries", json!({ "name": "uptime", "query": "select * from uptime" })).await.expect(200);
    let id = made["query"]["id"].as_i64().unwrap();
    assert_eq!(made["query"]["author_email"], "admin@example.com");
    assert_eq!(made["query"]["saved"], true);
    assert_eq!(made["query"]["packs"], json!([]));
    assert!(made["query"]["stats"].is_null());

    let (_, reason) = world.post("queries", json!({ "name": "uptime", "query": "select 1" })).await.problem(409);
    assert_eq!(reason, "Query uptime already exists in the datastore");
    let (path, reason) = world.post("queries", json!({ "query": "select 1" })).await.problem(422);
    assert_eq!((path.as_str(), reason.as_str()), ("name", "cannot be empty"));
    world.post("queries", json!({ "name": "x", "sql": "select 1" })).await.expect(400);

    let path = format!("queries/{id}");
    let changed = world.patch(&path, json!({ "name": "up", "observer_can_run": true })).await.expect(200);
    assert_eq!(changed["query"]["name"], "up");
    assert_eq!(changed["query"]["query"], "select * from uptime");
    assert_eq!(world.get("spec/queries/up").await.expect(200)["specs"]["observer_can_run"], true);

    assert_eq!(world.delete(&format!("queries/id/{id}")).await.expect(200), json!({}));
    let (_, reason) = world.get(&path).await.problem(404);
    assert_eq!(reason, format!("Query with id={id} was not found in the datastore"));
    world.get("queries/seven").await.expect(404);
    let kinds = ["created_saved_query", "edited_saved_query", "deleted_saved_query"];
    assert_eq!(world.activities().await[2..], kinds);
}

#[actix_web::test]
async fn a_change_that_changes_nothing_leaves_no_trace() {
    let world = World::new().await;
    world.post("queries", json!({ "name": "q", "query": "select 1" })).await.expect(200);
    let (generation, activities) = (world.generation(), world.activities().await.len());
    world.patch("queries/1", json!({ "query": "select 1" })).await.expect(200);
    assert_eq!((world.generation(), world.activities().await.len()), (generation, activities));
}

#[actix_web::test]
async fn lists_take_the_known_parameters_and_no_others() {
    let world = World::new().await;
    for name in ["b", "a", "ab"] {
        world.post("queries", json!({ "name": name, "query": "select 1" })).await.expect(200);
    }
    let names = async |path: &str| {
        let body = world.get(path).await.expect(200);
        body["queries"].as_array().unwrap().iter().map(|q| q["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("queries").await, ["b", "a", "ab"]);
    assert_eq!(names("queries?order_key=name&order_direction=desc").await, ["b", "ab", "a"]);
    assert_eq!(names("queries?order_key=name&per_page=1&page=1").await, ["ab"]);
    assert_eq!(names("queries?query=A&order_key=name").await, ["a", "ab"]);
    world.get("queries?order_key=query").await.expect(400);
    world.get("queries?team=1").await.expect(400);
}

#[actix_web::test]
async fn a_query_that_is_scheduled_stays() {
    let world = World::new().await;
    world
        .apply(json!([
            { "kind": "query", "spec": { "name": "q", "query": "select 1" } },
            { "kind": "query", "spec": { "name": "free", "query": "select 2" } },
            { "kind": "pack", "spec": { "name": "p", "queries": [{ "query": "q", "interval": 60 }] } },
        ]))
        .await;
    let (_, reason) = world.delete("queries/q").await.problem(422);
    assert_eq!(reason, "query \"q\" is scheduled by the pack \"p\"; remove it there first");
    world.post("queries/delete", json!({ "ids": [1, 2] })).await.expect(422);
    assert_eq!(world.get("queries").await.expect(200)["queries"].as_array().unwrap().len(), 2);
    assert_eq!(world.get("queries/1").await.expect(200)["query"]["packs"][0]["name"], "p");

    world.delete("packs/p").await.expect(200);
    assert_eq!(
        world.post("queries/delete", json!({ "ids": [1, 2, 2, 99] })).await.expect(200),
        json!({ "deleted": 2 })
    );
}

#[actix_web::test]
async fn observers_read_queries_and_do_not_see_packs() {
    let world = World::new().await;
    world
        .apply(json!([
            { "kind": "query", "spec": { "name": "q", "query": "select 1" } },
            { "kind": "pack", "spec": { "name": "p", "queries": [{ "query": "q", "interval": 60 }] } },
        ]))
        .await;
    let token = world.log_in_as("observer").await;
    let seen = world.as_user(&token, Method::GET, "queries", None).await.expect(200);
    assert_eq!(seen["queries"][0]["packs"], json!([]));
    for (method, path, body) in [
        (Method::POST, "queries", Some(json!({ "name": "x", "query": "select 1" }))),
        (Method::PATCH, "queries/1", Some(json!({ "name": "x" }))),
        (Method::DELETE, "queries/id/1", None),
        (Method::DELETE, "queries/q", None),
        (Method::POST, "queries/delete", Some(json!({ "ids": [1] }))),
        (Method::GET, "packs", None),
        (Method::GET, "packs/1", None),
        (Method::GET, "packs/1/scheduled", None),
        (Method::POST, "packs", Some(json!({ "name": "x" }))),
        (Method::PATCH, "packs/1", Some(json!({ "name": "x" }))),
        (Method::DELETE, "packs/id/1", None),
        (Method::DELETE, "packs/p", None),
        (Method::POST, "schedule", Some(json!({ "pack_id": 1, "query_id": 1, "interval": 60 }))),
        (Method::GET, "schedule/1", None),
        (Method::PATCH, "schedule/1", Some(json!({ "interval": 1 }))),
        (Method::DELETE, "schedule/1", None),
        (Method::GET, "global/schedule", None),
        (Method::POST, "global/schedule", Some(json!({ "query_id": 1, "interval": 60 }))),
        (Method::POST, "labels", Some(json!({ "name": "x", "query": "select 1" }))),
        (Method::PATCH, "labels/1", Some(json!({ "name": "x" }))),
        (Method::DELETE, "labels/id/1", None),
    ] {
        let answered = world.as_user(&token, method.clone(), path, body).await;
        assert_eq!(answered.status, 403, "{method} {path}");
    }
}
