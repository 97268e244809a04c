//! Rollouts on real services, with hosts that run what they are served and report what it costs.

mod fleet;
mod interrupted;

use std::collections::BTreeSet;

use muster_api::rest::{Rollout, RolloutState};
use serde_json::{Value, json};

use self::fleet::{CHEAP, CHEAPER, HEAVY, SimulatedFleet, count, rollout};
use crate::config::{self, Config};
use crate::fleet::schedule::Cohort;

/// The hosts of a cohort, by ids that were counted apart from how the server does it.
fn cohort(fleet: &SimulatedFleet, rollout: &Rollout, percent: f64) -> BTreeSet<i64> {
    let cohort = Cohort::of_percent(percent);
    let ids = fleet.hosts.iter().map(|host| host.id);
    ids.filter(|id| cohort.has(rollout.id, *id, &crate::fleet::hosts::Assignment::default())).collect()
}

#[actix_web::test]
async fn a_heavy_query_is_stopped_in_the_first_cohort_and_no_other_host_ever_has_it() {
    let mut fleet = SimulatedFleet::start(count(200, 10_000)).await;
    let before = fleet.configs().await;
    fleet.world.apply(json!([rollout("heavy", HEAVY, &[3.0, 10.0, 50.0, 100.0])])).await;
    let begun = fleet.status("heavy").await;
    let first = cohort(&fleet, &begun, 3.0);
    assert!(!first.is_empty());
    let mut periods = 0;
    while fleet.status("heavy").await.state == RolloutState::Running {
        periods += 1;
        assert!(periods <= 2, "two sampling periods are enough");
        fleet.period().await;
    }
    let stopped = fleet.status("heavy").await;
    assert_eq!((stopped.state, stopped.stage), (RolloutState::Reverted, 0));
    let last = stopped.decisions.last().unwrap();
    assert_eq!((last.kind.as_str(), last.actor.as_str()), ("halted", ""));
    assert!(last.reason.contains("cpu_per_run"), "{}", last.reason);
    let gate = last.gates.iter().find(|gate| gate.gate == "cpu_per_run").unwrap();
    assert!(gate.is_tripped && gate.cohort.unwrap() > 4_000.0 && gate.others.unwrap() < 100.0, "{gate:?}");
    assert_eq!(last.hosts.unwrap().cohort, first.len() as i64);
    assert_eq!(fleet.configs().await, before, "every host is served what it was served before, byte for byte");
    assert_eq!(fleet.served(HEAVY), first, "those that were served it are those of the first cohort");
    assert!(fleet.world.activities().await.contains(&"halted_rollout".to_owned()));
}

#[actix_web::test]
async fn a_good_change_reaches_all_hosts_unaided() {
    let mut fleet = SimulatedFleet::start(count(200, 10_000)).await;
    fleet.world.apply(json!([rollout("cheaper", CHEAPER, &[3.0, 10.0, 50.0, 100.0])])).await;
    let (mut stage, mut periods) = (0, 0);
    loop {
        let status = fleet.status("cheaper").await;
        if status.state != RolloutState::Running {
            break;
        }
        assert!(status.stage == stage || status.stage == stage + 1);
        stage = status.stage;
        let percent = [3.0, 10.0, 50.0, 100.0][usize::try_from(stage).unwrap()];
        fleet.period().await;
        assert_eq!(fleet.served(CHEAPER), cohort(&fleet, &status, percent));
        periods += 1;
        assert!(periods < 20, "{status:?}");
    }
    let status = fleet.status("cheaper").await;
    assert_eq!((status.state, status.stage), (RolloutState::Done, 3));
    let kinds: Vec<&str> = status.decisions.iter().map(|decision| decision.kind.as_str()).collect();
    assert_eq!(kinds, ["began", "advanced", "advanced", "advanced", "done"]);
    let plan = fleet.world.app.fleet.schedule.plan();
    assert!(plan.rollouts.is_empty());
    assert_eq!(plan.packs[0].queries[0].sql, CHEAPER, "the tables have it");
    let after = fleet.configs().await;
    fleet.period().await;
    assert_eq!(fleet.configs().await, after);
    // Applied again, as from a folder of documents, it is as it was.
    let document = rollout("cheaper", CHEAPER, &[3.0, 10.0, 50.0, 100.0]);
    let again = fleet.world.post("spec/apply", json!({ "documents": [document] })).await.expect(200);
    assert_eq!(again["changes"][0]["action"], "unchanged");
}

/// Settings with a change freeze, from half past three until ten in the evening.
fn frozen(config: &mut Config) {
    let window = r#"[{"name": "evening", "from": "2020-09-13 15:30", "to": "2020-09-13 22:00"}]"#;
    let flags = vec![("freeze_windows".to_owned(), window.to_owned())];
    config.freeze = config::load(&config::Sources { flags, ..Default::default() }).unwrap().config.freeze;
}

