//! What is changed at one server is what the other goes by after its next look.

use std::time::Duration;

use agent_compat::TestAgent;
use agent_compat::agent::{Flags, Identity, Platform};
use serde_json::{Value, json};

use super::{known_to_both, two};
use crate::checkin::{label, questions, settle};
use crate::support::{ENROLL_SECRET, PASSWORD, TestServer};

const MINUTE: Duration = Duration::from_secs(61);

async fn config_at(server: &TestServer, agent: &mut TestAgent) -> Value {
    server.address.draw(agent);
    let exchange = agent.config().await;
    exchange.verdict.value().cloned().unwrap_or_else(|| panic!("{exchange:?}"))
}

async fn asked_at(server: &TestServer, agent: &mut TestAgent) -> Vec<String> {
    server.address.draw(agent);
    questions(&agent.distributed().await)
}

fn pack(name: &str, labels: &[&str], interval: u32) -> Vec<Value> {
    vec![
        json!({ "kind": "query", "spec": { "name": "q", "query": "SELECT 1" } }),
        json!({ "kind": "pack", "spec": { "name": name, "targets": { "labels": labels },
                "queries": [{ "query": "q", "interval": interval }] } }),
    ]
}

#[tokio::test]
async fn a_pack_and_its_end() {
    let (one, other) = two().await;
    let mut agent = known_to_both(&one, &other, 1).await;
    for interval in [60, 70] {
        one.rest.apply(&pack("p", &["All Hosts"], interval)).await;
        other.run_tasks().await;
        assert_eq!(config_at(&other, &mut agent).await["packs"]["p"]["queries"]["q"]["interval"], interval);
    }
    let id = one.rest.get("packs").await.json()["packs"][0]["id"].clone();
    assert_eq!(one.rest.send("DELETE", &format!("packs/id/{id}"), None).await.status, 200);
    other.run_tasks().await;
    assert!(config_at(&other, &mut agent).await["packs"]["p"].is_null());
}

/// Labels that a pack excludes are known at both servers when the host has answered at one.
#[tokio::test]
async fn a_pack_that_excludes_a_label() {
    let (one, other) = two().await;
    let documents = [
        label("excluded", "SELECT 1 FROM system_info WHERE hostname = 'nobody'"),
        json!({ "kind": "query", "spec": { "name": "q", "query": "SELECT 1" } }),
        json!({ "kind": "pack", "spec": { "name": "p", "targets": { "labels_exclude_any": ["excluded"] },
                "queries": [{ "query": "q", "interval": 60 }] } }),
    ];
    one.rest.apply(&documents).await;
    other.run_tasks().await;
    let mut agent = known_to_both(&one, &other, 1).await;
    for server in [&one, &other] {
        assert!(config_at(server, &mut agent).await["packs"]["p"].is_null());
    }
    // Until then a node could ask hosts without the new label.
    one.clock.advance(Duration::from_secs(15));
    one.address.draw(&mut agent);
    settle(&mut agent).await;
    one.run_tasks().await;
    assert!(config_at(&one, &mut agent).await["packs"]["p"].is_object());
    // The other one finds that it has been asked, when the host asks for work there, and reads what it has answered.
    other.run_tasks().await;
    asked_at(&other, &mut agent).await;
    config_at(&other, &mut agent).await;
    other.run_tasks().await;
    assert!(config_at(&other, &mut agent).await["packs"]["p"].is_object());
}

#[tokio::test]
async fn agent_options() {
    let (one, other) = two().await;
    let mut agent = known_to_both(&one, &other, 1).await;
    let options = json!({ "config": { "options": { "logger_tls_period": 17 } } });
    one.rest.apply(&[json!({ "kind": "config", "spec": { "agent_options": options } })]).await;
    other.run_tasks().await;
    assert_eq!(config_at(&other, &mut agent).await["options"]["logger_tls_period"], 17);
}

#[tokio::test]
async fn the_enroll_secret() {
    let (one, other) = two().await;
    let secret =
        json!({ "kind": "enroll_secret", "spec": { "secrets": [{ "secret": "another-secret-of-the-tests" }] } });
    one.rest.apply(&[secret]).await;
    other.run_tasks().await;
    assert!(!other.agent(1).enroll().await.verdict.is_success(), "{ENROLL_SECRET} is not good any more");
    let identity = Identity::simulated(1, 1, Platform::Linux);
    let flags = Flags { enroll_secret: "another-secret-of-the-tests".into(), ..Flags::default() };
    assert!(other.address.agent_with(identity, flags).enroll().await.verdict.is_success());
}

