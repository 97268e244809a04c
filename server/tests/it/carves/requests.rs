//! Carves name the query that has asked for them, and its result names the carves.

use agent_compat::agent::AgentEndpoint;
use agent_compat::{Carver, TestAgent};
use serde_json::{Value, json};

use super::{SENT, archive, shown};
use crate::live::{answers, ask, hosts};
use crate::support::TestServer;

const SQL: &str = "SELECT * FROM carves WHERE carve = 1 AND path = '/etc/services'";

/// The row of a carve that was asked for, as agents send it.
fn row(carve_id: &str, carve: &str) -> Value {
    json!({
        "time": "1795190074", "sha256": "", "size": "-1", "path": "/etc/services", "status": "SCHEDULED",
        "carve_guid": carve_id, "request_id": "d8945ba1-ab30-43fe-8b8a-53e3d9e3dd25", "carve": carve,
    })
}

/// Reads what there is to do, and answers the live query with these rows.
async fn answer(agent: &TestAgent, id: i64, rows: &[Value]) {
    let key = agent.node_key();
    agent.raw(AgentEndpoint::DistributedRead, json!({ "node_key": key }).to_string(), &[]).await;
    let name = format!("fleet_distributed_query_{id}");
    let body =
        json!({ "queries": { &name: rows }, "statuses": { &name: 0 }, "messages": { &name: "" }, "node_key": key });
    assert!(agent.raw(AgentEndpoint::DistributedWrite, body.to_string(), &[]).await.verdict.is_success());
}

#[tokio::test]
async fn a_carve_and_the_live_query_that_asked_for_it_name_each_other() {
    let server = TestServer::start().await;
    let agents = hosts(&server, 2).await;
    let carver = Carver::numbered(1, 10, archive(35));
    let job = ask(&server, SQL).await.id;
    // Of the rows of older carves nothing is on its way.
    answer(&agents[0], job, &[row(&carver.carve_id, "1"), row("an-older-one", "0")]).await;
    answer(&agents[1], job, &[]).await;
    let named: Vec<_> =
        answers(&server, job, 0).await.into_iter().map(|answer| (answer.rows.len(), answer.carves)).collect();
    assert_eq!(named, [(2, vec![carver.carve_id.clone()]), (0, Vec::new())]);
    server.run_tasks().await;
    assert_eq!(carver.send(&agents[0]).await, SENT);
    // Another host may not take the name.
    assert_eq!(carver.send(&agents[1]).await, SENT);
    let carve = shown(&server, 1).await;
    assert_eq!((&carve["live_query_id"], &carve["query_name"]), (&json!(job), &json!("")));
    assert_eq!(shown(&server, 2).await["live_query_id"], Value::Null);
    let ids = async |query: &str| -> Vec<i64> {
        let list: Value = server.rest.read(&format!("carves{query}")).await;
        list["carves"].as_array().unwrap().iter().map(|carve| carve["id"].as_i64().unwrap()).collect()
    };
    assert_eq!(ids(&format!("?live_query_id={job}")).await, [1]);
    assert_eq!(ids(&format!("?live_query_id={}", job + 1)).await, [0; 0]);
    assert_eq!(ids(&format!("?carve_id={}", carver.carve_id)).await, [1, 2]);
    let host_id = carve["host_id"].as_i64().unwrap();
    assert_eq!(ids(&format!("?carve_id={}&host_id={host_id}", carver.carve_id)).await, [1]);
    let list: Value = server.rest.read("carves").await;
    assert_eq!(list["carves"][0], carve);
    assert_eq!(server.rest.get("carves?live_query_id=last").await.status, 400);
}

/// Result lines may come long after the carve: agents send them when they have time.
#[tokio::test]
async fn a_carve_names_the_scheduled_query_that_asked_for_it() {
    let server = TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    let carver = Carver::numbered(1, 10, archive(35));
    assert_eq!(carver.send(&agent).await, SENT);
    assert_eq!(shown(&server, 1).await["query_name"], "");
    for _ in 0..2 {
        for name in ["pack/Evidence/services", "pack/Evidence/again"] {
            let columns = row(&carver.carve_id, "1");
            agent.push_result_line(json!({ "name": name, "action": "added", "columns": columns }).to_string());
        }
        assert!(agent.flush_logs().await.iter().all(|exchange| exchange.verdict.is_success()));
        server.run_tasks().await;
    }
    let carve = shown(&server, 1).await;
    assert_eq!((&carve["query_name"], &carve["live_query_id"]), (&json!("pack/Evidence/services"), &Value::Null));
    assert_eq!(server.number("SELECT count(*) FROM carve_requests"), 1);
    // They go when no carve of that time is there any more, or with their host.
    server.clock.advance(std::time::Duration::from_secs(8 * 24 * 3600 + 1));
    server.run_tasks().await;
    assert_eq!(server.number("SELECT count(*) FROM carve_requests"), 0);
    agent.push_result_line(json!({ "name": "x", "action": "added", "columns": row("another", "1") }).to_string());
    agent.flush_logs().await;
    server.run_tasks().await;
    assert_eq!(server.number("SELECT count(*) FROM carve_requests"), 1);
    let host_id = server.number("SELECT host_id FROM carve_requests");
    // The administrator's session has ended since.
    assert_eq!(server.user("admin").send("DELETE", &format!("hosts/{host_id}"), None).await.status, 200);
    assert_eq!(server.number("SELECT count(*) FROM carve_requests"), 0);
}

/// A host that makes names up takes no more room than the limit.
#[tokio::test]
async fn what_a_host_names_is_bounded() {
    let server = TestServer::start().await;
    let mut agent = server.enrolled(1).await;
    for batch in 0..3 {
        let rows: Vec<_> = (0..50).map(|n| row(&format!("{batch}-{n}"), "1")).collect();
        agent.push_result_line(json!({ "name": "x", "action": "snapshot", "snapshot": rows }).to_string());
        agent.flush_logs().await;
    }
    assert!(server.metric("muster_limit_hits_total{limit=\"carve_requests\"}").await >= 1.0);
    server.run_tasks().await;
    assert_eq!(server.number("SELECT count(*) FROM carve_requests"), 64);
}
