//! Rows with words of another version, as nodes write them during an upgrade.

use actix_web::http::Method;
use sea_orm::ConnectionTrait as _;
use serde_json::json;

use super::world::{PASSWORD, World};
use crate::store::{entity::labels, named, node_keys};

async fn sql(world: &World, statement: &str) {
    let written = world.app.store.write(async |tx| Ok(tx.execute_unprepared(statement).await?.rows_affected())).await;
    assert_eq!(written.unwrap(), 1, "{statement}");
}

/// How many rows of a table are as `condition` says.
async fn count(world: &World, table: &str, condition: &str) -> i64 {
    let db = world.app.store.reader();
    let statement = sea_orm::Statement::from_string(
        db.get_database_backend(),
        format!("SELECT COUNT(*) FROM {table} WHERE {condition}"),
    );
    db.query_one_raw(statement).await.unwrap().unwrap().try_get_by_index(0).unwrap()
}

fn label(name: &str) -> serde_json::Value {
    json!({ "kind": "label", "spec": { "name": name, "query": "select 1" } })
}

#[actix_web::test]
async fn labels_are_left_out_and_left_alone() {
    let world = World::new().await;
    let key = world.enroll("h", "ubuntu").await;
    world.apply(json!([label("known"), label("newer type"), label("newer membership")])).await;
    sql(&world, "UPDATE labels SET label_type = 'nested' WHERE name = 'newer type'").await;
    sql(&world, "UPDATE labels SET membership_type = 'sampled' WHERE name = 'newer membership'").await;
    let are_unchanged = async || {
        count(&world, "labels", "label_type = 'nested' AND query = 'select 1' AND description = ''").await
            + count(&world, "labels", "membership_type = 'sampled' AND query = 'select 1' AND description = ''").await
    };

    // The plan is read anew, hosts get their config, and packs may still be targeted at such a label.
    world
        .apply(json!([
            { "kind": "query", "spec": { "name": "q", "query": "select 1" } },
            { "kind": "pack", "spec": {
                "name": "p", "targets": { "labels": ["newer type", "All Hosts"] },
                "queries": [{ "query": "q", "interval": 60 }],
            } },
        ]))
        .await;
    assert!(world.packs_of(&key).await["p"]["queries"]["q"].is_object());
    let asked: Vec<String> =
        world.app.fleet.schedule.plan().dynamic_labels().iter().map(|label| label.id.to_string()).collect();
    assert_eq!(asked.len(), 1, "only the label both versions know: {asked:?}");
    let packs = world.get("spec/packs/p").await.expect(200);
    assert_eq!(packs["specs"]["targets"]["labels"], json!(["All Hosts", "newer type"]));

    for path in ["labels", "labels/summary", "spec/labels"] {
        let listed = world.get(path).await.expect(200).to_string();
        assert!(listed.contains("known") && !listed.contains("newer"), "{path}: {listed}");
    }
    for name in ["newer type", "newer membership"] {
        let id = id_of(&world, name).await;
        world.get(&format!("labels/{id}")).await.expect(404);
        world.patch(&format!("labels/{id}"), json!({ "description": "x" })).await.problem(422);
        world.delete(&format!("labels/id/{id}")).await.problem(422);
        let documents = json!({ "documents": [label(name)] });
        let (path, reason) = world.post("spec/apply", documents.clone()).await.problem(422);
        assert_eq!(path, "documents[0].spec.name");
        assert!(reason.contains("upgraded"), "{reason}");
        world.post("spec/delete", documents).await.problem(422);
    }
    assert_eq!(are_unchanged().await, 2);
}

async fn id_of(world: &World, name: &str) -> i64 {
    let row = named::by_name::<labels::Entity>(world.app.store.reader(), name).await.unwrap();
    row.unwrap().id
}

