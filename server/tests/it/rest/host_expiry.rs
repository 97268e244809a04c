//! Hosts that no longer call go by themselves, if operators want it.

use std::time::Duration;

use muster_api::rest::{Action, HostList};
use serde_json::{Value, json};

use crate::support::{Rest, TestServer};

const HOUR: Duration = Duration::from_secs(3600);

fn config(settings: Value) -> Value {
    json!({ "kind": "config", "spec": { "host_expiry_settings": settings } })
}

async fn patient() -> TestServer {
    TestServer::with(|config| config.session.duration = 10_000 * HOUR).await
}

/// The ids of all hosts.
async fn ids(rest: &Rest) -> Vec<i64> {
    rest.read::<HostList>("hosts").await.hosts.iter().map(|host| host.id).collect()
}

#[tokio::test]
async fn hosts_that_no_longer_call_expire_after_days_and_hours() {
    let server = patient().await;
    for index in 0..3 {
        assert!(server.enrolled(index).await.config().await.verdict.is_success());
    }
    server
        .rest
        .apply(&[config(json!({ "host_expiry_enabled": true, "host_expiry_window": 1, "host_expiry_hours": 2 }))])
        .await;
    let mut living = server.agent(3);
    assert!(living.enroll().await.verdict.is_success());
    for _ in 0..25 {
        server.clock.advance(HOUR);
        assert!(living.config().await.verdict.is_success());
    }
    server.run_tasks().await;
    assert_eq!(ids(&server.rest).await, [1, 2, 3, 4], "a day and an hour");
    server.clock.advance(HOUR + Duration::from_secs(1));
    server.run_tasks().await;
    assert_eq!(ids(&server.rest).await, [4]);
    let reported = "kind = 'expired_hosts' AND actor_name = '' AND details LIKE '%\"hours_without_a_call\":26%'";
    assert_eq!(server.number(&format!("SELECT count(*) FROM activities WHERE {reported}")), 1);
    assert!(living.config().await.verdict.is_success());
    // Nothing is left to do.
    server.run_tasks().await;
    assert_eq!(server.number("SELECT count(*) FROM activities WHERE kind = 'expired_hosts'"), 1);
}

#[tokio::test]
async fn an_expired_host_that_lives_enrolls_anew() {
    let server = patient().await;
    let mut agent = server.enrolled(0).await;
    server.rest.apply(&[config(json!({ "host_expiry_enabled": true, "host_expiry_hours": 3 }))]).await;
    server.clock.advance(4 * HOUR);
    server.run_tasks().await;
    assert_eq!(ids(&server.rest).await, [0_i64; 0]);
    assert!(!agent.config().await.verdict.is_success());
    assert!(agent.enroll().await.verdict.is_success());
    assert!(agent.config().await.verdict.is_success());
    assert_eq!(ids(&server.rest).await, [2]);
}

#[tokio::test]
async fn hosts_of_a_label_expire_by_its_own_window() {
    let server = patient().await;
    for index in 0..4 {
        server.enrolled(index).await;
    }
    let host = |index: u32| server.agent(index).agent().identity().host_identifier.clone();
    let label = |name: &str, hosts: Vec<String>| json!({ "kind": "label", "spec": { "name": name, "label_membership_type": "manual", "hosts": hosts } });
    let settings = json!({
        "host_expiry_enabled": true, "host_expiry_window": 10,
        "host_expiry_labels": [{ "label": "Runners", "hours": 6 }, { "label": "kept long", "days": 100 }],
    });
    let labels = [label("runners", vec![host(0), host(3)]), label("kept long", vec![host(1), host(3)])];
    let [runners, kept_long] = labels;
    server.rest.apply(&[runners, kept_long, config(settings)]).await;
    for (hours, left) in [(5, &[1_i64, 2, 3, 4][..]), (7, &[2, 3]), (10 * 24 + 1, &[2]), (100 * 24 + 1, &[])] {
        let passed = server.number("SELECT min(enrolled_at) FROM hosts");
        let at = passed + i64::from(hours) * 3_600_000_000;
        let now = server.clock.now().0;
        server.clock.advance(Duration::from_micros(u64::try_from(at - now).unwrap()));
        server.run_tasks().await;
        assert_eq!(ids(&server.rest).await, left, "{hours} hours");
    }
    let reported =
        "SELECT count(*) FROM activities WHERE kind = 'expired_hosts' AND details LIKE '%\"label\":\"Runners\"%'";
    assert_eq!(server.number(reported), 1);
}

