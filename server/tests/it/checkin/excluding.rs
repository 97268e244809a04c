//! Packs by labels that hosts must be in all or none of.

use std::time::Duration;

use agent_compat::TestAgent;
use serde_json::{Value, json};

use super::{label, settle};
use crate::support::TestServer;

fn pack(name: &str, targets: Value) -> Value {
    let queries = json!([{ "query": "q", "interval": 60 }]);
    json!({ "kind": "pack", "spec": { "name": name, "targets": targets, "queries": queries } })
}

fn query() -> Value {
    json!({ "kind": "query", "spec": { "name": "q", "query": "SELECT 1" } })
}

/// A label of the machine that an agent stands for.
fn label_of(name: &str, agent: &TestAgent) -> Value {
    let hostname = agent.agent().identity().hostname.clone();
    label(name, &format!("SELECT 1 FROM system_info WHERE hostname LIKE '{hostname}%'"))
}

async fn packs_of(agent: &mut TestAgent) -> Vec<String> {
    let exchange = agent.config().await;
    let config = exchange.verdict.value().unwrap_or_else(|| panic!("{exchange:?}"));
    config["packs"].as_object().map(|packs| packs.keys().cloned().collect()).unwrap_or_default()
}

/// Why a host runs the query of a pack, or does not.
async fn reason(server: &TestServer, host_id: i64, pack: &str) -> String {
    let explained = server.rest.get(&format!("hosts/{host_id}/config")).await.json();
    let schedule = explained["schedule"].as_array().unwrap();
    let query = schedule.iter().find(|query| query["pack"] == pack).unwrap();
    query["reason"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_host_gets_packs_that_exclude_a_label_once_it_has_answered() {
    let server = TestServer::start().await;
    let (mut kiosk, mut other) = (server.agent(1), server.agent(2));
    server
        .rest
        .apply(&[
            query(),
            label_of("kiosks", &kiosk),
            pack("all-but", json!({ "labels_exclude_any": ["kiosks"] })),
            pack("any-but", json!({ "labels": ["All Hosts"], "labels_exclude_any": ["kiosks"] })),
            pack("both", json!({ "labels_include_all": ["All Hosts", "Kiosks"] })),
            pack("plain", json!({ "labels_include_any": ["All Hosts"] })),
        ])
        .await;
    for agent in [&mut kiosk, &mut other] {
        assert!(agent.enroll().await.verdict.is_success());
        assert_eq!(packs_of(agent).await, ["plain"], "nothing is known of its labels");
    }
    for pack in ["all-but", "any-but"] {
        let reason = reason(&server, 1, pack).await;
        assert!(reason.contains("not known yet") && reason.contains("kiosks"), "{reason}");
    }
    assert!(reason(&server, 1, "both").await.contains("lacks kiosks"));
    // Until then another node could ask hosts without the new label.
    server.clock.advance(Duration::from_secs(15));
    for agent in [&mut kiosk, &mut other] {
        settle(agent).await;
    }
    server.run_tasks().await;
    assert_eq!(packs_of(&mut kiosk).await, ["both", "plain"]);
    assert_eq!(packs_of(&mut other).await, ["all-but", "any-but", "plain"]);
    assert!(reason(&server, 1, "all-but").await.contains("excludes: kiosks"));
    assert_eq!(reason(&server, 2, "all-but").await, "runs");
    let packs = server.rest.get("packs").await.json();
    let counts: Vec<_> = packs["packs"].as_array().unwrap().iter().map(|pack| &pack["total_hosts_count"]).collect();
    assert_eq!(counts, [&json!(1), &json!(1), &json!(1), &json!(2)], "{packs}");

    // It is known still when the host enrolls again.
    let mut again = server.agent(2);
    assert!(again.enroll().await.verdict.is_success());
    assert_eq!(packs_of(&mut again).await, ["all-but", "any-but", "plain"]);
}

#[tokio::test]
async fn a_new_label_is_unknown_of_hosts_that_are_there_already() {
    let server = TestServer::start().await;
    let mut agents = [server.enrolled(1).await, server.enrolled(2).await];
    for agent in &mut agents {
        settle(agent).await;
    }
    server.run_tasks().await;
    server.clock.advance(Duration::from_secs(1));
    let documents = [query(), label_of("new", &agents[0]), pack("p", json!({ "labels_exclude_any": ["new"] }))];
    server.rest.apply(&documents).await;
    for agent in &mut agents {
        assert!(packs_of(agent).await.is_empty());
    }
    server.clock.advance(Duration::from_secs(61));
    for agent in &mut agents {
        settle(agent).await;
    }
    server.run_tasks().await;
    assert!(packs_of(&mut agents[0]).await.is_empty());
    assert_eq!(packs_of(&mut agents[1]).await, ["p"]);
}

#[tokio::test]
async fn labels_that_need_no_answer_are_known_at_once() {
    let server = TestServer::start().await;
    let for_windows = json!({ "kind": "label", "spec": { "name": "w", "query": "SELECT 1", "platform": "windows" } });
    let by_hand = json!({ "kind": "label", "spec": { "name": "m", "label_membership_type": "manual", "hosts": [] } });
    server
        .rest
        .apply(&[
            query(),
            for_windows,
            by_hand,
            pack("built-in", json!({ "labels_exclude_any": ["MS Windows"] })),
            pack("linux", json!({ "labels_exclude_any": ["All Linux"] })),
            pack("manual", json!({ "labels_exclude_any": ["m"] })),
            pack("platform", json!({ "labels_exclude_any": ["w"] })),
        ])
        .await;
    let mut agent = server.enrolled(1).await;
    assert_eq!(packs_of(&mut agent).await, ["built-in", "manual", "platform"]);
}

#[tokio::test]
async fn such_targets_read_back_as_they_were_applied() {
    let server = TestServer::start().await;
    let targets = json!({
        "labels": ["macOS", "All Linux"],
        "labels_include_all": ["All Hosts"],
        "labels_exclude_any": ["Ubuntu Linux", "centos linux"]
    });
    server.rest.apply(&[query(), pack("p", targets)]).await;
    let spec = server.rest.get("spec/packs/p").await.json()["specs"].clone();
    let read = json!({
        "labels": ["All Linux", "macOS"],
        "labels_exclude_any": ["CentOS Linux", "Ubuntu Linux"],
        "labels_include_all": ["All Hosts"]
    });
    assert_eq!(spec["targets"], read);
    assert_eq!(server.rest.get("spec/packs").await.json()["specs"][0], spec);
    let again = server.rest.apply(&[json!({ "kind": "pack", "spec": spec })]).await;
    assert!(again.warnings.is_empty(), "{again:?}");
    assert_eq!(server.rest.get("spec/packs/p").await.json()["specs"], spec);

    let pack = server.rest.get("packs/1").await.json()["pack"].clone();
    let body = json!({ "name": "copy", "label_ids": pack["label_ids"], "label_ids_include_all": pack["label_ids_include_all"],
                       "label_ids_exclude_any": pack["label_ids_exclude_any"] });
    assert_eq!(server.rest.post("packs", &body).await.status, 200);
    assert_eq!(server.rest.get("spec/packs/copy").await.json()["specs"]["targets"], read);
    let twice = json!({ "label_ids_exclude_any": pack["label_ids"] });
    let refused = server.rest.send("PATCH", "packs/1", Some(&twice)).await;
    assert!(refused.status == 422 && refused.problems()[0].starts_with("label_ids_exclude_any: "), "{}", refused.text);
    let cleared = json!({ "label_ids_exclude_any": [], "label_ids_include_all": [] });
    assert_eq!(server.rest.send("PATCH", "packs/2", Some(&cleared)).await.status, 200);
    assert_eq!(
        server.rest.get("spec/packs/copy").await.json()["specs"]["targets"],
        json!({ "labels": ["All Linux", "macOS"] })
    );

    for (targets, wrong) in [
        (json!({ "labels_exclude_any": ["none"] }), "targets.labels_exclude_any[0]"),
        (json!({ "labels": ["macOS"], "labels_exclude_any": ["MACOS"] }), "targets.labels_exclude_any[0]"),
        (json!({ "labels_exclude_all": ["macOS"] }), "targets.labels_exclude_all"),
    ] {
        let answer = server.rest.try_apply(&[query(), self::pack("bad", targets)], false).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
        assert!(answer.problems()[0].contains(wrong), "{}", answer.text);
    }
    // A label that a pack excludes cannot go without a word: more hosts would run the pack.
    server.rest.apply(&[label("mine", "SELECT 1"), self::pack("p", json!({ "labels_exclude_any": ["mine"] }))]).await;
    let refused = server.rest.send("DELETE", "labels/mine", None).await;
    assert!(refused.status == 422 && refused.text.contains("\\\"p\\\""), "{}", refused.text);
}