#[actix_web::test]
async fn a_user_of_a_newer_role_may_do_nothing_and_others_log_in() {
    let world = World::new().await;
    let token = world.log_in_as("observer").await;
    world.as_user(&token, Method::GET, "labels", None).await.expect(200);
    sql(&world, "UPDATE users SET global_role = 'auditor' WHERE email = 'observer@example.com'").await;

    assert!(world.token_of("admin@example.com", PASSWORD).await.is_some());
    let users = world.get("users").await.expect(200);
    assert_eq!(users["users"].as_array().unwrap().len(), 2);
    assert_eq!(users["users"][1]["global_role"], json!(null));
    let roles = world.get("users/roles/spec").await.expect(200).to_string();
    assert!(roles.contains("admin@example.com") && !roles.contains("observer@example.com"), "{roles}");

    world.as_user(&token, Method::GET, "labels", None).await.expect(403);
    world.as_user(&token, Method::GET, "me", None).await.expect(200);
    assert!(world.token_of("observer@example.com", PASSWORD).await.is_some());

    // An edit of something else leaves the role as it is.
    world.patch("users/2", json!({ "name": "Another" })).await.expect(200);
    assert_eq!(count(&world, "users", "global_role = 'auditor' AND name = 'Another'").await, 1);
    // Such a user is no administrator for whoever wants to stop being the last one.
    world.patch("users/1", json!({ "global_role": "observer" })).await.problem(422);
    world.patch("users/2", json!({ "global_role": "admin" })).await.expect(200);
    world.patch("users/1", json!({ "global_role": "observer" })).await.expect(200);
}

#[actix_web::test]
async fn a_live_query_of_a_newer_status_is_shown_as_stopped() {
    let world = World::new().await;
    world.enroll("h", "ubuntu").await;
    let body = json!({ "query": "select 1", "targets": { "hosts": ["h"] } });
    let started = world.post("live_queries", body.clone()).await.expect(200);
    let other = world.post("live_queries", body).await.expect(200);
    let (id, other) = (&started["live_query"]["id"], &other["live_query"]["id"]);
    world.post(&format!("live_queries/{id}/cancel"), json!({})).await.expect(200);
    // One that this node does not hold in memory.
    let columns = "query, query_name, author_id, author_email, created_at, deadline, stop_reason, states";
    let copied = format!("SELECT {columns}, 'paused' FROM live_queries WHERE id = {id}");
    sql(&world, &format!("INSERT INTO live_queries ({columns}, status) {copied}")).await;
    world.app.fleet.follow().await.unwrap();

    let listed = world.get("live_queries?status=all").await.expect(200);
    assert_eq!(listed["live_queries"].as_array().unwrap().len(), 3, "{listed}");
    assert_eq!(
        (&listed["live_queries"][0]["status"], &listed["live_queries"][2]["status"]),
        (&json!("stopped"), &json!("cancelled"))
    );
    let reason = listed["live_queries"][0]["stop_reason"].as_str().unwrap();
    assert!(reason.contains("paused"), "{reason}");
    let open = world.get("live_queries").await.expect(200);
    assert_eq!(open["live_queries"][0]["id"], *other);
    assert_eq!(open["live_queries"].as_array().unwrap().len(), 1, "{open}");
    assert_eq!(count(&world, "live_queries", "status = 'paused'").await, 1);
}

#[actix_web::test]
async fn a_change_of_a_newer_kind_makes_the_follower_doubt_the_keys() {
    let world = World::new().await;
    let (gone, kept) = (world.enroll("a", "ubuntu").await, world.enroll("b", "ubuntu").await);
    let id = world.host_of(&gone).await.unwrap();
    assert!(world.host_of(&kept).await.is_some());
    world.app.fleet.follow().await.unwrap();
    let keys = node_keys::of_hosts(world.app.store.reader(), &[id]).await.unwrap();
    let hashes: Vec<Vec<u8>> = keys.into_values().flatten().map(|key| key.key_hash).collect();
    world.app.store.write(async |tx| node_keys::delete(tx, hashes.clone()).await).await.unwrap();
    assert_eq!(world.host_of(&gone).await, Some(id), "the key is in memory");

    sql(
        &world,
        &format!("INSERT INTO host_changes (host_id, kind, changed_at) VALUES ({id}, 'rekeyed', 1600000000000000)"),
    )
    .await;
    world.app.fleet.follow().await.unwrap();
    assert_eq!(world.host_of(&gone).await, None);
    assert!(world.host_of(&kept).await.is_some());
    assert_eq!(count(&world, "host_changes", "kind = 'rekeyed'").await, 1);
}