/// When no server has been there for long, hosts get time to call.
#[tokio::test]
async fn nothing_expires_for_an_hour_after_the_start() {
    let mut server = patient().await;
    let mut agent = server.enrolled(0).await;
    server.enrolled(1).await;
    server.rest.apply(&[config(json!({ "host_expiry_enabled": true, "host_expiry_window": 1 }))]).await;
    server.stop().await;
    server.clock.advance(48 * HOUR);
    server.restart().await;
    server.run_tasks().await;
    assert_eq!(ids(&server.rest).await, [1, 2]);
    assert!(agent.config().await.verdict.is_success());
    server.clock.advance(HOUR + Duration::from_secs(1));
    server.run_tasks().await;
    assert_eq!(ids(&server.rest).await, [1]);
}

/// An agent that enrolled and never reported anything of itself leaves nothing behind.
#[tokio::test]
async fn hosts_that_never_told_their_name_are_cleaned_up() {
    let server = patient().await;
    for index in 0..3 {
        server.enrolled(index).await;
    }
    server.clock.advance(2 * HOUR);
    let mut late = server.agent(3);
    assert!(late.enroll().await.verdict.is_success());
    server
        .database()
        .execute("UPDATE hosts SET hostname = '', osquery_version = '', hardware_serial = '' WHERE id IN (1, 4)");
    server.database().execute("UPDATE hosts SET hostname = '', osquery_version = '' WHERE id = 2");
    let mut server = server;
    server.restart().await;
    server.clock.advance(HOUR);
    assert!(late.config().await.verdict.is_success());
    server.run_tasks().await;
    assert_eq!(ids(&server.rest).await, [2, 3, 4], "the last has just called");
    server.clock.advance(Duration::from_secs(100 * 60));
    server.run_tasks().await;
    assert_eq!(ids(&server.rest).await, [2, 3]);
    assert_eq!(server.number("SELECT count(*) FROM activities WHERE kind = 'removed_unnamed_hosts'"), 2);
}

#[tokio::test]
async fn settings_of_expiry_are_checked_kept_and_shown() {
    let server = TestServer::start().await;
    let shown = async || server.rest.get("config").await.json()["host_expiry_settings"].clone();
    assert_eq!(shown().await, json!({ "host_expiry_enabled": false, "host_expiry_window": 0 }));
    for (settings, path) in [
        (json!({ "host_expiry_enabled": true }), "host_expiry_window"),
        (json!({ "host_expiry_enabled": "yes" }), "host_expiry_enabled"),
        (json!({ "host_expiry_window": -1 }), "host_expiry_window"),
        (json!({ "host_expiry_window": "30" }), "host_expiry_window"),
        (json!({ "host_expiry_window": 40_000 }), "host_expiry_window"),
        (json!({ "host_expiry_windows": 1 }), "host_expiry_windows"),
        (json!({ "host_expiry_labels": [{ "label": "nobody", "hours": 1 }] }), "host_expiry_labels[0].label"),
        (json!({ "host_expiry_labels": [{ "label": "All Hosts" }] }), "host_expiry_labels[0]"),
        (json!({ "host_expiry_labels": [{ "hours": 1 }] }), "host_expiry_labels[0].label"),
        (
            json!({ "host_expiry_labels": [{ "label": "All Hosts", "minutes": 1, "hours": 1 }] }),
            "host_expiry_labels[0].minutes",
        ),
        (json!([]), ""),
    ] {
        let refused = server.rest.try_apply(&[config(settings.clone())], false).await;
        assert_eq!(refused.status, 422, "{settings}: {}", refused.text);
        let path = if path.is_empty() { String::new() } else { format!(".{path}") };
        let path = format!("documents[0].spec.host_expiry_settings{path}: ");
        assert!(
            refused.problems().iter().any(|problem| problem.starts_with(&path)),
            "{settings}: {:?}",
            refused.problems()
        );
    }
    let settings = json!({ "host_expiry_enabled": true, "host_expiry_window": 30, "host_expiry_labels": [{ "label": "All Linux", "days": 1 }] });
    let changed = server.rest.apply(&[config(settings.clone())]).await;
    assert_eq!(changed.changes[0].fields, ["host_expiry_settings"]);
    assert_eq!(shown().await, settings);
    assert_eq!(server.rest.apply(&[config(settings)]).await.changes[0].action, Action::Unchanged);
    // As Fleet's clients change it; what is not named stays.
    let body = json!({ "host_expiry_settings": { "host_expiry_enabled": false } });
    let patched = server.rest.send("PATCH", "config", Some(&body)).await;
    assert_eq!(patched.status, 200, "{}", patched.text);
    let now = shown().await;
    assert_eq!((&now["host_expiry_enabled"], &now["host_expiry_window"]), (&json!(false), &json!(30)));
}