#[actix_web::test]
async fn a_change_freeze_keeps_a_good_rollout_in_its_stage_and_lets_a_bad_one_be_taken_back() {
    let mut fleet = SimulatedFleet::with(30, frozen).await;
    fleet.world.apply(json!([rollout("good", CHEAPER, &[30.0, 100.0])])).await;
    for _ in 0..5 {
        fleet.period().await;
    }
    let status = fleet.status("good").await;
    assert_eq!((status.state, status.stage), (RolloutState::Running, 0));
    assert_eq!(status.reason, "waits for the end of the change freeze \"evening\", at 2020-09-13 22:00 UTC");
    fleet.world.post("rollouts/good/promote", json!({})).await.expect(403);
    for _ in 0..6 {
        fleet.period().await;
    }
    assert_eq!(fleet.status("good").await.state, RolloutState::Done);

    let mut fleet = SimulatedFleet::with(30, frozen).await;
    fleet.world.apply(json!([rollout("bad", HEAVY, &[30.0, 100.0])])).await;
    fleet.period().await;
    fleet.period().await;
    assert_eq!(fleet.status("bad").await.state, RolloutState::Reverted);
}

#[actix_web::test]
async fn operators_pause_promote_and_abort() {
    let mut fleet = SimulatedFleet::start(60).await;
    let before = fleet.configs().await;
    fleet.world.apply(json!([rollout("by hand", CHEAPER, &[20.0, 100.0])])).await;
    let post = async |fleet: &SimulatedFleet, step: &str| {
        fleet.world.post(&format!("rollouts/by%20hand/{step}"), json!({})).await.expect(200)
    };
    assert_eq!(post(&fleet, "pause").await["rollout"]["state"], "paused");
    for _ in 0..3 {
        fleet.period().await;
    }
    let paused = fleet.status("by hand").await;
    assert_eq!((paused.state, paused.stage, paused.reason.as_str()), (RolloutState::Paused, 0, "is paused"));
    assert_eq!(post(&fleet, "resume").await["rollout"]["state"], "running");
    assert_eq!(post(&fleet, "promote").await["rollout"]["stage"], 1);
    assert!(fleet.configs().await.iter().all(|config| config.contains(CHEAPER)));
    assert_eq!(post(&fleet, "abort").await["rollout"]["state"], "reverted");
    assert_eq!(post(&fleet, "abort").await["rollout"]["state"], "reverted");
    assert_eq!(fleet.configs().await, before);
    let (_, reason) = fleet.world.post("rollouts/by%20hand/promote", json!({})).await.problem(422);
    assert_eq!(reason, "is over: it is reverted");
    let status = fleet.status("by hand").await;
    let kinds: Vec<(&str, &str)> =
        status.decisions.iter().map(|decision| (decision.kind.as_str(), decision.actor.as_str())).collect();
    let by_admin = |kind| (kind, "Admin");
    assert_eq!(kinds, ["began", "paused", "resumed", "advanced", "aborted"].map(by_admin));
    fleet.world.get("rollouts/nothing").await.expect(404);
}

#[actix_web::test]
async fn what_a_rollout_changes_is_left_alone_until_it_is_over() {
    let fleet = SimulatedFleet::start(10).await;
    let world = &fleet.world;
    world.apply(json!([rollout("first", CHEAPER, &[10.0, 100.0])])).await;
    let query = |sql: &str| json!({ "apiVersion": "v1", "kind": "query", "spec": { "name": "work", "query": sql } });
    let (path, reason) = world.post("spec/apply", json!({ "documents": [query("SELECT 7")] })).await.problem(422);
    assert_eq!(path, "base");
    assert!(reason.contains("\"first\"") && reason.contains("fleetctl rollout abort"), "{reason}");
    let id = world.get("packs").await.expect(200)["packs"][0]["id"].clone();
    world.delete(&format!("packs/id/{id}")).await.expect(422);
    // What has nothing to do with it can be changed.
    let other = json!({ "apiVersion": "v1", "kind": "query", "spec": { "name": "other", "query": "SELECT 1" } });
    world.apply(json!([other])).await;
    let second = rollout("second", HEAVY, &[100.0]);
    let (path, reason) = world.post("spec/apply", json!({ "documents": [second] })).await.problem(422);
    assert_eq!(path, "documents[0].spec.documents");
    assert!(reason.contains("\"first\""), "{reason}");
    world.post("rollouts/first/abort", json!({})).await.expect(200);
    world.apply(json!([query("SELECT 7")])).await;
}