#[tokio::test]
async fn a_dynamic_label_new_changed_and_gone() {
    let (one, other) = two().await;
    let mut agent = known_to_both(&one, &other, 1).await;
    settle(&mut agent).await;
    one.run_tasks().await;
    one.clock.advance(Duration::from_secs(1));
    one.rest.apply(&[label("l", "SELECT 1")]).await;
    one.rest.apply(&pack("p", &["l"], 60)).await;
    other.run_tasks().await;
    one.clock.advance(MINUTE);
    assert_eq!(asked_at(&other, &mut agent).await, ["fleet_label_query_8"]);
    other.run_tasks().await;
    one.run_tasks().await;
    for server in [&one, &other] {
        assert!(config_at(server, &mut agent).await["packs"]["p"].is_object(), "the host came into the label");
    }

    one.clock.advance(MINUTE);
    one.rest.apply(&[label("l", "SELECT 1 WHERE 1 = 2")]).await;
    other.run_tasks().await;
    one.clock.advance(MINUTE);
    assert_eq!(asked_at(&one, &mut agent).await, ["fleet_label_query_8"]);
    one.run_tasks().await;
    other.run_tasks().await;
    for server in [&one, &other] {
        assert!(config_at(server, &mut agent).await["packs"]["p"].is_null(), "the host left the label");
    }

    let id = one.rest.get("packs").await.json()["packs"][0]["id"].clone();
    assert_eq!(one.rest.send("DELETE", &format!("packs/id/{id}"), None).await.status, 200);
    assert_eq!(one.rest.send("DELETE", "labels/id/8", None).await.status, 200);
    one.rest.post("hosts/1/refetch", &json!({})).await;
    other.run_tasks().await;
    assert!(!asked_at(&other, &mut agent).await.contains(&"fleet_label_query_8".to_owned()));
}

#[tokio::test]
async fn members_of_a_manual_label() {
    let (one, other) = two().await;
    let mut agent = known_to_both(&one, &other, 1).await;
    let mut neighbour = known_to_both(&one, &other, 2).await;
    let identifier = agent.agent().identity().host_identifier.clone();
    let manual = |hosts: Value| json!({ "kind": "label", "spec": { "name": "m", "label_membership_type": "manual", "hosts": hosts } });
    one.rest.apply(&[manual(json!([identifier]))]).await;
    one.rest.apply(&pack("p", &["m"], 60)).await;
    other.run_tasks().await;
    assert!(config_at(&other, &mut agent).await["packs"]["p"].is_object());
    assert!(config_at(&other, &mut neighbour).await["packs"]["p"].is_null());
    one.rest.apply(&[manual(json!([]))]).await;
    other.run_tasks().await;
    assert!(config_at(&other, &mut agent).await["packs"]["p"].is_null());
}

/// Nobody can put itself into a label whose members operators choose, not even by way of a server that does not know the
/// label yet.
#[tokio::test]
async fn agents_have_no_say_in_manual_labels() {
    let (one, other) = two().await;
    let agent = known_to_both(&one, &other, 1).await;
    one.rest
        .apply(&[json!({ "kind": "label", "spec": { "name": "m", "label_membership_type": "manual", "hosts": [] } })])
        .await;
    let body = json!({ "node_key": agent.node_key(), "queries": { "fleet_label_query_8": [{ "1": "1" }] },
                       "statuses": { "fleet_label_query_8": 0 } });
    let mut agent = agent;
    other.address.draw(&mut agent);
    let write = agent.raw(agent_compat::agent::AgentEndpoint::DistributedWrite, body.to_string(), &[]).await;
    assert!(write.verdict.is_success());
    other.run_tasks().await;
    assert_eq!(one.number("SELECT count(*) FROM label_members WHERE label_id = 8"), 0);
}

#[tokio::test]
async fn a_deleted_host() {
    let (one, other) = two().await;
    let mut agent = known_to_both(&one, &other, 1).await;
    let mut neighbour = known_to_both(&one, &other, 2).await;
    assert_eq!(one.rest.send("DELETE", "hosts/1", None).await.status, 200);
    other.run_tasks().await;
    other.address.draw(&mut agent);
    assert!(agent.config().await.verdict.is_node_invalid());
    assert!(config_at(&other, &mut neighbour).await.is_object());
    // It comes back as a new host, at once and everywhere.
    assert!(agent.enroll().await.verdict.is_success());
    assert!(config_at(&one, &mut agent).await.is_object());
    assert_eq!(one.number("SELECT max(id) FROM hosts"), 3);
}

