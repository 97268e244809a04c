//! Plans: what is applied is what was planned, or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_compat::agent::{Identity, Platform};
use chrono::TimeDelta;
use muster_api::rest::{Action, Applied, ApplyPlan, ApplyPlanEnvelope, PlanList, ShownPlanEnvelope};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::support::{Answer, ENROLL_SECRET, Rest, TestServer, count};

fn doc(kind: &str, spec: Value) -> Value {
    json!({ "kind": kind, "spec": spec })
}

fn query(name: &str, sql: &str) -> Value {
    doc("query", json!({ "name": name, "query": sql }))
}

async fn try_plan(rest: &Rest, documents: &[Value]) -> Answer {
    rest.post("spec/plan", &json!({ "documents": documents })).await
}

async fn plan(server: &TestServer, documents: &[Value]) -> ApplyPlan {
    try_plan(&server.rest, documents).await.read::<ApplyPlanEnvelope>().plan
}

async fn apply_plan(rest: &Rest, id: i64) -> Answer {
    rest.post("spec/apply", &json!({ "documents": [], "plan": id })).await
}

#[tokio::test]
async fn a_plan_is_applied_once_and_changes_what_it_said() {
    let server = TestServer::start().await;
    server.rest.apply(&[query("q", "SELECT 1")]).await;
    let documents = [query("q", "SELECT 2"), query("r", "SELECT 1")];
    let plan = plan(&server, &documents).await;
    assert!(plan.applied.dry_run && plan.expires_at - plan.created_at == TimeDelta::hours(24));
    assert_eq!(server.rest.get("spec/queries/r").await.status, 404, "nothing is changed yet");
    let applied: Applied = apply_plan(&server.rest, plan.id).await.read();
    assert!(!applied.dry_run);
    assert_eq!(applied.changes, plan.applied.changes);
    assert_eq!(server.rest.get("spec/queries/r").await.status, 200);
    let details = server
        .database()
        .text("SELECT details FROM activities WHERE kind = 'applied_documents' ORDER BY id DESC LIMIT 1");
    assert_eq!(serde_json::from_str::<Value>(&details).unwrap()["plan"], plan.id);
    let again = apply_plan(&server.rest, plan.id).await;
    assert_eq!(again.status, 422, "{}", again.text);
    assert!(again.problems()[0].contains("it was applied"), "{}", again.text);
    assert_eq!(server.number("SELECT count(*) FROM plans"), 0);
}

#[tokio::test]
async fn a_plan_is_refused_when_what_it_touches_has_changed() {
    let server = TestServer::start().await;
    for (number, name) in (1..).zip(["h1", "h2"]) {
        let identity = Identity { host_identifier: name.to_owned(), ..Identity::simulated(1, number, Platform::Linux) };
        assert!(server.address.agent_of(identity).enroll().await.verdict.is_success());
    }
    server.user("maintainer");
    let label = |hosts: Value| doc("label", json!({ "name": "l", "label_membership_type": "manual", "hosts": hosts }));
    let secrets =
        |more: &str| doc("enroll_secret", json!({ "secrets": [{ "secret": ENROLL_SECRET }, { "secret": more }] }));
    let role =
        |role: &str| doc("user_roles", json!({ "roles": { "maintainer-user@example.com": { "global_role": role } } }));
    let options = |period: u32| doc("options", json!({ "config": { "options": { "logger_tls_period": period } } }));
    let pack = |interval: u32| {
        let queries = json!([{ "query": "q", "interval": interval }]);
        doc("pack", json!({ "name": "p", "targets": { "labels": ["All Hosts"] }, "queries": queries }))
    };
    let scheduled = |interval: u32| {
        doc("query", json!({ "name": "s", "query": "SELECT 1", "interval": interval, "labels_include_any": ["l"] }))
    };
    let start =
        [query("q", "SELECT 1"), label(json!(["h1"])), pack(60), options(10), secrets("obvious-fake-1"), scheduled(60)];
    server.rest.apply(&start).await;
    let (narrowed, members) = ("pack \"Global (l)\"", json!(["h1", "h2"]));
    for (planned, meanwhile, named) in [
        (query("q", "SELECT 2"), query("q", "SELECT 3"), "query \"q\""),
        (query("q", "SELECT 3"), query("q", "SELECT 4"), "query \"q\""),
        (query("new", "SELECT 1"), query("new", "SELECT 2"), "query \"new\""),
        (label(json!([])), label(members.clone()), "label \"l\""),
        (label(members), label(json!([])), "label \"l\""),
        (pack(120), pack(180), "pack \"p\""),
        (options(20), options(30), "options"),
        (secrets("obvious-fake-2"), secrets("obvious-fake-3"), "enroll_secret"),
        (role("observer"), role("admin"), "user_roles"),
        (scheduled(0), scheduled(90), narrowed),
    ] {
        let plan = plan(&server, std::slice::from_ref(&planned)).await;
        server.rest.apply(std::slice::from_ref(&meanwhile)).await;
        let refused = apply_plan(&server.rest, plan.id).await;
        assert_eq!(refused.status, 409, "{planned}: {}", refused.text);
        assert!(refused.problems()[0].contains(named), "{named}: {}", refused.text);
        let still: Applied = server.rest.try_apply(&[meanwhile], true).await.read();
        assert!(still.changes.iter().all(|change| change.action == Action::Unchanged), "{planned}: {still:?}");
    }
    // What it does not touch may change.
    let plan = plan(&server, &[query("q", "SELECT 5")]).await;
    server.rest.apply(&[options(40), label(json!(["h2"])), query("other", "SELECT 1")]).await;
    assert_eq!(apply_plan(&server.rest, plan.id).await.status, 200);
}

