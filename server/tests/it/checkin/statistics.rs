use std::sync::Arc;
use std::time::Duration;

use agent_compat::TestAgent;
use serde_json::{Value, json};

use super::{questions, settle};
use crate::support::TestServer;

const QUESTION: &str = "fleet_detail_query_scheduled_query_stats";

const DOCUMENTS: &str = "
kind: query
spec: {name: cheap, query: SELECT 1 AS one}
---
kind: query
spec: {name: dear, query: SELECT 2 AS two}
---
kind: pack
spec:
  name: base
  targets: {labels: [All Hosts]}
  queries:
  - {query: cheap, interval: 60}
  - {query: dear, interval: 60}
";

/// A server that asks for statistics every minute and writes them at once.
async fn server() -> TestServer {
    let server = TestServer::with(|config| {
        config.statistics.interval = Duration::from_secs(60);
        config.statistics.write_interval = Duration::ZERO;
    })
    .await;
    server.rest.apply_yaml(DOCUMENTS).await;
    server
}

/// Moves the clocks of both, and lets the agent check in until it was asked for statistics.
pub async fn sampled(server: &TestServer, agent: &mut TestAgent) {
    server.clock.advance(Duration::from_secs(120));
    agent.set_now(Some(agent.now_ms() + 120_000));
    for _ in 0..5 {
        let round = agent.distributed().await;
        server.run_tasks().await;
        let asked = questions(&round);
        if asked.contains(&QUESTION.to_owned()) {
            assert_eq!(asked, [QUESTION], "it is asked alone");
            return;
        }
    }
    panic!("the host is not asked");
}

/// A server that knows where the counters of its one agent begin.
async fn server_with_a_sample() -> (TestServer, TestAgent) {
    let server = server().await;
    let mut agent = server.enrolled(1).await;
    first_sampled(&server, &mut agent).await;
    (server, agent)
}

/// Lets an enrolled agent load its config, answer what it is asked at first, and give its first sample.
pub async fn first_sampled(server: &TestServer, agent: &mut TestAgent) {
    agent.set_now(Some(agent.now_ms()));
    assert!(agent.config().await.verdict.is_success());
    settle(agent).await;
    server.run_tasks().await;
    sampled(server, agent).await;
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|query| query["name"] == name).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn a_host_is_asked_alone_and_its_runs_are_counted() {
    let (server, mut agent) = server_with_a_sample().await;
    for _ in 0..7 {
        agent.run_scheduled("pack/base/cheap");
    }
    sampled(&server, &mut agent).await;
    let costs = server.rest.get("/api/v1/fleet/statistics/query?pack=base&name=cheap").await.json();
    assert_eq!(costs["total"]["executions"], 7, "{costs}");
    assert_eq!(costs["impact"], "Minimal");
    assert_eq!(costs["groups"].as_array().unwrap().len(), 1);
    let host = server.rest.get("/api/v1/fleet/hosts/1").await.json();
    let stats = &host["host"]["pack_stats"][0]["query_stats"];
    assert_eq!((&stats[0]["query_name"], &stats[0]["executions"]), (&json!("cheap"), &json!(7)), "{host}");
    assert_eq!((&stats[1]["executions"], &stats[1]["impact"]), (&json!(0), &json!("Undetermined")));
    let queries = server.rest.get("/api/v1/fleet/queries").await.json();
    assert_eq!(named(&queries["queries"], "cheap")["stats"]["total_executions"], 7);
    assert_eq!(named(&queries["queries"], "dear")["stats"], Value::Null);
}

#[tokio::test]
async fn a_query_that_stops_the_worker_is_named_with_the_host() {
    let (server, mut agent) = server_with_a_sample().await;
    agent.agent_mut().set_killer(Some(Arc::new(|sql| sql == "SELECT 2 AS two")));
    agent.run_scheduled("pack/base/dear");
    assert!(agent.config().await.verdict.is_success(), "as a new worker does");
    let suspects = json!([{ "pack": "base", "name": "dear" }]);
    let restarts = async || server.rest.get("/api/v1/fleet/statistics/restarts").await.json()["restarts"].clone();
    agent.flush_logs().await;
    server.run_tasks().await;
    let reported = restarts().await;
    assert_eq!((&reported[0]["suspects"], &reported[0]["is_reported"]), (&suspects, &json!(true)), "{reported}");
    sampled(&server, &mut agent).await;
    let listed = server.rest.get("/api/v1/fleet/statistics/denylist").await.json();
    assert_eq!((&listed["denylist"][0]["name"], &listed["denylist"][0]["host_id"]), (&json!("dear"), &json!(1)));
    let shown = restarts().await;
    assert_eq!((&shown[0]["suspects"], &shown[0]["is_reported"]), (&suspects, &json!(true)), "{shown}");
    assert_eq!(shown.as_array().unwrap().len(), 1, "the sample shows the same one: {shown}");
    let of_fleet = server.rest.get("/api/v1/fleet/statistics/queries").await.json();
    assert_eq!(named(&of_fleet["queries"], "dear")["denylisted_hosts"], 1);
}
