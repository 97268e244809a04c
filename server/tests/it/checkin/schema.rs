use std::sync::Arc;
use std::time::Duration;

use agent_compat::TestAgent;
use agent_compat::agent::{Identity, Platform};
use futures_util::future::join_all;
use serde_json::Value;

use super::{questions, settle};
use crate::support::TestServer;

pub const QUESTION: &str = "fleet_detail_query_table_schema";

/// A server that asks hosts for their tables.
pub async fn server() -> TestServer {
    TestServer::with(|config| config.osquery.schema_update_interval = Duration::from_secs(7 * 24 * 3600)).await
}

fn identity(index: u32, version: &str) -> Identity {
    let os = Identity::simulated(1, 1, Platform::Linux).os;
    Identity { os, osquery_version: version.to_owned(), ..Identity::simulated(1, index, Platform::Linux) }
}

/// Hosts of one system and version, enrolled and asked everything else.
pub async fn settled(server: &TestServer, count: u32, version: &str) -> Vec<TestAgent> {
    let mut agents: Vec<TestAgent> =
        (1..=count).map(|index| server.address.agent_of(identity(index, version))).collect();
    join_all(agents.iter_mut().map(async |agent| {
        assert!(agent.enroll().await.verdict.is_success());
        settle(agent).await;
    }))
    .await;
    // What they have said of themselves is written, and the leader picks.
    server.run_tasks().await;
    server.run_tasks().await;
    agents
}

/// Lets all agents check in, and gives how many were asked for their tables.
pub async fn asked(agents: &mut [TestAgent]) -> usize {
    let rounds = join_all(agents.iter_mut().map(TestAgent::distributed)).await;
    let asked = rounds.iter().map(questions).filter(|names| names.iter().any(|name| name == QUESTION));
    asked.inspect(|names| assert_eq!(names, &[QUESTION], "it is asked alone")).count()
}

fn named<'a>(list: &'a Value, name: &str) -> &'a Value {
    list.as_array().unwrap().iter().find(|found| found["name"] == name).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn the_tables_of_agents_are_learnt_from_a_few_of_them() {
    let server = server().await;
    let mut agents = settled(&server, 9, "5.22.1").await;
    assert_eq!(asked(&mut agents).await, 5);
    server.run_tasks().await;
    assert_eq!(asked(&mut agents).await, 0);
    let schema = server.rest.get("/api/v1/fleet/schema").await.json();
    let group = &schema["groups"][0];
    assert_eq!((&group["platform"], &group["hosts"], &group["reports"]), (&"debian".into(), &9.into(), &5.into()));
    // As agents themselves say: those of other platforms are not there.
    let own = agents[0].agent_mut().ask("SELECT count(*) AS n FROM osquery_registry WHERE registry = 'table'", 0).0;
    let own: usize = own.unwrap()[0][0].1.parse().unwrap();
    let tables = schema["tables"].as_array().unwrap();
    let everywhere = tables.iter().filter(|table| table["on_some_hosts"] == false).count();
    assert!((own - 1..=own).contains(&everywhere), "{everywhere} of {own}: one table only some hosts have");
    let users = named(&schema["tables"], "users");
    assert_eq!(named(&users["columns"], "uid")["type"], "BIGINT", "{users}");
    assert_eq!(named(&schema["tables"], "launchd"), &Value::Null);
    assert_eq!(server.number("SELECT count(*) FROM schema_reports"), 5);
    let observer = server.user("observer");
    assert_eq!(observer.get("/api/v1/fleet/schema?names_only=true").await.status, 200);

    // Some are upgraded: they are asked for the tables of the new version.
    let mut upgraded = Vec::new();
    for (agent, index) in agents.iter().zip(1..=4) {
        let mut newer = server.address.agent_of(identity(index, "5.23.1"));
        newer.agent_mut().import_key(agent.node_key());
        upgraded.push(newer);
    }
    server.clock.advance(Duration::from_secs(2 * 3600));
    join_all(upgraded.iter_mut().map(settle)).await;
    // What queries have cost is asked first.
    let mut asked_again = 0;
    for _ in 0..4 {
        server.run_tasks().await;
        asked_again += asked(&mut upgraded).await;
    }
    assert_eq!(asked_again, 4);
    server.run_tasks().await;
    let schema = server.rest.get("/api/v1/fleet/schema?osquery_version=5.23.1").await.json();
    assert_eq!((&schema["groups"][0]["hosts"], &schema["groups"][0]["reports"]), (&4.into(), &4.into()), "{schema}");
    assert_eq!(named(&schema["tables"], "processes")["agreed"], true);
}

/// The question is not parked, and others are asked instead of a host that it stops.
#[tokio::test]
async fn a_worker_that_the_question_stops_is_left_alone() {
    let server = server().await;
    let mut agents = settled(&server, 4, "5.23.1").await;
    agents[0].agent_mut().set_killer(Some(Arc::new(|sql: &str| sql.contains("pragma_table_xinfo"))));
    assert_eq!(asked(&mut agents).await, 4);
    let mut again = 0;
    for _ in 0..12 {
        server.clock.advance(Duration::from_secs(20 * 60));
        again += asked(&mut agents[..1]).await;
        server.run_tasks().await;
    }
    assert!((1..=6).contains(&again), "asked {again} times more");
    assert_eq!(server.number("SELECT count(*) FROM parked_queries"), 0);
    let schema = server.rest.get("/api/v1/fleet/schema?table=users").await.json();
    assert_eq!((&schema["groups"][0]["reports"], &schema["tables"][0]["agreed"]), (&3.into(), &true.into()));
}

/// Prints what the question costs an agent and the database.
#[tokio::test]
#[ignore = "prints figures"]
async fn bytes_of_a_report() {
    let server = server().await;
    let mut agents = settled(&server, 5, "5.23.1").await;
    let mut rounds = join_all(agents.iter_mut().map(TestAgent::distributed)).await;
    rounds.retain(|round| questions(round) == [QUESTION]);
    server.run_tasks().await;
    let rows = agents[0]
        .agent_mut()
        .ask("SELECT count(*) FROM osquery_registry AS r, pragma_table_xinfo(r.name) WHERE r.registry = 'table'", 0);
    println!("{} hosts asked, columns: {:?}", rounds.len(), rows.0.unwrap()[0][0].1);
    for sql in [
        "SELECT count(*) FROM table_sets",
        "SELECT max(length(tables)) FROM table_sets",
        "SELECT count(*) FROM schema_reports",
    ] {
        println!("{sql}: {}", server.number(sql));
    }
    let answer = server.rest.get("/api/v1/fleet/schema").await;
    println!("GET schema: {} bytes", answer.text.len());
    let names = server.rest.get("/api/v1/fleet/schema?names_only=true").await;
    println!("GET schema?names_only=true: {} bytes", names.text.len());
}