#[tokio::test]
async fn a_plan_is_shown_again_with_what_has_changed_since() {
    let server = TestServer::start().await;
    server.rest.apply(&[query("q", "SELECT 1")]).await;
    let (maintainer, observer) = (server.user("maintainer"), server.user("observer"));
    // Once this answers, hosts can be counted.
    assert_eq!(server.rest.get("hosts/count").await.json()["count"], 0);
    let kept = plan(&server, &[query("q", "SELECT 2"), query("r", "SELECT 1")]).await;
    let path = format!("spec/plans/{}", kept.id);
    let shown = async || server.rest.get(&path).await.read::<ShownPlanEnvelope>().plan;
    let plan_now = shown().await;
    assert!(plan_now.is_good && plan_now.refusals.is_empty(), "{plan_now:?}");
    assert_eq!(plan_now.applied.as_ref(), Some(&kept.applied), "as it was shown");
    assert_eq!((plan_now.plan.id, plan_now.plan.expires_at), (kept.id, kept.expires_at));
    assert_eq!(plan_now.plan.author, "admin@example.com");
    assert_eq!(server.rest.get("spec/queries/r").await.status, 404, "looking changes nothing");
    let listed = maintainer.get("spec/plans").await.read::<PlanList>().plans;
    assert_eq!(listed, std::slice::from_ref(&plan_now.plan));
    let summary = listed[0].summary.unwrap();
    assert_eq!((summary.created, summary.changed, summary.deleted, summary.hosts), (1, 1, 0, Some(0)));

    server.rest.apply(&[query("q", "SELECT 3")]).await;
    let outdated = shown().await;
    assert!(!outdated.is_good && outdated.refusals[0].reason.contains("query \"q\";"), "{outdated:?}");
    assert_eq!((outdated.refusals[0].name.as_str(), outdated.applied), ("plan", Some(kept.applied)));
    server.rest.apply(&[query("q", "SELECT 1")]).await;
    assert!(shown().await.is_good, "it is as it was");

    for refused in ["spec/plans", &path] {
        assert_eq!(observer.get(refused).await.status, 403);
    }
    let secret = plan(&server, &[doc("config", json!({ "org_info": { "org_name": "Another" } }))]).await;
    assert_eq!(maintainer.get(&format!("spec/plans/{}", secret.id)).await.status, 403);
    // A node of an older version keeps less.
    server.database().execute("UPDATE plans SET shown = NULL, summary = NULL");
    let old = shown().await;
    assert_eq!((old.applied, old.plan.summary, old.is_good), (None, None, true));
    assert_eq!(apply_plan(&server.rest, kept.id).await.status, 200);
    assert_eq!(server.rest.get(&path).await.status, 404);
}