/// What is got from the configuration could not be applied again otherwise.
#[tokio::test]
async fn a_label_that_the_settings_name_stays() {
    let server = TestServer::start().await;
    let label = json!({ "kind": "label", "spec": { "name": "runners", "query": "SELECT 1" } });
    let settings =
        json!({ "host_expiry_labels": [{ "label": "All Linux", "days": 1 }, { "label": "Runners", "hours": 6 }] });
    server.rest.apply(&[label.clone(), config(settings)]).await;
    let id = server.number("SELECT id FROM labels WHERE name = 'runners'");
    let of_documents = json!({ "documents": [label] });
    let renamed = json!({ "name": "others" });
    for (method, path, body) in [
        ("DELETE", format!("labels/id/{id}"), None),
        ("DELETE", "labels/runners".to_owned(), None),
        ("POST", "spec/delete".to_owned(), Some(&of_documents)),
        ("PATCH", format!("labels/{id}"), Some(&renamed)),
    ] {
        let refused = server.rest.send(method, &path, body).await;
        assert_eq!(refused.status, 422, "{method} {path}: {}", refused.text);
        let problem = &refused.problems()[0];
        assert!(problem.contains("host_expiry_settings.host_expiry_labels[1]"), "{problem}");
    }
    // In another case it is the same name.
    let renamed = server.rest.send("PATCH", &format!("labels/{id}"), Some(&json!({ "name": "RUNNERS" }))).await;
    assert_eq!(renamed.status, 200, "{}", renamed.text);
    let shown = server.rest.get("config").await.json()["host_expiry_settings"].clone();
    server.rest.apply(&[config(shown)]).await;
    server.rest.apply(&[config(json!({ "host_expiry_labels": [] }))]).await;
    assert_eq!(server.rest.send("DELETE", &format!("labels/id/{id}"), None).await.status, 200);
}

/// Hosts of a label that is gone must not fall to a shorter window by that; others expire on.
#[tokio::test]
async fn while_a_label_is_gone_only_the_windows_of_other_labels_count() {
    let server = patient().await;
    for index in 0..3 {
        server.enrolled(index).await;
    }
    let host = |index: u32| server.agent(index).agent().identity().host_identifier.clone();
    let label = |name: &str, index: u32| json!({ "kind": "label", "spec": { "name": name, "label_membership_type": "manual", "hosts": [host(index)] } });
    let settings = json!({
        "host_expiry_enabled": true, "host_expiry_window": 1,
        "host_expiry_labels": [{ "label": "kept", "days": 100 }, { "label": "short", "hours": 2 }],
    });
    server.rest.apply(&[label("kept", 0), label("short", 1), config(settings)]).await;
    server.database().execute("UPDATE labels SET name = 'gone' WHERE name = 'kept'");
    server.clock.advance(48 * HOUR);
    server.run_tasks().await;
    assert_eq!(ids(&server.rest).await, [1, 3]);
    server.database().execute("UPDATE labels SET name = 'kept' WHERE name = 'gone'");
    server.run_tasks().await;
    assert_eq!(ids(&server.rest).await, [1]);
}
