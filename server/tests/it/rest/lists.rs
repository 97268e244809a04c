//! Lists, counts and searches, and what bounds them.

use std::time::Duration;

use muster::config::Bytes;
use muster_api::rest::HostList;
use serde_json::json;

use super::hosts::add_hosts_to;
use crate::support::{TestServer, eventually};

/// A list longer than what is read at one time is the same text as a short one, in its order and whole.
#[tokio::test]
async fn a_long_list_is_whole_and_in_order() {
    let mut server = TestServer::start().await;
    let count = crate::support::count(1_000, 20_000);
    add_hosts_to(&mut server, count).await;
    let answer = server.rest.get("hosts?order_key=hostname&order_direction=desc").await;
    let hosts = answer.read::<HostList>().hosts;
    let expected: Vec<i64> = (1..=i64::from(count)).rev().collect();
    assert_eq!(hosts.iter().map(|host| host.id).collect::<Vec<_>>(), expected);
    assert_eq!(answer.text, serde_json::to_string_pretty(&HostList { hosts }).unwrap() + "\n");
    let page: HostList = server.rest.read("hosts?page=1&per_page=450").await;
    assert_eq!(page.hosts.iter().map(|host| host.id).collect::<Vec<_>>(), (451..=900).collect::<Vec<_>>());
}

/// Somebody who reads many lists at one time leaves room for others.
#[tokio::test]
async fn a_user_reads_a_bounded_number_of_lists_at_one_time() {
    let mut server = TestServer::with(|config| config.server.max_lists_per_user = 2).await;
    add_hosts_to(&mut server, 20_000).await;
    let observer = server.user("observer");
    // Their bodies are not read.
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(observer.getting("hosts").send().await.unwrap());
    }
    let refused = observer.get("hosts").await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert_eq!(refused.headers["retry-after"], "1");
    assert!(refused.problems()[0].contains("server.max_lists_per_user"), "{}", refused.text);
    assert_eq!(server.rest.get("hosts?per_page=1").await.status, 200, "others are not affected");
    drop(open);
    eventually("a list that is given up makes room", Duration::from_secs(20), async || {
        (observer.get("hosts?per_page=1").await.status == 200).then_some(())
    })
    .await;
}

/// The text of a list that is read whole waits until its reader takes it, and is counted until then.
#[tokio::test]
async fn answers_that_are_not_read_count_for_their_user() {
    let server = TestServer::with(|config| config.server.max_list_bytes_per_user = Bytes::mib(1)).await;
    let label = json!({ "kind": "label", "spec": { "name": "many", "label_membership_type": "manual", "hosts": [] } });
    server.rest.apply(&[label]).await;
    let (database, id) = (server.database(), server.number("SELECT id FROM labels WHERE name = 'many'"));
    let name = "x".repeat(200);
    // More than what the sockets of a connection hold.
    for batch in (0..120_000).collect::<Vec<u32>>().chunks(2_000) {
        let rows: Vec<String> = batch.iter().map(|number| format!("({id}, '{number}{name}')")).collect();
        database.execute(&format!("INSERT INTO label_host_names (label_id, name) VALUES {}", rows.join(", ")));
    }
    let observer = server.user("observer");
    for path in ["spec/labels", "spec/labels/many"] {
        let open = observer.getting(path).send().await.unwrap();
        assert_eq!(open.status(), 200);
        let refused = observer.get("spec/labels").await;
        assert_eq!(refused.status, 503, "{}", refused.text);
        assert!(refused.problems()[0].contains("server.max_list_bytes_per_user"), "{}", refused.text);
        assert_eq!(server.rest.get("labels").await.status, 200, "others are not affected");
        drop(open);
        eventually("an answer that is given up makes room", Duration::from_secs(20), async || {
            (observer.get("labels").await.status == 200).then_some(())
        })
        .await;
    }
    let whole = observer.get("spec/labels/many").await.json();
    assert_eq!(whole["specs"]["hosts"].as_array().unwrap().len(), 120_000);
}

#[tokio::test]
async fn a_search_for_targets_passes_over_what_is_selected() {
    let mut server = TestServer::start().await;
    add_hosts_to(&mut server, 30).await;
    let observer = server.user("observer");
    let search = async |hosts: Vec<i64>| observer.post("targets", &json!({ "selected": { "hosts": hosts } })).await;
    let found = search([7; 5_000].into_iter().chain(1..=5).collect()).await.json();
    let shown: Vec<i64> =
        found["targets"]["hosts"].as_array().unwrap().iter().map(|host| host["id"].as_i64().unwrap()).collect();
    assert_eq!(shown, [6, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
    assert_eq!(found["targets_count"], 6);
    for path in ["targets", "targets/count", "queries/run"] {
        let body = json!({ "query": "select 1", "selected": { "hosts": vec![1; 100_001] } });
        let answer = observer.post(path, &body).await;
        assert_eq!(answer.status, 422, "{path}: {}", answer.text);
        assert!(answer.problems()[0].starts_with("selected.hosts: names more than 100000"), "{}", answer.text);
    }
}