#[tokio::test]
async fn a_refetch() {
    let (one, other) = two().await;
    let mut agent = known_to_both(&one, &other, 1).await;
    settle(&mut agent).await;
    one.run_tasks().await;
    assert!(asked_at(&other, &mut agent).await.is_empty());
    one.clock.advance(Duration::from_secs(30));
    assert_eq!(one.rest.post("hosts/1/refetch", &json!({})).await.status, 200);
    other.run_tasks().await;
    assert!(!asked_at(&other, &mut agent).await.is_empty());
    other.run_tasks().await;
    assert_eq!(one.number("SELECT refetch_requested FROM hosts"), 0);
    one.run_tasks().await;
    one.clock.advance(Duration::from_secs(30));
    let last = asked_at(&one, &mut agent).await;
    assert_eq!(last, ["fleet_detail_query_scheduled_query_stats"], "it is asked alone, after the others");
    one.run_tasks().await;
    one.clock.advance(Duration::from_secs(30));
    assert!(asked_at(&one, &mut agent).await.is_empty());
}

/// Users and sessions are read from the database with every request: there is nothing to wait for.
#[tokio::test]
async fn users_and_sessions_at_once() {
    let (one, other) = two().await;
    let user = json!({ "name": "Ann", "email": "ann@example.com", "password": PASSWORD, "global_role": "admin" });
    let id = one.rest.post("users/admin", &user).await.json()["user"]["id"].clone();
    let log_in = async |server: &TestServer, password: &str| {
        let body = json!({ "email": "ann@example.com", "password": password });
        server.rest.anonymous().post("login", &body).await
    };
    let ann = other.rest.with_token(log_in(&one, PASSWORD).await.json()["token"].as_str().unwrap());
    assert_eq!(ann.get("users").await.status, 200);

    let role = json!({ "global_role": "observer" });
    assert_eq!(one.rest.send("PATCH", &format!("users/{id}"), Some(&role)).await.status, 200);
    assert_eq!(ann.get("users").await.status, 403);

    let password = json!({ "new_password": "another-password-1!" });
    assert_eq!(one.rest.send("PATCH", &format!("users/{id}"), Some(&password)).await.status, 200);
    assert_eq!(ann.get("me").await.status, 401, "a new password ends the sessions");
    assert_eq!(log_in(&other, PASSWORD).await.status, 401);

    let token = log_in(&other, "another-password-1!").await.json()["token"].as_str().unwrap().to_owned();
    let (here, there) = (one.rest.with_token(&token), other.rest.with_token(&token));
    assert_eq!(here.post("logout", &json!({})).await.status, 200);
    assert_eq!(there.get("me").await.status, 401);

    let token = log_in(&other, "another-password-1!").await.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(one.rest.send("DELETE", &format!("users/{id}"), None).await.status, 200);
    assert_eq!(other.rest.with_token(&token).get("me").await.status, 401);
}

/// A position in the feed is taken before the change is committed: a later one may be seen first.
#[tokio::test]
async fn a_change_that_is_committed_late() {
    let (one, other) = two().await;
    let mut agent = known_to_both(&one, &other, 1).await;
    one.rest
        .apply(&[json!({ "kind": "label", "spec": { "name": "m", "label_membership_type": "manual", "hosts": [] } })])
        .await;
    one.rest.apply(&pack("p", &["m"], 60)).await;
    let database = one.database();
    let append = |position: i64| {
        let now = one.clock.now().0;
        database.execute(&format!(
            "INSERT INTO host_changes (id, host_id, kind, changed_at) VALUES ({position}, 1, 'changed', {now})"
        ));
    };
    append(1_000);
    other.run_tasks().await;
    assert!(config_at(&other, &mut agent).await["packs"]["p"].is_null());
    one.clock.advance(Duration::from_secs(20));
    database.execute("INSERT INTO label_members (label_id, host_id) VALUES (8, 1)");
    append(999);
    other.run_tasks().await;
    assert!(config_at(&other, &mut agent).await["packs"]["p"].is_object());
}

#[tokio::test]
async fn a_server_that_was_away_for_longer_than_the_feed_is_kept() {
    let (one, other) = two().await;
    let mut deleted = known_to_both(&one, &other, 1).await;
    let mut moved = known_to_both(&one, &other, 2).await;
    other.run_tasks().await;
    one.rest
        .apply(&[json!({ "kind": "label", "spec": { "name": "m", "label_membership_type": "manual", "hosts": [] } })])
        .await;
    one.rest.apply(&pack("p", &["m"], 60)).await;
    assert_eq!(one.rest.send("DELETE", "hosts/1", None).await.status, 200);
    let database = one.database();
    database.execute("INSERT INTO label_members (label_id, host_id) VALUES (8, 2)");
    database.execute("DELETE FROM host_changes");
    one.clock.advance(Duration::from_secs(301));
    other.run_tasks().await;
    assert!(config_at(&other, &mut moved).await["packs"]["p"].is_object());
    other.address.draw(&mut deleted);
    assert!(deleted.config().await.verdict.is_node_invalid());
}
