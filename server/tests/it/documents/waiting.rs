//! What is not applied yet, and goes on by itself.

use std::time::Duration;

use muster::config::{Sources, load};
use serde_json::json;

use super::{Folder, looked, problem, queries, query, status};
use crate::support::TestServer;

async fn waits_for(server: &TestServer) -> String {
    status(server).await["waits_for"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_pull_under_way_is_waited_for() {
    let folder = Folder::new();
    folder.commit('1');
    let server = folder.server().await;
    folder.put(".git/index.lock", "");
    folder.put("queries/new.yml", &query("new", "SELECT 1"));
    looked(&server).await;
    assert!(waits_for(&server).await.contains("index.lock"), "{}", status(&server).await);
    assert_eq!(queries(&server).await, ["uptime"]);
    // A lock that was left behind does not keep the folder from being looked at for ever unseen.
    server.clock.advance(Duration::from_secs(601));
    server.run_tasks().await;
    assert!(problem(&server).await.contains("index.lock"), "{}", status(&server).await);
    folder.commit('2');
    folder.remove(".git/index.lock");
    looked(&server).await;
    assert_eq!((problem(&server).await.as_str(), waits_for(&server).await.as_str()), ("", ""));
    assert_eq!(queries(&server).await, ["new", "uptime"]);
    assert_eq!(status(&server).await["applied"]["commit"], "2".repeat(40));
    // Another commit with the same files is noted, and changes nothing.
    let before = server.number("SELECT count(*) FROM activities");
    folder.commit('3');
    looked(&server).await;
    assert_eq!(status(&server).await["applied"]["commit"], "3".repeat(40));
    assert_eq!(server.number("SELECT count(*) FROM activities"), before);
}

#[tokio::test]
async fn files_that_still_come_are_waited_for() {
    let folder = Folder::new();
    let server = folder.server().await;
    for number in 0..3 {
        // Each new file begins the wait anew, and a file that is half there is no mistake yet.
        folder.put(&format!("queries/q{number}.yml"), "kind: query\nspec: {na");
        server.run_tasks().await;
        assert_eq!(problem(&server).await, "");
        assert!(waits_for(&server).await.contains("to stay as they are"), "{}", status(&server).await);
        folder.put(&format!("queries/q{number}.yml"), &query(&format!("q{number}"), "SELECT 1"));
        server.clock.advance(Duration::from_secs(1));
        server.run_tasks().await;
        assert_eq!(queries(&server).await, ["uptime"], "{number}");
    }
    looked(&server).await;
    assert_eq!(queries(&server).await.len(), 4);
}

#[tokio::test]
async fn a_change_freeze_is_waited_for() {
    let folder = Folder::new();
    let mut server = folder.server().await;
    let window = r#"{"name": "release", "from": "thu 08:00", "to": "fri 19:00", "time_zone": "Europe/Berlin"}"#;
    let flags = [("freeze_windows".to_owned(), window.to_owned())].into();
    let freeze = load(&Sources { flags, ..Sources::default() }).unwrap().config.freeze;
    server.change(|config| config.freeze = freeze);
    server.restart().await;
    folder.put("queries/new.yml", &query("new", "SELECT 1"));
    looked(&server).await;
    assert!(
        waits_for(&server).await.contains("change freeze \"release\", at 2026-01-16 19:00"),
        "{}",
        status(&server).await
    );
    assert_eq!(queries(&server).await, ["uptime"]);
    assert_eq!(server.metric("muster_documents_failing ").await, 0.0);
    server.clock.advance(Duration::from_secs(30 * 3600));
    looked(&server).await;
    assert_eq!(waits_for(&server).await, "");
    assert_eq!(queries(&server).await, ["new", "uptime"]);
}

#[tokio::test]
async fn a_read_only_server_applies_nothing() {
    let folder = Folder::new();
    let mut server = folder.server().await;
    server.change(|config| config.server.read_only = true);
    server.restart().await;
    folder.put("queries/new.yml", &query("new", "SELECT 1"));
    looked(&server).await;
    assert!(waits_for(&server).await.contains("server.read_only"), "{}", status(&server).await);
    assert_eq!(queries(&server).await, ["uptime"]);
}

#[tokio::test]
async fn sql_that_needs_a_second_person_is_applied_when_it_is_granted() {
    let folder = Folder::new();
    let guard = folder.path().with_file_name("guard.yml");
    let rule = "{name: requests, reason: hosts send requests, tables: [curl], mode: enforce, approve: true}";
    std::fs::write(&guard, format!("mode: warn\nrules:\n  - {rule}\n")).unwrap();
    let server = TestServer::with(|config| {
        config.documents.folder = Some(folder.path());
        config.server.guard = Some(guard);
    })
    .await;
    looked(&server).await;
    folder.put(
        "queries/curl.yml",
        "kind: query\nspec:\n  name: curl\n  query: SELECT result FROM curl WHERE url = 'http://192.0.2.1/'\n",
    );
    looked(&server).await;
    let reported = problem(&server).await;
    assert!(reported.starts_with("queries/curl.yml:4:") && reported.contains("asks for a second person"), "{reported}");
    assert_eq!(queries(&server).await, ["uptime"]);
    let asked = server.rest.get("approvals").await.json()["approvals"].clone();
    assert_eq!((asked.as_array().unwrap().len(), &asked[0]["asked_by"]), (1, &json!("documents folder")), "{asked}");
    let key = asked[0]["key"].as_str().unwrap().to_owned();
    assert_eq!(server.user("maintainer").post(&format!("approvals/{key}/grant"), &json!({})).await.status, 200);
    looked(&server).await;
    assert_eq!((problem(&server).await.as_str(), queries(&server).await.len()), ("", 2));
    // What is there already needs nobody again.
    server.clock.advance(Duration::from_secs(2 * 24 * 3600));
    looked(&server).await;
    assert_eq!((problem(&server).await.as_str(), queries(&server).await.len()), ("", 2));
}