/// Whoever plans a pack looks at the SQL that it runs, which another object holds.
#[tokio::test]
async fn a_plan_is_refused_when_the_sql_that_its_packs_run_has_changed() {
    let server = TestServer::start().await;
    let queries = |interval: u32| json!([{ "query": "Q", "interval": interval }]);
    let pack = |interval: u32| {
        doc("pack", json!({ "name": "p", "targets": { "labels": ["All Hosts"] }, "queries": queries(interval) }))
    };
    let schedule = |interval: u32| doc("global_schedule", json!({ "queries": queries(interval) }));
    server.rest.apply(&[query("q", "SELECT 0"), query("r", "SELECT 0"), pack(60), schedule(60)]).await;
    let mut number = 0;
    // Also if the pack itself is as it was, and if something else is planned with it.
    for planned in [vec![pack(120)], vec![pack(60), query("s", "SELECT 1")], vec![schedule(120)]] {
        number += 1;
        let kept = plan(&server, &planned).await;
        let sql = format!("SELECT {number}");
        server.rest.apply(&[query("q", &sql)]).await;
        let refused = apply_plan(&server.rest, kept.id).await;
        assert_eq!(refused.status, 409, "{planned:?}: {}", refused.text);
        assert!(refused.problems()[0].contains("somebody has changed query \"q\";"), "{}", refused.text);
        let again = plan(&server, &planned).await;
        // Neither what the query says of itself nor other queries matter.
        let described = doc("query", json!({ "name": "q", "query": sql, "description": format!("{number}") }));
        server.rest.apply(&[described, query("r", &sql)]).await;
        assert_eq!(apply_plan(&server.rest, again.id).await.status, 200, "{planned:?}");
    }
    // A plan that brings the SQL itself is compared by its documents.
    let both = plan(&server, &[query("q", "SELECT 9"), pack(90)]).await;
    server.rest.apply(&[query("r", "SELECT 9")]).await;
    assert_eq!(apply_plan(&server.rest, both.id).await.status, 200);
}

#[tokio::test]
async fn plans_expire_and_are_few() {
    let server = TestServer::start().await;
    let old = plan(&server, &[query("q", "SELECT 1")]).await;
    server.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(apply_plan(&server.rest, old.id).await.status, 422);
    server.run_tasks().await;
    assert_eq!(server.number("SELECT count(*) FROM plans"), 0, "its documents may hold secrets");
    let first = plan(&server, &[query("q", "SELECT 1")]).await;
    let maintainer = server.user("maintainer");
    for _ in 0..22 {
        assert_eq!(try_plan(&maintainer, &[query("q", "SELECT 1")]).await.status, 200);
    }
    assert_eq!(server.number("SELECT count(*) FROM plans"), 21, "nobody makes another user's plan go");
    for _ in 0..20 {
        plan(&server, &[query("q", "SELECT 1")]).await;
    }
    assert_eq!(server.number("SELECT count(*) FROM plans"), 40);
    assert_eq!(apply_plan(&server.rest, first.id).await.status, 422, "the oldest made room");
    assert_eq!(apply_plan(&server.rest, first.id + 23).await.status, 200);
    assert!(apply_plan(&server.rest, 1_000_000).await.problems()[0].contains("there is no plan 1000000"));
}

#[tokio::test]
async fn a_plan_needs_the_roles_of_its_documents() {
    let server = TestServer::start().await;
    let (maintainer, observer) = (server.user("maintainer"), server.user("observer"));
    let config = doc("config", json!({ "org_info": { "org_name": "Another" } }));
    assert_eq!(try_plan(&observer, &[query("q", "SELECT 1")]).await.status, 403);
    assert_eq!(try_plan(&maintainer, std::slice::from_ref(&config)).await.status, 403);
    let plan = plan(&server, &[config]).await;
    assert_eq!(apply_plan(&maintainer, plan.id).await.status, 403);
    assert_eq!(apply_plan(&observer, plan.id).await.status, 403);
    assert_eq!(apply_plan(&server.rest, plan.id).await.status, 200);
    let both = json!({ "documents": [query("q", "SELECT 1")], "plan": 1 });
    assert_eq!(server.rest.post("spec/apply", &both).await.status, 400);
    assert_eq!(server.rest.post("spec/delete", &both).await.status, 400);
}

