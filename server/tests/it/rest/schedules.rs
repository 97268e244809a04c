//! The document of the global schedule, and schedules in the documents of queries, as Fleet has them from 4.35 on.

use muster_api::rest::{Action, Applied};
use serde_json::{Value, json};

use crate::support::{Rest, TestServer};

fn query(name: &str, more: Value) -> Value {
    let mut spec = json!({ "name": name, "query": "SELECT 1" });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "apiVersion": "v1", "kind": "query", "spec": spec })
}

fn label(name: &str) -> Value {
    json!({ "kind": "label", "spec": { "name": name, "query": "SELECT 1" } })
}

fn schedule(queries: Value) -> Value {
    json!({ "kind": "global_schedule", "spec": { "queries": queries } })
}

async fn read(rest: &Rest) -> Value {
    rest.get("spec/global_schedule").await.json()["spec"]["queries"].take()
}

/// Names in the global schedule.
async fn names(rest: &Rest) -> Vec<String> {
    let name = |query: &Value| query["name"].as_str().or(query["query"].as_str()).unwrap().to_owned();
    read(rest).await.as_array().unwrap().iter().map(name).collect()
}

async fn packs(rest: &Rest) -> Vec<(String, Value)> {
    let packs = rest.get("spec/packs").await.json()["specs"].take();
    let shown = |pack: &Value| (pack["name"].as_str().unwrap().to_owned(), pack["targets"]["labels"].clone());
    packs.as_array().unwrap().iter().map(shown).collect()
}

fn outcomes(applied: &Applied) -> Vec<(&str, &str, Action)> {
    applied.changes.iter().map(|change| (change.kind.as_str(), change.name.as_str(), change.action)).collect()
}

#[tokio::test]
async fn a_query_with_an_interval_is_scheduled_on_all_hosts() {
    let server = TestServer::start().await;
    let mut agent = server.agent(1);
    assert!(agent.enroll().await.verdict.is_success());
    let full = query(
        "a",
        json!({
            "interval": 60, "platform": "linux", "min_osquery_version": "5.1.0", "logging": "differential_ignore_removals",
            "automations_enabled": true, "discard_data": false, "team": "", "labels_include_any": [],
        }),
    );
    let applied = server.rest.apply(&[full.clone(), query("b", json!({ "interval": 0 }))]).await;
    assert_eq!(
        outcomes(&applied),
        [("query", "a", Action::Created), ("global_schedule", "", Action::Changed), ("query", "b", Action::Created)]
    );
    assert_eq!(applied.warnings, []);
    let expected = json!([{
        "query": "a", "interval": 60, "platform": "linux", "version": "5.1.0", "removed": false, "description": "",
    }]);
    assert_eq!(read(&server.rest).await, expected);
    let config: Value = serde_json::from_slice(&agent.config().await.response.unwrap().body).unwrap();
    assert_eq!(config["packs"]["Global"]["queries"]["a"]["interval"], 60, "{config}");
    let again = server.rest.apply(std::slice::from_ref(&full)).await;
    assert_eq!(outcomes(&again), [("query", "a", Action::Unchanged)]);

    // Documents without the key leave the schedule alone; 0 takes the query out of it.
    server.rest.apply(&[query("a", json!({}))]).await;
    assert_eq!(names(&server.rest).await, ["a"]);
    server.rest.apply(&[query("b", json!({ "interval": 5 })), query("a", json!({ "interval": 0 }))]).await;
    assert_eq!(names(&server.rest).await, ["b"]);
    let snapshot = query("b", json!({ "interval": 5, "logging": "snapshot" }));
    assert_eq!(outcomes(&server.rest.apply(&[snapshot]).await), [("query", "b", Action::Unchanged)], "as by default");
    assert_eq!(read(&server.rest).await[0]["snapshot"], true);
}

