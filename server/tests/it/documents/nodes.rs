//! Several servers, each with a folder of its own.

use super::{Folder, looked, problem, queries, query, status};
use crate::support::TestServer;

#[tokio::test]
async fn a_new_leader_with_an_older_folder_does_not_go_back() {
    let (folder, other_folder) = (Folder::new(), Folder::new());
    folder.commit('1');
    other_folder.commit('1');
    let mut one = folder.server().await;
    let other = TestServer::beside_with(&one, |config| config.documents.folder = Some(other_folder.path())).await;
    looked(&other).await;
    assert_eq!(status(&other).await["here"]["is_applied"], true);
    // The next commit comes to one of them alone.
    folder.put("queries/new.yml", &query("new", "SELECT 1"));
    folder.commit('2');
    looked(&one).await;
    looked(&other).await;
    assert_eq!(queries(&other).await, ["new", "uptime"]);
    assert_eq!(other.metric("muster_documents_differ ").await, 1.0);
    assert_eq!(status(&other).await["here"]["commit"], "1".repeat(40));
    assert_eq!(problem(&other).await, "", "another one leads");

    one.stop().await;
    looked(&other).await;
    assert_eq!(other.metric("muster_is_leader ").await, 1.0);
    let reported = problem(&other).await;
    assert!(
        reported.contains("has commit 111111111111") && reported.contains("last (commit 222222222222)"),
        "{reported}"
    );
    assert_eq!(queries(&other).await, ["new", "uptime"], "it does not go back");
    assert_eq!(other.rest.get("/readyz").await.status, 200);

    // What comes later is newer, also if the commit between was never here.
    other_folder.put("queries/later.yml", &query("later", "SELECT 1"));
    other_folder.commit('3');
    looked(&other).await;
    assert_eq!(problem(&other).await, "");
    assert_eq!(queries(&other).await, ["later", "uptime"]);
    // The first one comes back with what it had, and does not lead.
    one.try_start().await.unwrap();
    looked(&one).await;
    assert_eq!(queries(&one).await, ["later", "uptime"]);
    assert_eq!(one.metric("muster_documents_differ ").await, 1.0);
}

#[tokio::test]
async fn a_folder_that_held_what_was_applied_may_go_back() {
    let folder = Folder::new();
    let server = folder.server().await;
    folder.put("queries/new.yml", &query("new", "SELECT 1"));
    looked(&server).await;
    assert_eq!(queries(&server).await, ["new", "uptime"]);
    // As a revert does.
    folder.remove("queries/new.yml");
    looked(&server).await;
    assert_eq!((problem(&server).await.as_str(), queries(&server).await), ("", vec!["uptime".to_owned()]));
}
