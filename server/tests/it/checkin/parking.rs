use std::sync::Arc;
use std::time::Duration;

use agent_compat::agent::AgentEndpoint;
use serde_json::json;

use super::{label, names, questions};
use crate::support::{Rest, ServerSetup, TestServer, eventually, object};

const KILLER: &str = "SELECT 1 FROM processes WHERE name = 'killer'";

#[tokio::test]
async fn a_label_query_that_stops_the_worker_is_parked_and_shown() {
    let server = TestServer::start().await;
    server.rest.apply(&[label("deadly", KILLER), label("harmless", "SELECT 1")]).await;
    let mut host = server.enrolled(1).await;
    host.agent_mut().set_killer(Some(Arc::new(|sql: &str| sql.contains("killer"))));
    let mut asked_deadly = 0;
    // Each read comes after the time an agent may still be retrying its answer.
    for _ in 0..40 {
        let names = questions(&host.distributed().await);
        asked_deadly += names.iter().filter(|name| *name == "fleet_label_query_8").count();
        server.run_tasks().await;
        server.clock.advance(Duration::from_secs(25));
    }
    server.run_tasks().await;
    assert!((2..=3).contains(&asked_deadly), "the query that stops the worker was sent {asked_deadly} times");
    assert_eq!(server.number("SELECT count(*) FROM label_members WHERE label_id = 9"), 1, "the others are answered");
    let shown = server.rest.get("/api/v1/fleet/hosts/1").await.json();
    assert_eq!(shown["host"]["parked_queries"][0]["name"], "label deadly", "{shown}");

    // A changed query gets another chance.
    server.rest.apply(&[label("deadly", "SELECT 2")]).await;
    server.clock.advance(Duration::from_secs(61));
    assert!(questions(&host.distributed().await).contains(&"fleet_label_query_8".to_owned()));
}

#[tokio::test]
async fn parking_what_an_agent_has_denylisted_is_logged() {
    let setup = ServerSetup::new(&[]);
    let server = setup.start().await;
    Rest::new(&setup.address()).set_up().await;
    let mut agent = setup.address().enrolled(1).await;
    let name = names(&object(&agent.read().await))[0].clone();
    let body = json!({
        "node_key": agent.node_key(), "queries": {}, "statuses": { &name: 1 },
        "messages": { &name: "distributed query is denylisted" },
    });
    let write = agent.raw(AgentEndpoint::DistributedWrite, body.to_string(), &[]).await;
    assert!(write.verdict.is_success(), "{write:?}");
    eventually("it is logged", Duration::from_secs(10), async || {
        let said = server.said();
        said.lines().any(|line| line.contains("question parked") && line.contains(&name)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_was_never_asked_is_not_parked() {
    let server = TestServer::start().await;
    let agent = server.enrolled(1).await;
    let mut statuses = serde_json::Map::new();
    let mut messages = serde_json::Map::new();
    for id in 0..500 {
        let name = format!("fleet_label_query_{id}");
        statuses.insert(name.clone(), 1.into());
        messages.insert(name, "distributed query is denylisted".into());
    }
    let body = json!({ "node_key": agent.node_key(), "queries": {}, "statuses": statuses, "messages": messages });
    let write = agent.raw(AgentEndpoint::DistributedWrite, body.to_string(), &[]).await;
    assert!(write.verdict.is_success());
    server.run_tasks().await;
    assert_eq!(server.number("SELECT count(*) FROM parked_queries"), 0);
}
