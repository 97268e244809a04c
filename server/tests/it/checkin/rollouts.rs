use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use agent_compat::TestAgent;
use serde_json::Value;

use super::{questions, settle};
use crate::support::{TestServer, object};

const AGENTS: u32 = 12;

const DOCUMENTS: &str = "
kind: query
spec: {name: cheap, query: SELECT 1 AS one}
---
kind: query
spec: {name: work, query: SELECT 2 AS two}
---
kind: pack
spec:
  name: base
  targets: {labels: [All Hosts]}
  queries:
  - {query: cheap, interval: 60}
  - {query: work, interval: 60}
";

const DEADLY: &str = "SELECT 3 AS deadly";

const ROLLOUT: &str = "
kind: rollout
spec:
  name: deadly
  bake: 60s
  cohorts: [{percent: 40}, {percent: 100}]
  documents:
  - kind: query
    spec: {name: work, query: SELECT 3 AS deadly}
";

/// Moves the clocks of all, and lets each agent check in until it was asked what its queries have cost.
async fn sampled(server: &TestServer, agents: &mut [TestAgent]) {
    server.clock.advance(Duration::from_secs(120));
    for agent in agents {
        agent.set_now(Some(agent.now_ms() + 120_000));
        for _ in 0..5 {
            let asked = questions(&agent.distributed().await);
            if asked.iter().any(|question| question.ends_with("scheduled_query_stats")) {
                break;
            }
            server.run_tasks().await;
        }
    }
    server.run_tasks().await;
}

/// The agents whose config has the new query, by their numbers.
async fn loaded(agents: &mut [TestAgent]) -> BTreeSet<usize> {
    let mut having = BTreeSet::new();
    for (number, agent) in agents.iter_mut().enumerate() {
        let exchange = agent.config().await;
        assert!(exchange.verdict.is_success());
        if Value::Object(object(&exchange)).to_string().contains(DEADLY) {
            having.insert(number);
        }
    }
    having
}

#[tokio::test]
async fn a_query_that_stops_agents_is_taken_back_from_the_first_cohort() {
    let server = TestServer::with(|config| {
        config.statistics.interval = Duration::from_secs(60);
        config.statistics.write_interval = Duration::ZERO;
    })
    .await;
    server.rest.apply_yaml(DOCUMENTS).await;
    let mut agents = Vec::new();
    for number in 1..=AGENTS {
        let mut agent = server.enrolled(number).await;
        agent.set_now(Some(agent.now_ms()));
        assert!(agent.config().await.verdict.is_success());
        settle(&mut agent).await;
        agent.agent_mut().set_killer(Some(Arc::new(|sql| sql == DEADLY)));
        agents.push(agent);
    }
    server.run_tasks().await;
    sampled(&server, &mut agents).await;
    server.rest.apply_yaml(ROLLOUT).await;
    let first = loaded(&mut agents).await;
    assert!(!first.is_empty() && first.len() < agents.len(), "{first:?}");
    let mut status = Value::Null;
    for _ in 0..2 {
        assert_eq!(loaded(&mut agents).await, first, "no other host ever has it");
        for agent in &mut agents {
            for query in ["cheap", "work"] {
                agent.run_scheduled(&format!("pack/base/{query}"));
            }
            // As a new worker does.
            assert!(agent.config().await.verdict.is_success());
            agent.flush_logs().await;
        }
        sampled(&server, &mut agents).await;
        status = server.rest.get("/api/v1/fleet/rollouts/deadly").await.json()["rollout"].clone();
        if status["state"] == "reverted" {
            break;
        }
    }
    assert_eq!((&status["state"], &status["stage"]), (&"reverted".into(), &0.into()), "{status:#}");
    let decisions = status["decisions"].as_array().unwrap();
    assert_eq!(decisions.last().unwrap()["kind"], "halted");
    assert!(status["reason"].as_str().unwrap().starts_with("denylisted is "), "{status:#}");
    assert_eq!(loaded(&mut agents).await, BTreeSet::new());
}
