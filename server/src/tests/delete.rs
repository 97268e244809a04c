use actix_web::http::Method;
use serde_json::{Value, json};

use super::world::World;

/// A pack with a query and a label, as they stand in a file.
fn documents() -> Value {
    json!([
        { "apiVersion": "v1", "kind": "query", "spec": { "name": "q", "query": "select 1" } },
        { "apiVersion": "v1", "kind": "label", "spec": { "name": "l", "query": "select 1" } },
        { "apiVersion": "v1", "kind": "pack", "spec": {
            "name": "p", "targets": { "labels": ["l", "All Hosts"] }, "queries": [{ "query": "q", "interval": 60 }],
        } },
    ])
}

fn actions(answer: &Value) -> Vec<&str> {
    answer["changes"].as_array().unwrap().iter().map(|change| change["action"].as_str().unwrap()).collect()
}

#[actix_web::test]
async fn a_file_deletes_as_a_whole() {
    let world = World::new().await;
    let key = world.enroll("h", "ubuntu").await;
    world.apply(documents()).await;
    let body = json!({ "documents": documents(), "dry_run": true });
    let answer = world.post("spec/delete", body.clone()).await.expect(200);
    assert_eq!((actions(&answer), &answer["dry_run"]), (vec!["deleted"; 3], &json!(true)));
    assert!(world.packs_of(&key).await["p"]["queries"]["q"].is_object());

    let body = json!({ "documents": documents() });
    let answer = world.post("spec/delete", body.clone()).await.expect(200);
    assert_eq!(answer["changes"][0], json!({ "kind": "query", "name": "q", "action": "deleted" }));
    assert_eq!(world.packs_of(&key).await, json!({}));
    assert_eq!(world.activities().await.last().unwrap(), "deleted_documents");

    let (generation, activities) = (world.generation(), world.activities().await.len());
    let answer = world.post("spec/delete", body).await.expect(200);
    assert_eq!(actions(&answer), ["absent"; 3]);
    assert_eq!((world.generation(), world.activities().await.len()), (generation, activities));
}

#[actix_web::test]
async fn what_is_still_used_keeps_all_of_it() {
    let world = World::new().await;
    world.apply(documents()).await;
    let other =
        json!({ "name": "other", "targets": { "labels": ["l"] }, "queries": [{ "query": "q", "interval": 9 }] });
    world.apply(json!([{ "kind": "pack", "spec": other }])).await;

    let answered = world.post("spec/delete", json!({ "documents": documents() })).await;
    let body = answered.expect(422);
    assert_eq!(
        body["errors"],
        json!([
            { "name": "documents[0].spec.name", "reason": "query \"q\" is scheduled by the pack \"other\"; remove it there first" },
            { "name": "documents[1].spec.name", "reason": "label \"l\" is a target of the pack \"other\"; remove it there first" },
        ])
    );
    assert_eq!(world.get("packs").await.expect(200)["packs"].as_array().unwrap().len(), 2);
}

#[actix_web::test]
async fn other_kinds_are_ignored_and_unknown_ones_refused() {
    let world = World::new().await;
    let documents = json!([
        { "kind": "config", "spec": {} },
        { "kind": "Pack", "spec": { "name": "gone", "anything": ["at", "all"] } },
        { "kind": "pack", "spec": { "name": "gone" } },
    ]);
    let answer = world.post("spec/delete", json!({ "documents": documents })).await.expect(200);
    assert_eq!(actions(&answer), ["ignored", "absent"]);

    for (document, path) in [
        (json!({ "kind": "qurey", "spec": { "name": "q" } }), "documents[0].kind"),
        (json!({ "kind": "query", "spec": {} }), "documents[0].spec.name"),
        (json!({ "kind": "query" }), "documents[0]"),
        (json!({ "kind": "label", "spec": { "name": "All Hosts" } }), "documents[0].spec.name"),
    ] {
        let (found, _) = world.post("spec/delete", json!({ "documents": [document] })).await.problem(422);
        assert_eq!(found, path);
    }
    let token = world.log_in_as("observer").await;
    world.as_user(&token, Method::POST, "spec/delete", Some(json!({ "documents": [] }))).await.expect(403);
}
