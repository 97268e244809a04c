use serde_json::{Value, json};

use super::{GuardFile, RELOADED, enforce, rule};
use crate::checkin::schema;
use crate::live::hosts;
use crate::support::{Rest, TestServer, eventually};

const CURL: &str = "SELECT result FROM curl WHERE url = 'http://192.0.2.1/'";

fn pack(name: &str, excluded: &[&str]) -> Value {
    let targets = json!({ "labels": ["All Hosts"], "labels_exclude_any": excluded });
    let queries = json!([{ "query": "curls", "interval": 60 }]);
    json!({ "kind": "pack", "spec": { "name": name, "targets": targets, "queries": queries } })
}

async fn ask(user: &Rest, hosts: &[&str]) -> u16 {
    user.post("live_queries", &json!({ "query": CURL, "targets": { "hosts": hosts } })).await.status
}

#[tokio::test]
async fn rules_are_for_their_roles_and_for_hosts_with_their_labels() {
    let keys = "deny: true, roles: [maintainer], labels: [production]";
    let file = GuardFile::new(&rule("enforce", keys));
    let server = TestServer::with(|config| file.set(config)).await;
    let agents = hosts(&server, 2).await;
    let names: Vec<&str> = agents.iter().map(|agent| agent.agent().identity().uuid.as_str()).collect();
    let label = json!({ "name": "production", "label_membership_type": "manual", "hosts": [names[0]] });
    let query = json!({ "kind": "query", "spec": { "name": "curls", "query": CURL } });
    server.rest.apply(&[json!({ "kind": "label", "spec": label }), query]).await;
    let maintainer = server.user("maintainer");
    assert_eq!(ask(&maintainer, &[names[1]]).await, 200);
    assert_eq!(ask(&maintainer, &[names[0]]).await, 422);
    assert_eq!(ask(&maintainer, &names).await, 422);
    assert_eq!(ask(&server.rest, &names).await, 200, "admins may");

    // Hosts of a pack may have any label that it does not exclude.
    let refused = maintainer.try_apply(&[pack("everywhere", &[])], false).await;
    assert!(refused.problems()[0].contains("query \"curls\" of pack \"everywhere\""), "{}", refused.text);
    assert_eq!(maintainer.try_apply(&[pack("elsewhere", &["production"])], false).await.status, 200);
    assert_eq!(maintainer.try_apply(&[pack("elsewhere", &[])], false).await.status, 422, "for hosts with more labels");
    // An admin may let it run everywhere.
    assert_eq!(server.rest.try_apply(&[pack("everywhere", &[])], false).await.status, 200);
    assert_eq!(maintainer.try_apply(&[pack("everywhere", &[])], false).await.status, 200, "nothing is new");
    // A saved query alone is for nobody yet. A dynamic label asks every host.
    let label = json!({ "kind": "label", "spec": { "name": "asks", "query": CURL } });
    assert_eq!(maintainer.try_apply(std::slice::from_ref(&label), false).await.status, 422);
    assert_eq!(server.rest.try_apply(&[label], false).await.status, 200);
}

#[tokio::test]
async fn nobody_but_an_admin_takes_a_label_away_from_its_rules() {
    let keys = "deny: true, roles: [maintainer], labels: [production]";
    let file = GuardFile::new(&rule("enforce", keys));
    let server = TestServer::with(|config| file.set(config)).await;
    let agents = hosts(&server, 2).await;
    let names: Vec<&str> = agents.iter().map(|agent| agent.agent().identity().uuid.as_str()).collect();
    let maintainer = server.user("maintainer");
    assert_eq!(ask(&maintainer, &[names[0]]).await, 422, "a rule whose label does not exist is about all hosts");
    let label = |hosts: &[&str]| {
        let spec = json!({ "name": "production", "label_membership_type": "manual", "hosts": hosts });
        [json!({ "kind": "label", "spec": spec })]
    };
    assert_eq!(maintainer.try_apply(&label(&names[..1]), false).await.status, 200, "a new label takes no rule away");
    assert_eq!(ask(&maintainer, &[names[0]]).await, 422);
    assert_eq!(ask(&maintainer, &[names[1]]).await, 200);
    let refused = maintainer.try_apply(&label(&[]), false).await;
    assert!(refused.problems()[0].contains("only administrators rename or delete it"), "{}", refused.text);
    let listed: Value = server.rest.read("labels").await;
    let all = listed["labels"].as_array().unwrap();
    let id = all.iter().find(|label| label["name"] == "production").unwrap()["id"].as_i64().unwrap();
    let renamed = maintainer.send("PATCH", &format!("labels/{id}"), Some(&json!({ "name": "other" }))).await;
    assert_eq!(renamed.status, 422, "{}", renamed.text);
    let deleted = maintainer.send("DELETE", "labels/production", None).await;
    assert_eq!(deleted.status, 422, "{}", deleted.text);
    assert_eq!(ask(&maintainer, &[names[0]]).await, 422, "and so the rule holds");
    assert_eq!(maintainer.try_apply(&label(&names), false).await.status, 200, "more hosts are in it");
    assert_eq!(server.rest.try_apply(&label(&[]), false).await.status, 200, "an admin may");
}