#[actix_web::test]
async fn a_label_of_a_stage_stays_and_a_stage_without_hosts_lasts_its_time() {
    let mut fleet = SimulatedFleet::start(10).await;
    let label = json!({ "kind": "label", "spec": { "name": "first", "label_membership_type": "manual", "hosts": [] } });
    fleet.world.apply(json!([label])).await;
    let mut document = rollout("staged", CHEAPER, &[100.0]);
    document["spec"]["cohorts"] = json!([{ "label": "first" }, { "percent": 100 }]);
    fleet.world.apply(json!([document])).await;
    fleet.world.app.fleet.rollouts.keep().await.unwrap();
    let status = fleet.status("staged").await;
    assert_eq!((status.stage, status.hosts.unwrap().cohort), (0, 0));
    let labels = fleet.world.get("labels").await.expect(200)["labels"].clone();
    let first = labels.as_array().unwrap().iter().find(|label| label["name"] == "first").unwrap()["id"].clone();
    let refused = fleet.world.delete(&format!("labels/id/{first}")).await.expect(422);
    assert!(refused["errors"][0]["reason"].as_str().unwrap().contains("\"staged\""), "{refused}");
    fleet.period().await;
    assert_eq!(fleet.status("staged").await.stage, 0, "it lasts 90 minutes");
    fleet.period().await;
    assert_eq!(fleet.status("staged").await.stage, 1);
}

#[actix_web::test]
async fn a_rollout_that_cannot_be_made_says_why_and_changes_nothing() {
    let fleet = SimulatedFleet::start(3).await;
    let before = fleet.configs().await;
    let refused = async |change: &dyn Fn(&mut Value)| {
        let mut document = rollout("wrong", CHEAPER, &[1.0, 100.0]);
        change(&mut document["spec"]);
        fleet.world.post("spec/apply", json!({ "documents": [document] })).await.problem(422).0
    };
    assert_eq!(refused(&|spec| spec["name"] = "".into()).await, "documents[0].spec.name");
    assert_eq!(refused(&|spec| spec["cohorts"] = json!([{ "percent": 5 }])).await, "documents[0].spec.cohorts");
    assert_eq!(refused(&|spec| spec["bake"] = "soon".into()).await, "documents[0].spec.bake");
    assert_eq!(refused(&|spec| spec["gates"] = json!({ "cpu": {} })).await, "documents[0].spec.gates.cpu");
    let documents = "documents[0].spec.documents";
    assert_eq!(refused(&|spec| spec["documents"][0]["spec"]["query"] = CHEAP.into()).await, documents);
    assert_eq!(
        refused(&|spec| spec["documents"][0] =
            json!({ "kind": "pack", "spec": { "name": "p", "queries": [{ "query": "none", "interval": 1 }] } }))
        .await,
        format!("{documents}[0].spec.queries[0].query")
    );
    let label = json!({ "kind": "label", "spec": { "name": "l", "query": "SELECT 1" } });
    assert_eq!(refused(&|spec| spec["documents"][0] = label.clone()).await, format!("{documents}[0].kind"));
    assert_eq!(fleet.configs().await, before);
    assert_eq!(fleet.world.get("rollouts").await.expect(200)["rollouts"], json!([]));
    // A dry run tells of it and begins nothing.
    let body = json!({ "documents": [rollout("dry", CHEAPER, &[100.0])] });
    let dry = fleet.world.post("spec/apply?dry_run=true", body).await.expect(200);
    assert_eq!(dry["changes"][0], json!({ "kind": "rollout", "name": "dry", "action": "created" }));
    assert_eq!(fleet.configs().await, before);
}