#[tokio::test]
async fn no_more_is_deleted_than_was_allowed() {
    let server = TestServer::start().await;
    let scheduled = |interval: u32, label: &str| {
        doc("query", json!({ "name": "q", "query": "SELECT 1", "interval": interval, "labels_include_any": [label] }))
    };
    let label = |name: &str| doc("label", json!({ "name": name, "query": "SELECT 1" }));
    server.rest.apply(&[label("a"), label("b"), scheduled(60, "a"), query("r", "SELECT 1")]).await;
    for path in ["spec/plan", "spec/apply"] {
        let body = json!({ "documents": [scheduled(60, "b")], "max_deletes": 0 });
        let refused = server.rest.post(path, &body).await;
        assert_eq!(refused.status, 422, "{path}: {}", refused.text);
        let problem = &refused.problems()[0];
        assert!(problem.starts_with("max_deletes: is 0, and more would be deleted (1 in all): "), "{problem}");
        assert!(problem.contains("pack \"Global (a)\""), "{problem}");
    }
    let delete = async |most: u32| {
        let documents = json!([query("q", ""), query("r", "")]);
        server
            .rest
            .post("spec/delete", &json!({ "documents": documents, "max_deletes": most, "dry_run": true }))
            .await
            .status
    };
    let body = json!({ "documents": [scheduled(60, "b")], "max_deletes": 1 });
    assert_eq!(server.rest.post("spec/apply", &body).await.status, 200);
    server.rest.apply(&[scheduled(0, "b")]).await;
    assert_eq!([delete(1).await, delete(2).await], [422, 200]);
}

/// A few documents of all kinds, about few objects.
fn random_documents(random: &mut StdRng) -> Vec<Value> {
    let mut documents = BTreeMap::new();
    for _ in 0..random.random_range(1..7) {
        let number = random.random_range(0..4);
        let labels = ["l0", "l1", "l2"];
        let labels: Vec<&str> = labels.into_iter().filter(|_| random.random_bool(0.4)).collect();
        let queries: Vec<String> =
            (0..4).filter(|_| random.random_bool(0.4)).map(|query| format!("q{query}")).collect();
        let interval = [60, 120][random.random_range(0..2)];
        let entries: Vec<Value> = queries.iter().map(|query| json!({ "query": query, "interval": interval })).collect();
        let (kind, spec) = match random.random_range(0..10) {
            0..3 => {
                let sql = format!("SELECT {}", random.random_range(0..3));
                let mut spec = json!({ "name": format!("q{number}"), "query": sql });
                if random.random_bool(0.4) {
                    spec["interval"] = json!([0, 60, 120][random.random_range(0..3)]);
                    spec["labels_include_any"] = json!(labels);
                }
                ("query", spec)
            }
            3..5 => {
                let hosts: Vec<String> =
                    (0..6).filter(|_| random.random_bool(0.5)).map(|host| format!("h{host}")).collect();
                let name = format!("l{}", number % 3);
                ("label", json!({ "name": name, "label_membership_type": "manual", "hosts": hosts }))
            }
            5..7 => {
                let labels = if random.random_bool(0.2) { vec!["All Hosts"] } else { labels };
                let targets = json!({ "labels": labels });
                ("pack", json!({ "name": format!("p{}", number % 3), "targets": targets, "queries": entries }))
            }
            7 => {
                let of = |period: i32| json!({ "options": { "logger_tls_period": period } });
                let overrides = json!({ "platforms": { "darwin": of(random.random_range(10..13)) } });
                ("options", json!({ "config": of(random.random_range(10..13)), "overrides": overrides }))
            }
            8 => {
                let more = format!("obvious-fake-{number}");
                ("enroll_secret", json!({ "secrets": [{ "secret": ENROLL_SECRET }, { "secret": more }] }))
            }
            _ => ("global_schedule", json!({ "queries": entries })),
        };
        let name = spec["name"].as_str().unwrap_or_default().to_owned();
        documents.insert((kind, name), doc(kind, spec));
    }
    documents.into_values().collect()
}