#[tokio::test]
async fn what_an_admin_schedules_for_some_hosts_is_no_licence_for_others() {
    let file = GuardFile::new(&rule("enforce", "deny: true, roles: [maintainer]"));
    let server = TestServer::with(|config| file.set(config)).await;
    let query = json!({ "kind": "query", "spec": { "name": "curls", "query": CURL } });
    let canary =
        json!({ "kind": "label", "spec": { "name": "canary", "label_membership_type": "manual", "hosts": [] } });
    let of = |label: &str, interval: u32| {
        let queries = json!([{ "query": "curls", "interval": interval }]);
        let spec = json!({ "name": "first", "targets": { "labels": [label] }, "queries": queries });
        [json!({ "kind": "pack", "spec": spec })]
    };
    server.rest.apply(&[query, canary]).await;
    server.rest.apply(&of("canary", 60)).await;
    let maintainer = server.user("maintainer");
    assert_eq!(maintainer.try_apply(&of("canary", 600), false).await.status, 200, "less often");
    for (changed, what) in [(of("All Hosts", 600), "for more hosts"), (of("canary", 60), "more often")] {
        assert_eq!(maintainer.try_apply(&changed, false).await.status, 422, "{what}");
    }
    assert_eq!(maintainer.try_apply(&[pack("second", &[])], false).await.status, 422, "in another pack");
}

#[tokio::test]
async fn a_rule_for_one_use_lets_the_query_be_saved_and_refuses_that_use() {
    let file = GuardFile::new(&rule("enforce", "deny: true, kinds: [live]"));
    let server = TestServer::with(|config| file.set(config)).await;
    hosts(&server, 1).await;
    let query = json!({ "kind": "query", "spec": { "name": "curls", "query": CURL } });
    let applied = server.rest.try_apply(&[query, pack("p", &[])], false).await;
    assert_eq!(applied.status, 200, "{}", applied.text);
    assert!(applied.text.contains("the table guard warns"), "{}", applied.text);
    let ask = json!({ "query_name": "curls", "targets": { "all": true } });
    let refused = server.rest.post("live_queries", &ask).await;
    assert_eq!(refused.status, 422);
    assert!(refused.problems()[0].starts_with("query_name: the table guard refuses"), "{}", refused.text);
}

#[tokio::test]
async fn views_hide_nothing() {
    let file = GuardFile::new(&rule("enforce", "deny: true, kinds: [live]"));
    let server = TestServer::with(|config| file.set(config)).await;
    hosts(&server, 1).await;
    let options = json!({ "config": { "views": { "harmless": CURL } } });
    server.rest.apply(&[json!({ "kind": "options", "spec": options })]).await;
    let ask = json!({ "query": "SELECT * FROM Harmless", "targets": { "all": true } });
    assert_eq!(server.rest.post("live_queries", &ask).await.status, 422);
}

#[tokio::test]
async fn tables_nobody_has_reported_are_refused_where_the_guard_enforces() {
    let file = GuardFile::new("mode: enforce\n");
    let server = TestServer::with(|config| {
        config.osquery.schema_update_interval = std::time::Duration::from_secs(7 * 24 * 3600);
        file.set(config);
    })
    .await;
    let query = |name: &str, sql: &str| json!({ "name": name, "query": sql });
    let refused = server.rest.post("queries", &query("early", "SELECT uid FROM users")).await;
    assert!(refused.problems()[0].contains("no agent has reported"), "{}", refused.text);
    let mut agents = schema::settled(&server, 4, "5.23.1").await;
    assert!(schema::asked(&mut agents).await >= 3);
    server.run_tasks().await;
    server.clock.advance(std::time::Duration::from_secs(60));
    let taken = server.rest.post("queries", &query("late", "SELECT uid FROM users")).await;
    assert_eq!(taken.status, 200, "{}", taken.text);
    assert_eq!(server.rest.post("queries", &query("none", "SELECT * FROM nobody_has")).await.status, 422);
}

#[tokio::test]
async fn a_wrong_guard_stops_the_start_and_changes_nothing_later() {
    let file = GuardFile::new("mode: warn\nrules:\n  - {name: a, reason: b, tables: [curl]}\n");
    let mut server = TestServer::start().await;
    server.stop().await;
    server.change(|config| file.set(config));
    // The address may stay taken for a while.
    let refused = eventually("the start is refused", RELOADED, async || {
        let error = format!("{:#}", server.try_start().await.unwrap_err());
        error.contains("server.guard").then_some(error)
    });
    let error = refused.await;
    assert!(error.contains("guard.yml: line 3, column 5"), "{error}");
    let problems = muster::check_files(server.config());
    assert!(problems.iter().any(|problem| problem.contains("guard.yml: line 3, column 5")), "{problems:?}");

    file.write(&rule("enforce", "deny: true"));
    eventually("the server starts", RELOADED, async || server.try_start().await.ok()).await;
    let query = json!({ "name": "a", "query": CURL });
    assert_eq!(server.rest.post("queries", &query).await.status, 422);
    file.write("mode: off\n");
    server.reload();
    server.run_tasks().await;
    assert_eq!(server.rest.post("queries", &query).await.status, 422);
    file.write(&rule("warn", "deny: true"));
    server.reload();
    let is_taken = async || (server.rest.post("queries", &query).await.status == 200).then_some(());
    eventually("the server has read the guard", RELOADED, is_taken).await;
    enforce(&server, &file, &rule("enforce", "approve: true"), CURL).await;
}