#[tokio::test]
async fn a_schedule_that_is_narrowed_to_labels_is_a_pack_of_its_own() {
    let server = TestServer::start().await;
    let narrowed = |labels: Value| query("q", json!({ "interval": 60, "labels_include_any": labels }));
    let applied = server.rest.apply(&[label("x"), label("y"), narrowed(json!(["y", "x"]))]).await;
    assert!(outcomes(&applied).contains(&("pack", "Global (x, y)", Action::Created)), "{applied:?}");
    assert_eq!(packs(&server.rest).await, [("Global (x, y)".to_owned(), json!(["x", "y"]))]);
    assert_eq!(names(&server.rest).await, [""; 0]);
    let applied = server.rest.apply(&[narrowed(json!(["x"]))]).await;
    assert!(outcomes(&applied).contains(&("pack", "Global (x, y)", Action::Deleted)), "{applied:?}");
    assert_eq!(packs(&server.rest).await, [("Global (x)".to_owned(), json!(["x"]))]);
    for (key, of, pack) in [
        ("labels_exclude_any", json!(["Y", "x"]), "Global (none of x, y)"),
        ("labels_include_all", json!(["y", "x"]), "Global (all of x, y)"),
    ] {
        let document = query("q", json!({ "interval": 60, key: of }));
        let applied = server.rest.apply(std::slice::from_ref(&document)).await;
        assert_eq!(applied.warnings, [], "{key}");
        let found = server.rest.get("spec/packs").await.json()["specs"].take();
        let [found] = found.as_array().unwrap().as_slice() else { panic!("{found}") };
        assert_eq!((&found["name"], &found["targets"][key]), (&json!(pack), &json!(["x", "y"])), "{found}");
        assert_eq!((&found["targets"]["labels"], names(&server.rest).await.len()), (&json!([]), 0), "{found}");
        let again = server.rest.apply(&[document]).await;
        assert_eq!(outcomes(&again), [("query", "q", Action::Unchanged)]);
    }
    let all = json!({ "interval": 60, "labels_include_any": ["x"], "labels_exclude_any": ["X"] });
    let problems = server.rest.try_apply(&[query("q", all)], false).await.problems();
    assert!(problems[0].starts_with("documents[0].spec.labels_exclude_any: a label stands in two"), "{problems:?}");
    let named_alike = query("other", json!({ "interval": 60, "labels_include_any": ["all of x"] }));
    let all_of = query("q", json!({ "interval": 60, "labels_include_all": ["x"] }));
    let problems = server.rest.try_apply(&[label("all of x"), named_alike, all_of], false).await.problems();
    assert!(problems.len() == 1 && problems[0].contains("\"Global (all of x)\""), "{problems:?}");
    let problems = server.rest.try_apply(&[narrowed(json!(["x", "none"]))], false).await.problems();
    assert!(problems[0].starts_with("documents[0].spec.labels_include_any[1]: there is no label"), "{problems:?}");
    let vitals = json!({ "kind": "label", "spec": { "name": "v", "label_membership_type": "host_vitals" } });
    let applied = server.rest.apply(&[vitals, narrowed(json!(["v"]))]).await;
    assert_eq!(applied.warnings.len(), 2, "{applied:?}");
    assert_eq!(names(&server.rest).await, [""; 0], "never on all hosts instead");
    let vitals = json!({ "kind": "label", "spec": { "name": "v", "label_membership_type": "host_vitals" } });
    let without = |name: &str| query(name, json!({ "interval": 60, "labels_exclude_any": ["v", "x"] }));
    let documents: Vec<Value> = std::iter::once(vitals).chain(["a", "b", "c", "d", "e", "f"].map(without)).collect();
    let applied = server.rest.apply(&documents).await;
    assert_eq!((applied.warnings.len(), packs(&server.rest).await.len()), (2, 0), "{applied:?}");
    let reason = &applied.warnings[1].reason;
    assert!(reason.starts_with(r#"skipped the schedule of "a", "b", "c", "d", "e" and 1 more: "#), "{reason}");
}

#[tokio::test]
async fn what_fleet_does_with_results_is_said_once() {
    let server = TestServer::start().await;
    let quiet = |name: &str, discard: bool| {
        query(name, json!({ "interval": 60, "automations_enabled": false, "discard_data": discard }))
    };
    let applied = server.rest.apply(&[quiet("a", false), quiet("b", false), quiet("c", false)]).await;
    assert_eq!(applied.warnings.len(), 1, "{applied:?}");
    assert!(applied.warnings[0].reason.ends_with("(and at 2 other places)"), "{applied:?}");
    let applied = server.rest.apply(&[quiet("a", true)]).await;
    assert!(applied.warnings[0].reason.starts_with(r#"skipped the schedule of "a": Fleet keeps"#), "{applied:?}");
    assert_eq!(names(&server.rest).await, ["b", "c"]);
    let applied = server.rest.apply(&[query("with: colon", json!({ "interval": 60 }))]).await;
    assert_eq!(applied.warnings[0].name, "documents[0].spec.name");
    assert_eq!(names(&server.rest).await, ["b", "c", "with_ colon"]);
    let of_team = query("a", json!({ "team": "Servers", "query": "SELECT 2" }));
    let applied = server.rest.apply(&[of_team]).await;
    assert_eq!(outcomes(&applied), [("query", "a", Action::Ignored)]);
    let applied = server.rest.apply(&[query("a", json!({ "platform": "linux", "labels_include_any": ["x"] }))]).await;
    assert_eq!(applied.warnings.len(), 2, "{applied:?}");
    for (wrong, path) in [
        (json!({ "interval": 604_801 }), "interval"),
        (json!({ "interval": "60" }), "interval"),
        (json!({ "interval": 60, "logging": "all" }), "logging"),
        (json!({ "interval": 60, "platform": "macos" }), "platform"),
        (json!({ "interval": 60, "min_osquery_version": "new" }), "min_osquery_version"),
        (json!({ "intervall": 60 }), "intervall"),
    ] {
        let problems = server.rest.try_apply(&[query("a", wrong)], false).await.problems();
        assert!(problems.len() == 1 && problems[0].starts_with(&format!("documents[0].spec.{path}: ")), "{problems:?}");
    }
}

#[tokio::test]
async fn the_global_schedule_has_a_document() {
    let server = TestServer::start().await;
    let entry = json!({
        "query": "a", "name": "often", "interval": 10, "platform": "linux", "version": "5.1.0", "shard": 50, "removed": true,
        "denylist": false, "description": "why",
    });
    let documents =
        [schedule(json!([entry, { "query": "b", "interval": 60 }])), query("a", json!({})), query("b", json!({}))];
    let applied = server.rest.apply(&documents).await;
    assert_eq!(outcomes(&applied)[0], ("global_schedule", "", Action::Changed));
    assert_eq!(names(&server.rest).await, ["often", "b"]);
    let back = server.rest.get("spec/global_schedule").await.json();
    assert_eq!(server.rest.post("spec/global_schedule", &back).await.json(), json!({}));
    let again = server.rest.apply(&documents).await;
    assert!(again.changes.iter().all(|change| change.action == Action::Unchanged), "{again:?}");
    // It replaces the schedule as a whole.
    let applied = server.rest.apply(&[schedule(json!([{ "query": "b", "interval": 90 }]))]).await;
    let fields: Vec<&str> = applied.changes[0].differences.iter().map(|found| found.field.as_str()).collect();
    assert!(fields.contains(&"queries.b.interval") && fields.contains(&"queries.often.query"), "{applied:?}");
    assert_eq!(names(&server.rest).await, ["b"]);
    for (wrong, path) in [
        (json!([{ "query": "none", "interval": 5 }]), "queries[0].query"),
        (json!([{ "query": "a", "interval": 0 }]), "queries[0].interval"),
        (json!([{ "query": "a", "interval": 5 }, { "query": "a", "interval": 6 }]), "queries[1].query"),
        (json!([{ "query": "a", "interval": 5, "pack": 1 }]), "queries[0].pack"),
        (json!({}), "queries"),
    ] {
        let problems = server.rest.try_apply(&[schedule(wrong)], false).await.problems();
        assert!(problems.len() == 1 && problems[0].starts_with(&format!("documents[0].spec.{path}: ")), "{problems:?}");
    }
    let twice = [schedule(json!([])), schedule(json!([]))];
    assert!(server.rest.try_apply(&twice, false).await.problems()[0].starts_with("documents[1].kind: "));
    // Two documents that say different things of one schedule.
    let own = |interval: u32| query("b", json!({ "interval": interval, "logging": "differential" }));
    let whole = schedule(json!([{ "query": "b", "interval": 90 }]));
    let problems = server.rest.try_apply(&[whole.clone(), own(60)], false).await.problems();
    assert!(problems[0].starts_with("documents[1].spec.interval: "), "{problems:?}");
    assert_eq!(server.rest.try_apply(&[whole, own(90)], false).await.status, 200);
}