/// The config of each host, with its platform.
async fn configs(server: &TestServer) -> BTreeMap<String, (String, Value)> {
    let mut configs = BTreeMap::new();
    for number in 0..6 {
        let name = format!("h{number}");
        let host = server.rest.get(&format!("hosts/identifier/{name}")).await.json();
        let platform = host["host"]["platform"].as_str().unwrap().to_owned();
        let config = server.rest.get(&format!("hosts/identifier/{name}/config")).await.json()["config"].take();
        configs.insert(name, (platform, config));
    }
    configs
}

/// Plans say, for random documents, what applying them then changes: objects, fields and the hosts whose config is another one.
/// A plan is refused when the documents would change something else by now.
#[tokio::test]
async fn plans_say_what_applying_them_changes() {
    let server = TestServer::start().await;
    let platforms = [Platform::Linux, Platform::Darwin, Platform::Windows];
    for number in 0..6_u32 {
        let platform = platforms[number as usize % 3];
        let identity = Identity { host_identifier: format!("h{number}"), ..Identity::simulated(1, number, platform) };
        assert!(server.address.agent_of(identity).enroll().await.verdict.is_success());
    }
    let queries = (0..4).map(|number| query(&format!("q{number}"), "SELECT 0"));
    let label =
        |number| doc("label", json!({ "name": format!("l{number}"), "label_membership_type": "manual", "hosts": [] }));
    server.rest.apply(&queries.chain((0..3).map(label)).collect::<Vec<_>>()).await;
    assert_eq!(server.rest.get("hosts/count").await.json()["count"], 6);
    let mut random = StdRng::seed_from_u64(17);
    let (rounds, mut done, mut outdated) = (count(30, 200), 0, 0);
    let mut actions = BTreeSet::new();
    for round in 0..rounds {
        let documents = random_documents(&mut random);
        let answer = try_plan(&server.rest, &documents).await;
        if answer.status == 422 {
            assert_eq!(server.rest.try_apply(&documents, false).await.problems(), answer.problems(), "round {round}");
            continue;
        }
        let plan = answer.read::<ApplyPlanEnvelope>().plan;
        if random.random_bool(0.3) {
            server.rest.try_apply(&random_documents(&mut random), false).await;
        }
        let would: Applied = match server.rest.try_apply(&documents, true).await {
            answer if answer.status == 200 => answer.read(),
            _ => continue,
        };
        let before = configs(&server).await;
        let answer = apply_plan(&server.rest, plan.id).await;
        let after = configs(&server).await;
        let mut differing: BTreeMap<&str, u64> = BTreeMap::new();
        for (name, (platform, config)) in &before {
            if after[name].1 != *config {
                *differing.entry(platform).or_default() += 1;
            }
        }
        if answer.status == 409 {
            outdated += 1;
            assert!(differing.is_empty(), "round {round}: {differing:?}");
            continue;
        }
        let applied: Applied = answer.read();
        assert_eq!(would.changes, plan.applied.changes, "round {round}: it should have been refused: {documents:?}");
        assert_eq!(applied.changes, plan.applied.changes, "round {round}: {documents:?}");
        // Others may have changed since which hosts the same change reaches.
        let hosts = would.hosts.clone().unwrap_or_default();
        let planned: BTreeMap<&str, u64> =
            hosts.platforms.iter().map(|hosts| (hosts.platform.as_str(), hosts.hosts_count)).collect();
        assert_eq!(planned, differing, "round {round}: {documents:?}");
        assert_eq!(hosts.changed, differing.values().sum::<u64>(), "round {round}");
        actions.extend(applied.changes.iter().map(|change| format!("{:?}", change.action)));
        done += 1;
    }
    assert!(done * 2 > rounds && outdated > 0, "{done} of {rounds}, {outdated}");
    assert!(actions.len() >= 4, "{actions:?}");
}