#[actix_web::test]
async fn a_document_with_a_rollout_inside_reaches_hosts_in_stages_and_can_be_applied_again() {
    let mut fleet = SimulatedFleet::start(40).await;
    let document = |sql: &str, rollout: Value| {
        let spec = json!({ "name": "work", "query": sql, "rollout": rollout });
        json!({ "apiVersion": "v1", "kind": "query", "spec": spec })
    };
    let stages = json!({ "bake": "90m", "cohorts": [{ "percent": 40 }, { "percent": 100 }] });
    let apply = async |fleet: &SimulatedFleet, document: &Value| {
        let body = json!({ "documents": [document] });
        fleet.world.post("spec/apply", body).await.expect(200)["changes"][0].clone()
    };
    let new = document(CHEAPER, stages.clone());
    let begun = apply(&fleet, &new).await;
    assert_eq!((&begun["kind"], &begun["action"]), (&"rollout".into(), &"created".into()));
    let name = begun["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("query work "), "{name}");
    assert_eq!(apply(&fleet, &new).await["action"], "unchanged", "it is under way");
    for _ in 0..6 {
        fleet.period().await;
    }
    assert_eq!(fleet.status(&name).await.state, RolloutState::Done);
    assert_eq!(apply(&fleet, &new).await["action"], "unchanged", "it is as the document says");
    // Somebody changes it; the document brings it back, in stages again.
    fleet
        .world
        .apply(json!([{ "apiVersion": "v1", "kind": "query", "spec": { "name": "work", "query": CHEAP } }]))
        .await;
    assert_eq!(apply(&fleet, &new).await["action"], "created");
    fleet.world.post(&format!("rollouts/{}/abort", name.replace(' ', "%20")), json!({})).await.expect(200);
    // One that was reverted does not begin again.
    let body = json!({ "documents": [new] });
    let again = fleet.world.post("spec/apply", body).await.expect(200);
    assert_eq!(again["changes"][0]["action"], "unchanged");
    assert!(again["warnings"][0]["reason"].as_str().unwrap().contains("reverted"), "{again}");
    // Mistakes are named where they stand.
    let refused =
        async |document: Value| fleet.world.post("spec/apply", json!({ "documents": [document] })).await.problem(422).0;
    assert_eq!(refused(document(HEAVY, json!({ "bake": "soon" }))).await, "documents[0].spec.rollout.bake");
    assert_eq!(refused(document(HEAVY, json!({ "name": "x" }))).await, "documents[0].spec.rollout.name");
    assert_eq!(refused(document("", json!({}))).await, "documents[0].spec.query");
    // A rollout names what it changes: nothing of it is deleted with what no document names.
    let pack = json!({ "apiVersion": "v1", "kind": "pack", "spec": {
        "name": "base", "targets": { "labels": ["All Hosts"] }, "queries": [{ "query": "work", "interval": 60 }],
    } });
    let body = json!({ "documents": [document(HEAVY, json!({})), pack], "delete_unnamed": true });
    let applied = fleet.world.post("spec/apply", body).await.expect(200);
    let deleted: Vec<&Value> =
        applied["changes"].as_array().unwrap().iter().filter(|change| change["action"] == "deleted").collect();
    assert_eq!(deleted, Vec::<&Value>::new());
}

#[actix_web::test]
async fn the_table_guard_looks_at_what_a_rollout_will_bring_when_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    let guard = folder.path().join("guard.yml");
    std::fs::write(
        &guard,
        "mode: enforce\nrules:\n  - {name: requests, reason: sends data, tables: [curl], deny: true}\n",
    )
    .unwrap();
    let fleet = SimulatedFleet::with(3, |config| config.server.guard = Some(guard)).await;
    let before = fleet.configs().await;
    let refused = async |document: Value| {
        let body = json!({ "documents": [{ "apiVersion": "v1", "kind": "rollout", "spec": {
            "name": "r", "documents": [document],
        } }] });
        let answer = fleet.world.post("spec/apply", body).await.expect(422);
        assert!(answer["errors"].to_string().contains("requests"), "{answer}");
        let errors = answer["errors"].as_array().unwrap().iter();
        errors.map(|error| error["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let sql = "SELECT * FROM curl WHERE url = 'http://example.com'";
    let at = "documents[0].spec.documents[0].spec";
    let paths = refused(json!({ "kind": "query", "spec": { "name": "work", "query": sql } })).await;
    assert!(paths.contains(&format!("{at}.query")), "{paths:?}");
    let decorators = json!({ "config": { "decorators": { "load": [sql] } } });
    let paths = refused(json!({ "kind": "options", "spec": decorators })).await;
    assert!(paths.iter().any(|path| path.starts_with(&format!("{at}.config.decorators"))), "{paths:?}");
    assert_eq!(fleet.configs().await, before);
    assert_eq!(fleet.world.get("rollouts").await.expect(200)["rollouts"], json!([]));
    fleet.world.apply(json!([rollout("harmless", CHEAPER, &[100.0])])).await;
}

#[actix_web::test]
async fn reverted_options_are_undone_on_hosts_that_had_them() {
    let fleet = SimulatedFleet::start(40).await;
    let before = fleet.configs().await;
    let options = json!({ "config": { "options": { "pack_delimiter": "/", "logger_min_status": 2 } } });
    let document = json!({
        "apiVersion": "v1", "kind": "rollout",
        "spec": {
            "name": "options", "cohorts": [{ "percent": 50 }, { "percent": 100 }],
            "documents": [{ "kind": "options", "spec": options }],
        },
    });
    fleet.world.apply(json!([document])).await;
    let during = fleet.configs().await;
    let is_in: Vec<bool> = during.iter().zip(&before).map(|(during, before)| during != before).collect();
    assert!(is_in.contains(&true) && is_in.contains(&false));
    fleet.world.post("rollouts/options/abort", json!({})).await.expect(200);
    for ((after, before), is_in) in fleet.configs().await.iter().zip(&before).zip(is_in) {
        let (after, before): (Value, Value) =
            (serde_json::from_str(after).unwrap(), serde_json::from_str(before).unwrap());
        let mut expected = before;
        if is_in {
            expected["options"]["logger_min_status"] = json!(0);
        }
        assert_eq!(after, expected);
    }
}
