//! Deleting hosts by ids or by filters.

use std::time::Duration;

use muster_api::rest::HostCount;
use serde_json::{Value, json};

use super::hosts::add_hosts_to;
use crate::support::{Rest, TestServer, eventually};

const SOON: Duration = Duration::from_secs(120);

async fn count(rest: &Rest) -> u64 {
    rest.read::<HostCount>("hosts/count").await.count
}

async fn delete(rest: &Rest, body: Value) -> Value {
    let answer = rest.post("hosts/delete", &body).await;
    assert_eq!(answer.status, 200, "{body}: {}", answer.text);
    answer.json()
}

#[tokio::test]
async fn a_dry_run_counts_what_is_deleted_then() {
    let mut server = TestServer::start().await;
    add_hosts_to(&mut server, 1_300).await;
    let maintainer = server.user("maintainer");
    let found = json!({ "query": "host-000000" });
    let activities = || server.number("SELECT count(*) FROM activities");
    let before = activities();
    let dry = delete(&maintainer, json!({ "filters": found, "dry_run": true })).await;
    assert_eq!(dry, json!({ "count": 999 }));
    assert_eq!((count(&server.rest).await, activities()), (1_300, before));
    assert_eq!(delete(&maintainer, json!({ "filters": found })).await, json!({}));
    assert_eq!(count(&server.rest).await, 301);
    // In batches, each with an activity that names its hosts and who deleted them.
    let kinds = server.number(
        "SELECT count(*) FROM activities WHERE kind = 'deleted_hosts' AND actor_email = 'maintainer-user@example.com'",
    );
    assert_eq!(kinds, 2);
    assert_eq!(server.number("SELECT count(*) FROM activities WHERE details LIKE '%\"host_id\":999,%'"), 1);
    assert_eq!(delete(&maintainer, json!({ "ids": [1_000, 1_000, 5, 1_001], "dry_run": true })).await["count"], 2);
    assert_eq!(delete(&maintainer, json!({ "ids": [1_000, 5], "filters": null })).await, json!({}));
    assert_eq!(delete(&maintainer, json!({ "ids": [], "filters": { "status": "missing" } })).await, json!({}));
    assert_eq!(count(&server.rest).await, 300);
    assert_eq!(delete(&maintainer, json!({ "filters": {}, "all": true })).await, json!({}));
    assert_eq!(count(&server.rest).await, 0);
}

#[tokio::test]
async fn what_may_mean_other_hosts_deletes_none() {
    let mut server = TestServer::start().await;
    add_hosts_to(&mut server, 3).await;
    for (body, status, reason) in [
        (json!({}), 400, "give ids or filters"),
        (json!({ "ids": null, "filters": null }), 400, "give ids or filters"),
        (json!({ "ids": [1], "filters": {} }), 400, "not both"),
        (json!({ "filters": {} }), 400, "all hosts would be deleted"),
        (json!({ "filters": { "status": "", "label_id": null, "team_id": 0 } }), 400, "all hosts would be deleted"),
        (json!({ "filters": { "team_id": 3 } }), 400, "there are no teams here"),
        (json!({ "filters": { "status": "asleep" } }), 400, "unknown status asleep"),
        (json!({ "filters": { "label_id": 999_999 } }), 404, "was not found"),
        (json!({ "filters": { "label": "All Hosts" } }), 400, "unknown field"),
        (json!({ "filter": {} }), 400, "unknown field"),
        (json!({ "filters": { "low_disk_space": -1 } }), 400, "invalid value"),
    ] {
        let answer = server.rest.post("hosts/delete", &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert!(answer.problems()[0].contains(reason), "{body}: {}", answer.text);
    }
    let observer = server.user("observer");
    for body in [
        json!({ "filters": {} }),
        json!({ "ids": [1] }),
        json!({ "filters": {}, "all": true, "dry_run": true }),
        json!({}),
    ] {
        assert_eq!(observer.post("hosts/delete", &body).await.status, 403, "{body}");
    }
    assert_eq!(count(&server.rest).await, 3);
}

/// A host that was deleted and lives comes back as a new one, by itself.
#[tokio::test]
async fn a_deleted_host_that_lives_enrolls_anew() {
    let server = TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    assert!(agent.config().await.verdict.is_success());
    let hostname = agent.agent().identity().fqdn.clone();
    assert_eq!(delete(&server.rest, json!({ "filters": { "query": hostname } })).await, json!({}));
    assert_eq!(count(&server.rest).await, 0);
    assert!(!agent.config().await.verdict.is_success(), "the key is told to be invalid");
    assert!(agent.enroll().await.verdict.is_success());
    assert!(agent.config().await.verdict.is_success());
    assert_eq!((count(&server.rest).await, server.number("SELECT max(id) FROM hosts")), (1, 2));
}

/// What was begun is done, though the client that has asked for it goes.
#[tokio::test]
async fn a_deletion_goes_on_when_its_client_goes() {
    const HOSTS: u64 = 4_000;
    let mut server = TestServer::start().await;
    add_hosts_to(&mut server, HOSTS as u32).await;
    let asked = server.rest.posting("hosts/delete", &json!({ "filters": { "query": "host-" } }));
    let asked = asked.bearer_auth(server.rest.token()).send();
    let has_begun = eventually("the deletion begins", SOON, async || (count(&server.rest).await < HOSTS).then_some(()));
    tokio::select! {
        answer = asked => assert_eq!(answer.unwrap().status(), 200),
        () = has_begun => {}
    }
    eventually("all hosts are gone", SOON, async || (count(&server.rest).await == 0).then_some(())).await;
}
