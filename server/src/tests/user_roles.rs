use serde_json::{Value, json};

use super::world::{Answered, World};

async fn with_an_observer() -> World {
    let world = World::new().await;
    world.log_in_as("observer").await;
    world
}

async fn apply(world: &World, roles: Value, dry_run: bool) -> Answered {
    let document = json!({ "kind": "user_roles", "spec": { "roles": roles } });
    world.post("spec/apply", json!({ "documents": [document], "dry_run": dry_run })).await
}

#[actix_web::test]
async fn roles_are_applied_and_read_back() {
    let world = with_an_observer().await;
    let roles = json!({
        "admin@example.com": { "global_role": "admin", "teams": [] },
        "Observer@Example.com": { "global_role": "maintainer", "teams": [] },
    });
    let would = apply(&world, roles.clone(), true).await.expect(200);
    assert_eq!(
        would["changes"],
        json!([{
            "kind": "user_roles", "name": "", "action": "changed", "fields": ["observer@example.com"],
            "differences": [{ "field": "observer@example.com", "before": "observer", "after": "maintainer" }],
        }])
    );
    assert_eq!(world.get("users/2").await.expect(200)["user"]["global_role"], "observer");
    apply(&world, roles.clone(), false).await.expect(200);
    assert_eq!(apply(&world, roles, false).await.expect(200)["changes"][0]["action"], "unchanged");

    let spec = world.get("users/roles/spec").await.expect(200);
    assert_eq!(
        spec,
        json!({ "spec": { "roles": {
            "admin@example.com": { "global_role": "admin", "teams": [] },
            "observer@example.com": { "global_role": "maintainer", "teams": [] },
        } } })
    );
    world.post("users/roles/spec", spec).await.expect(200);
}

#[actix_web::test]
async fn problems_are_told_where_they_stand() {
    let world = with_an_observer().await;
    let roles = json!({
        "nobody@example.com": { "global_role": "observer" },
        "observer@example.com": { "global_role": null, "teams": [] },
    });
    let body = apply(&world, roles, false).await.expect(422);
    let paths: Vec<&str> = body["errors"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert_eq!(
        paths,
        [
            r#"documents[0].spec.roles["nobody@example.com"]"#,
            r#"documents[0].spec.roles["observer@example.com"].global_role"#,
        ]
    );
    let (path, _) = apply(&world, json!({ "a@b.c": { "global_role": "root" } }), false).await.problem(422);
    assert_eq!(path, r#"documents[0].spec.roles["a@b.c"].global_role"#);
    let twice = json!({ "A@B.c": { "global_role": "admin" }, "observer@example.com": { "global_role": "admin" },
        "OBSERVER@example.com": { "global_role": "observer" } });
    apply(&world, twice, false).await.expect(422);

    let body = json!({ "spec": { "roles": { "nobody@example.com": { "global_role": "admin" } } } });
    let (path, _) = world.post("users/roles/spec", body).await.problem(422);
    assert_eq!(path, r#"roles["nobody@example.com"]"#);
}

#[actix_web::test]
async fn roles_in_teams_are_skipped_with_a_warning() {
    let world = with_an_observer().await;
    let teams = json!([{ "team": "T", "role": "maintainer" }]);
    let roles = json!({
        "not here@example.com": { "global_role": null, "teams": teams },
        "observer@example.com": { "global_role": "maintainer", "teams": teams },
        "admin@example.com": { "global_role": "admin", "teams": null },
    });
    let body = apply(&world, roles, false).await.expect(200);
    assert_eq!(body["changes"][0]["fields"], json!(["observer@example.com"]));
    let paths: Vec<&str> = body["warnings"].as_array().unwrap().iter().map(|w| w["name"].as_str().unwrap()).collect();
    assert_eq!(
        paths,
        [
            r#"documents[0].spec.roles["not here@example.com"].teams"#,
            r#"documents[0].spec.roles["observer@example.com"].teams"#,
        ]
    );
}

#[actix_web::test]
async fn the_last_administrator_stays_one() {
    let world = with_an_observer().await;
    let (path, _) =
        apply(&world, json!({ "admin@example.com": { "global_role": "observer" } }), false).await.problem(422);
    assert_eq!(path, r#"documents[0].spec.roles["admin@example.com"].global_role"#);
    world.get("users").await.expect(200);
    // Another problem hides it not.
    let both =
        json!({ "admin@example.com": { "global_role": "observer" }, "nobody@example.com": { "global_role": "admin" } });
    let refused = apply(&world, both, false).await.expect(422);
    assert_eq!(refused["errors"].as_array().unwrap().len(), 2, "{refused}");
    world.get("users").await.expect(200);

    let exchanged = json!({
        "admin@example.com": { "global_role": "observer" },
        "observer@example.com": { "global_role": "admin" },
    });
    apply(&world, exchanged, false).await.expect(200);
    world.get("users").await.expect(403);
}
