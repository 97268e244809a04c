use serde_json::json;

use super::{label, questions, settle};
use crate::support::TestServer;

#[tokio::test]
async fn a_label_brings_its_pack_to_its_members_alone() {
    let server = TestServer::start().await;
    let mut hosts = [server.enrolled(1).await, server.enrolled(2).await];
    for host in &mut hosts {
        settle(host).await;
    }
    server.run_tasks().await;
    server.clock.advance(std::time::Duration::from_secs(1));
    let named = hosts[0].agent().identity().hostname.clone();
    let sql = format!("SELECT 1 FROM system_info WHERE computer_name = '{named}' OR hostname LIKE '{named}%'");
    server
        .rest
        .apply(&[
            label("the first", &sql),
            json!({ "kind": "query", "spec": { "name": "q", "query": "SELECT 1" } }),
            json!({ "kind": "pack", "spec": { "name": "p", "targets": { "labels": ["the first"] },
                    "queries": [{ "query": "q", "interval": 60 }] } }),
        ])
        .await;
    let before = hosts[1].config().await.body().to_vec();
    // A new label is put to everybody within a minute.
    server.clock.advance(std::time::Duration::from_secs(61));
    for host in &mut hosts {
        assert_eq!(questions(&host.distributed().await).len(), 1);
    }
    server.run_tasks().await;
    assert!(hosts[0].config().await.verdict.value().unwrap()["packs"]["p"].is_object());
    assert_eq!(hosts[1].config().await.body(), before, "the other host's config is the same to the byte");
    assert_eq!(server.number("SELECT count(*) FROM label_members WHERE label_id = 8"), 1);

    // The label now means nobody: the pack goes at the next fetch.
    server.clock.advance(std::time::Duration::from_secs(10));
    server.rest.apply(&[label("the first", "SELECT 1 FROM system_info WHERE computer_name = 'nobody'")]).await;
    server.clock.advance(std::time::Duration::from_secs(61));
    for host in &mut hosts {
        settle(host).await;
    }
    server.run_tasks().await;
    assert_eq!(hosts[0].config().await.body(), before);
    assert_eq!(server.number("SELECT count(*) FROM label_members WHERE label_id = 8"), 0);
}

#[tokio::test]
async fn a_failing_label_query_changes_nothing() {
    let server = TestServer::start().await;
    let mut host = server.enrolled(1).await;
    server.rest.apply(&[label("l", "SELECT 1")]).await;
    settle(&mut host).await;
    server.run_tasks().await;
    assert_eq!(server.number("SELECT count(*) FROM label_members WHERE label_id = 8"), 1);
    server.clock.advance(std::time::Duration::from_secs(10));
    server.rest.apply(&[label("l", "SELECT 1 FROM no_such_table")]).await;
    server.clock.advance(std::time::Duration::from_secs(61));
    settle(&mut host).await;
    server.run_tasks().await;
    assert_eq!(server.number("SELECT count(*) FROM label_members WHERE label_id = 8"), 1);
}

#[tokio::test]
async fn a_label_for_another_platform_lets_its_old_members_go() {
    let server = TestServer::start().await;
    let mut host = server.enrolled(1).await;
    server.rest.apply(&[label("l", "SELECT 1")]).await;
    settle(&mut host).await;
    server.run_tasks().await;
    assert_eq!(server.number("SELECT count(*) FROM label_members WHERE label_id = 8"), 1);
    server.clock.advance(std::time::Duration::from_secs(10));
    let for_macs = json!({ "kind": "label", "spec": { "name": "l", "query": "SELECT 1", "platform": "darwin" } });
    server.rest.apply(&[for_macs]).await;
    server.clock.advance(std::time::Duration::from_secs(61));
    settle(&mut host).await;
    server.run_tasks().await;
    assert_eq!(server.number("SELECT count(*) FROM label_members WHERE label_id = 8"), 0);
}
