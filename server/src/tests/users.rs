use actix_web::http::Method;
use serde_json::{Value, json};

use super::world::{PASSWORD, World};

const OTHER: &str = "another-secret-2";

fn new_user() -> Value {
    json!({ "email": "Ann@Example.com", "name": "Ann", "password": OTHER, "global_role": "maintainer", "teams": [] })
}

#[actix_web::test]
async fn users_are_made_changed_and_deleted() {
    let world = World::new().await;
    let user = world.post("users/admin", new_user()).await.expect(200)["user"].clone();
    assert_eq!((&user["email"], &user["global_role"]), (&json!("ann@example.com"), &json!("maintainer")));
    let (_, reason) = world.post("users/admin", new_user()).await.problem(409);
    assert_eq!(reason, "User ann@example.com already exists in the datastore");
    let token = world.token_of("ann@example.com", OTHER).await.unwrap();
    world.as_user(&token, Method::GET, "packs", None).await.expect(200);

    let listed = world.get("users?query=ann&order_key=name").await.expect(200);
    assert_eq!(listed["users"].as_array().unwrap().len(), 1);
    let path = format!("users/{}", user["id"]);
    let changed = world.patch(&path, json!({ "global_role": "observer", "name": "Anna" })).await.expect(200);
    assert_eq!((&changed["user"]["name"], &changed["user"]["global_role"]), (&json!("Anna"), &json!("observer")));
    // The role counts from the next request on.
    world.as_user(&token, Method::GET, "packs", None).await.expect(403);
    world.patch(&path, json!({ "email": "admin@example.com" })).await.expect(409);

    world.delete(&path).await.expect(200);
    world.as_user(&token, Method::GET, "me", None).await.expect(401);
    assert!(world.token_of("ann@example.com", OTHER).await.is_none());
    world.get(&path).await.expect(404);
    let kinds = world.activities().await;
    assert_eq!(kinds.iter().filter(|kind| kind.ends_with("_user")).count(), 3, "{kinds:?}");
}

#[actix_web::test]
async fn what_a_user_cannot_be_is_refused() {
    let world = World::new().await;
    for (change, path) in [
        (json!({ "email": "nobody" }), "email"),
        (json!({ "password": "weak" }), "password"),
        (json!({ "password": null }), "password"),
        (json!({ "global_role": null }), "global_role"),
        (json!({ "sso_enabled": true }), "sso_enabled"),
        (json!({ "teams": [{ "id": 1, "role": "admin" }] }), "teams"),
    ] {
        let mut body = new_user();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let (found, _) = world.post("users/admin", body.clone()).await.problem(422);
        assert_eq!(found, path, "{body}");
    }
    assert_eq!(world.get("users").await.expect(200)["users"].as_array().unwrap().len(), 1);
}

/// As Fleet's clients send it, whatever their user has asked for.
#[actix_web::test]
async fn what_has_no_meaning_here_is_ignored() {
    let world = World::new().await;
    let mut body = new_user();
    let change = json!({ "admin_forced_password_reset": true, "sso_enabled": null, "api_only": null, "position": "" });
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let user = world.post("users/admin", body).await.expect(200)["user"].clone();
    assert_eq!((&user["force_password_reset"], &user["api_only"]), (&json!(false), &json!(false)));
    world.patch(&format!("users/{}", user["id"]), json!({ "position": "x", "name": "Anna" })).await.expect(200);
}

#[actix_web::test]
async fn an_administrator_is_always_left() {
    let world = World::new().await;
    let (path, _) = world.delete("users/1").await.problem(422);
    assert_eq!(path, "user");
    let (path, _) = world.patch("users/1", json!({ "global_role": "observer" })).await.problem(422);
    assert_eq!(path, "global_role");
    world.get("users").await.expect(200);

    world.log_in_as("observer").await;
    world.patch("users/2", json!({ "global_role": "admin" })).await.expect(200);
    world.delete("users/1").await.expect(200);
    world.get("me").await.expect(401);
}

#[actix_web::test]
async fn a_new_password_ends_the_other_sessions() {
    let world = World::new().await;
    let other = world.token_of("admin@example.com", PASSWORD).await.unwrap();
    let wrong = json!({ "old_password": OTHER, "new_password": OTHER });
    let (path, reason) = world.post("change_password", wrong).await.problem(422);
    assert_eq!((path.as_str(), reason.as_str()), ("old_password", "old password does not match"));
    let weak = json!({ "old_password": PASSWORD, "new_password": "weak" });
    assert_eq!(world.post("change_password", weak).await.problem(422).0, "new_password");
    world.as_user(&other, Method::GET, "me", None).await.expect(200);

    world.post("change_password", json!({ "old_password": PASSWORD, "new_password": OTHER })).await.expect(200);
    world.get("me").await.expect(200);
    world.as_user(&other, Method::GET, "me", None).await.expect(401);
    assert!(world.token_of("admin@example.com", PASSWORD).await.is_none());
    assert!(world.token_of("admin@example.com", OTHER).await.is_some());
}

#[actix_web::test]
async fn an_administrator_sets_the_password_of_others() {
    let world = World::new().await;
    let token = world.log_in_as("observer").await;
    world.patch("users/2", json!({ "password": "weak" })).await.expect(422);
    world.patch("users/2", json!({ "password": OTHER })).await.expect(200);
    world.as_user(&token, Method::GET, "me", None).await.expect(401);
    assert!(world.token_of("observer@example.com", OTHER).await.is_some());
}

#[actix_web::test]
async fn only_administrators_manage_users() {
    let world = World::new().await;
    let token = world.log_in_as("maintainer").await;
    for (method, path, body) in [
        (Method::GET, "users", None),
        (Method::GET, "users/1", None),
        (Method::GET, "users/roles/spec", None),
        (Method::POST, "users/admin", Some(new_user())),
        (Method::PATCH, "users/2", Some(json!({ "global_role": "admin" }))),
        (Method::DELETE, "users/1", None),
        (Method::POST, "users/roles/spec", Some(json!({ "spec": { "roles": {} } }))),
    ] {
        let answered = world.as_user(&token, method.clone(), path, body).await;
        assert_eq!(answered.status, 403, "{method} {path}");
    }
    let body = json!({ "old_password": PASSWORD, "new_password": OTHER });
    world.as_user(&token, Method::POST, "change_password", Some(body)).await.expect(200);
}
