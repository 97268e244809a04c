//! What plans predict queries to cost, from what hosts have reported.

use std::time::Duration;

use agent_compat::TestAgent;
use muster_api::rest::{ApplyPlanEnvelope, BasisKind, PlannedCosts, PlannedQuery, PlannedTotal};
use serde_json::{Value, json};

use crate::checkin::statistics::{first_sampled, sampled};
use crate::support::TestServer;

fn doc(kind: &str, spec: Value) -> Value {
    json!({ "kind": kind, "spec": spec })
}

fn query(name: &str, sql: &str) -> Value {
    doc("query", json!({ "name": name, "query": sql }))
}

fn pack(name: &str, queries: &[(&str, u32)]) -> Value {
    let queries: Vec<Value> =
        queries.iter().map(|(query, interval)| json!({ "query": query, "interval": interval })).collect();
    doc("pack", json!({ "name": name, "targets": { "labels": ["All Hosts"] }, "queries": queries }))
}

async fn predicted(server: &TestServer, documents: &[Value]) -> Option<PlannedCosts> {
    let answer = server.rest.post("spec/plan", &json!({ "documents": documents })).await;
    answer.read::<ApplyPlanEnvelope>().plan.applied.costs
}

/// A server whose one agent has reported runs of two queries.
async fn with_costs() -> (TestServer, TestAgent) {
    let server = TestServer::with(|config| {
        config.statistics.interval = Duration::from_secs(60);
        config.statistics.write_interval = Duration::ZERO;
    })
    .await;
    let known = [query("users", "SELECT name FROM deb_packages WHERE revision > 0"), query("one", "SELECT 1 AS one")];
    server.rest.apply(&[&known[..], &[pack("base", &[("users", 60), ("one", 60)])]].concat()).await;
    let mut agent = server.enrolled(1).await;
    first_sampled(&server, &mut agent).await;
    for _ in 0..7 {
        agent.run_scheduled("pack/base/users");
        agent.run_scheduled("pack/base/one");
    }
    sampled(&server, &mut agent).await;
    (server, agent)
}

fn of<'a>(costs: &'a PlannedCosts, pack: &str, name: &str) -> &'a PlannedQuery {
    costs.queries.iter().find(|query| query.pack == pack && query.name == name).expect("it is changed")
}

#[tokio::test]
async fn queries_cost_what_the_same_or_similar_sql_has_cost() {
    let (server, _agent) = with_costs().await;
    let report = server.rest.get("statistics/query?pack=base&name=users").await.json();
    assert_eq!(report["total"]["executions"], 7, "{report}");
    let cpu_us = (report["total"]["cpu_seconds"].as_f64().unwrap() * 1e6 / 7.0) as u64;
    assert!(cpu_us > 0, "{report}");
    let documents = [
        query("same", "select NAME from deb_packages -- as before\n where revision > 0;"),
        query("similar", "SELECT version FROM deb_packages WHERE size = 7"),
        query("unheard", "SELECT * FROM processes"),
        pack("new", &[("same", 30), ("similar", 3600), ("unheard", 60)]),
    ];
    let costs = predicted(&server, &documents).await.expect("hosts run more");
    assert_eq!((costs.queries.len(), costs.unknown, costs.before), (3, 1, PlannedTotal::default()));

    let same = of(&costs, "new", "same");
    assert_eq!(same.before, None);
    let runs = same.after.as_ref().unwrap();
    assert_eq!((runs.hosts, runs.interval, runs.rests_on.kind), (1, 30, BasisKind::SameSql));
    let basis = &runs.rests_on;
    assert_eq!((basis.hosts, basis.executions, basis.queries.len()), (1, 7, 1), "{basis:?}");
    assert_eq!((basis.queries[0].pack.as_str(), basis.queries[0].name.as_str()), ("base", "users"));
    let cost = runs.cost.unwrap();
    assert!(cost.cpu_us.abs_diff(cpu_us) <= 1, "{cost:?} {cpu_us}");
    let p95 = (report["total"]["cpu_time"]["p95"].as_f64().unwrap() * 1000.0) as u64;
    assert!(cost.cpu_us_p95.abs_diff(p95) <= 1, "{cost:?} {report}");
    assert_eq!((cost.cpu_us_per_host_hour, cost.cpu_ms_per_day), (cost.cpu_us * 120, cost.cpu_us * 2880 / 1000));
    assert_eq!(cost.bytes_per_day, cost.output_bytes.map(|bytes| bytes * 2880));

    let similar = of(&costs, "new", "similar").after.as_ref().unwrap();
    assert_eq!(
        (similar.rests_on.kind, &similar.rests_on.tables),
        (BasisKind::SimilarSql, &vec!["deb_packages".to_owned()])
    );
    assert_eq!(similar.cost.unwrap().cpu_us, cost.cpu_us);
    let unheard = of(&costs, "new", "unheard").after.as_ref().unwrap();
    assert_eq!((unheard.rests_on.kind, unheard.cost), (BasisKind::Unknown, None));
    let sum = cost.cpu_ms_per_day + similar.cost.unwrap().cpu_ms_per_day;
    assert_eq!(costs.after.cpu_ms_per_day, sum);
    assert_eq!(costs.queries[0].name, "same", "the dearest is the first");
}

#[tokio::test]
async fn what_hosts_cease_to_run_is_saved() {
    let (server, _agent) = with_costs().await;
    let costs = predicted(&server, &[pack("base", &[("one", 60)])]).await.expect("hosts run less");
    let users = of(&costs, "base", "users");
    assert!(users.after.is_none() && costs.queries.len() == 1, "{costs:?}");
    assert!(costs.before.cpu_ms_per_day > 0 && costs.after == PlannedTotal::default(), "{costs:?}");
    // Twice as often is twice as dear, also by the SQL of a saved query.
    let costs = predicted(&server, &[pack("base", &[("users", 30), ("one", 60)])]).await.expect("it runs more often");
    assert_eq!(costs.after.cpu_ms_per_day, 2 * costs.before.cpu_ms_per_day, "{costs:?}");
    let costs = predicted(&server, &[query("users", "SELECT * FROM deb_packages")]).await.expect("it runs other SQL");
    let users = of(&costs, "base", "users");
    let kinds = [&users.before, &users.after].map(|runs| runs.as_ref().unwrap().rests_on.kind);
    assert_eq!(kinds, [BasisKind::SameSql, BasisKind::SimilarSql]);
    // What no host runs costs nothing.
    for idle in [
        query("users", "SELECT name FROM deb_packages WHERE revision > 0"),
        query("saved", "SELECT * FROM deb_packages"),
    ] {
        assert_eq!(predicted(&server, &[idle]).await, None);
    }
    // What was reported long ago is no longer true of hosts.
    for _ in 0..3 {
        server.clock.advance(Duration::from_secs(3 * 24 * 3600));
        assert_eq!(server.rest.get("me").await.status, 200, "the session is used");
    }
    let costs = predicted(&server, &[pack("base", &[("one", 60)])]).await.expect("hosts run less");
    assert_eq!(of(&costs, "base", "users").before.as_ref().unwrap().rests_on.kind, BasisKind::Unknown);
    assert_eq!((costs.before, costs.after, costs.unknown), (PlannedTotal::default(), PlannedTotal::default(), 0));
}
