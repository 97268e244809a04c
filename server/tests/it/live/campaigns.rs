use std::time::Duration;

use muster_api::rest::LiveStatus;
use serde_json::{Value, json};

use super::{hosts, job};
use crate::support::{Answer, TestServer, eventually, skipped_with_redis};

const SQL: &str = "SELECT version FROM osquery_info";

/// Starts a campaign with names and gives its id.
pub async fn campaign(server: &TestServer, hosts: &[String]) -> i64 {
    let answer =
        run(server, json!({ "query": SQL, "query_id": null, "selected": { "hosts": hosts, "labels": null } })).await;
    answer.json()["campaign"]["id"].as_i64().unwrap_or_else(|| panic!("{answer:?}"))
}

async fn run(server: &TestServer, body: Value) -> Answer {
    server.rest.post("queries/run_by_names", &body).await
}

#[tokio::test]
async fn the_reply_is_the_one_fleets_clients_know() {
    let server = TestServer::start().await;
    hosts(&server, 3).await;
    let answer = run(&server, json!({ "query": SQL, "selected": { "labels": ["All Hosts"] } })).await.json();
    let campaign = &answer["campaign"];
    assert_eq!(
        campaign["Metrics"],
        json!({ "TotalHosts": 3, "OnlineHosts": 3, "OfflineHosts": 0, "MissingInActionHosts": 0, "NewHosts": 3 })
    );
    assert_eq!((&campaign["status"], &campaign["query_id"]), (&json!(0), &json!(0)));
    let author = server.rest.get("me").await.json()["user"]["id"].clone();
    assert_eq!(campaign["user_id"], author);
    assert!(campaign["created_at"].is_string() && campaign["updated_at"].is_string());
}

#[tokio::test]
async fn who_is_asked_follows_from_hosts_and_labels() {
    let server = TestServer::start().await;
    let agents = hosts(&server, 3).await;
    let uuid = agents[0].agent().identity().uuid.clone();
    let label = json!({ "kind": "label", "spec":
        { "name": "one", "label_membership_type": "manual", "hosts": [agents[1].agent().identity().uuid] } });
    server.rest.apply(&[label]).await;
    for (selected, expected) in [
        (json!({ "hosts": [uuid] }), 1),
        (json!({ "labels": ["one"], "hosts": [uuid] }), 2),
        (json!({ "labels": ["one", "All Linux"] }), 1),
        (json!({ "labels": ["one", "macOS"], "hosts": [uuid] }), 1),
        (json!({ "labels": ["one", "macOS", "All Hosts"] }), 3),
    ] {
        let answer = run(&server, json!({ "query": SQL, "selected": selected })).await;
        assert_eq!(answer.json()["campaign"]["Metrics"]["TotalHosts"], expected, "{selected}: {}", answer.text);
    }
}

#[tokio::test]
async fn nothing_that_was_asked_for_is_left_out_in_silence() {
    let server = TestServer::start().await;
    hosts(&server, 1).await;
    for (path, body, status, problem) in [
        ("run_by_names", json!({ "query": SQL, "selected": { "hosts": ["nobody"] } }), 422, "selected.hosts[0]: "),
        ("run_by_names", json!({ "query": SQL, "selected": { "labels": ["none"] } }), 422, "selected.labels[0]: "),
        ("run", json!({ "query": SQL, "selected": { "hosts": [1, 99] } }), 422, "selected.hosts[1]: "),
        ("run", json!({ "query": SQL, "selected": { "labels": [99] } }), 422, "selected.labels[0]: "),
        ("run", json!({ "query": SQL, "selected": { "hosts": [1], "teams": [1] } }), 422, "selected.teams: "),
        ("run", json!({ "query": SQL, "selected": { "hosts": [] } }), 400, "base: no hosts targeted"),
        ("run", json!({ "query": "", "selected": { "hosts": [1] } }), 422, "query: "),
        ("run", json!({ "selected": { "hosts": [1] } }), 422, "query: "),
        ("run", json!({ "query_id": 99, "selected": { "hosts": [1] } }), 422, "query_id: "),
        ("run", json!({ "query": SQL, "selected": { "host": [1] } }), 400, "base: "),
    ] {
        let answer = server.rest.post(&format!("queries/{path}"), &body).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert!(answer.problems()[0].starts_with(problem), "{body}: {:?}", answer.problems());
    }
}

#[tokio::test]
async fn a_campaign_nobody_watches_ends() {
    let server = TestServer::start().await;
    let agents = hosts(&server, 1).await;
    let id = campaign(&server, &[agents[0].agent().identity().uuid.clone()]).await;
    server.clock.advance(Duration::from_secs(59));
    server.run_tasks().await;
    assert_eq!(job(&server, id).await.status, LiveStatus::Open);
    server.clock.advance(Duration::from_secs(1));
    server.run_tasks().await;
    let job = job(&server, id).await;
    assert_eq!((job.status, job.counts.cancelled), (LiveStatus::Cancelled, 1));
    assert!(job.stop_reason.unwrap().contains("nobody came to watch"));
}

/// As after a `kill -9`: the last that is known is that somebody watched.
#[tokio::test]
async fn a_campaign_that_a_restart_left_alone_ends_when_nobody_can_be_watching() {
    let mut server = TestServer::start().await;
    let agents = hosts(&server, 1).await;
    let uuid = agents[0].agent().identity().uuid.clone();
    let (soon, late) = (campaign(&server, std::slice::from_ref(&uuid)).await, campaign(&server, &[uuid]).await);
    let own = super::ask(&server, SQL).await.id;
    server.restart().await;
    server.run_tasks().await;
    assert_eq!(job(&server, soon).await.status, LiveStatus::Open, "whoever watched may come back");
    server.clock.advance(Duration::from_secs(60));
    server.run_tasks().await;
    assert_eq!(job(&server, soon).await.status, LiveStatus::Cancelled);
    // The other one ended while the server was away.
    let reopen = format!("UPDATE live_queries SET status = 'open', finished_at = NULL WHERE id = {late}");
    server.database().execute(&reopen);
    server.restart().await;
    eventually("the campaign ends", Duration::from_secs(20), async || {
        server.run_tasks().await;
        (job(&server, late).await.status == LiveStatus::Cancelled).then_some(())
    })
    .await;
    assert_eq!(job(&server, own).await.status, LiveStatus::Open, "what is no campaign goes on");
}

#[tokio::test]
async fn that_a_campaign_is_watched_is_noted() {
    let server = TestServer::start().await;
    let agents = hosts(&server, 1).await;
    let id = campaign(&server, &[agents[0].agent().identity().uuid.clone()]).await;
    let mut socket = super::sockets::Socket::watch(&server, id).await;
    socket.next().await;
    for _ in 0..4 {
        server.clock.advance(Duration::from_secs(40));
        server.run_tasks().await;
        let left = server.number("SELECT watched_until FROM live_queries") - server.clock.now().0;
        assert!(left > 0, "{left}");
    }
    assert_eq!(job(&server, id).await.status, LiveStatus::Open);
}

/// Lets the agents answer as soon as there is something to answer.
async fn answer_when_asked(server: &TestServer, agents: &mut [agent_compat::TestAgent]) {
    eventually("a query is asked", Duration::from_secs(20), async || {
        let open = server.rest.get("live_queries").await.json();
        open["live_queries"].as_array().is_some_and(|open| !open.is_empty()).then_some(())
    })
    .await;
    for agent in agents {
        agent.distributed().await;
    }
}

#[tokio::test]
async fn a_request_that_waits_answers_when_those_online_have() {
    if skipped_with_redis("campaigns end by a lease there, see live_nodes") {
        return;
    }
    let server = TestServer::start().await;
    let mut agents = hosts(&server, 3).await;
    let query = server.rest.post("queries", &json!({ "name": "version", "query": SQL })).await.json();
    let query_id = query["query"]["id"].as_i64().unwrap();
    // The third host goes offline.
    server.clock.advance(Duration::from_secs(600));
    for agent in &mut agents[..2] {
        crate::checkin::settle(agent).await;
    }
    let body = json!({ "query_ids": [query_id, 99], "host_ids": [1, 2, 3] });
    let (answer, ()) =
        tokio::join!(server.rest.send("GET", "queries/run", Some(&body)), answer_when_asked(&server, &mut agents[..2]));
    let answer = answer.json();
    assert_eq!(answer["summary"], json!({ "targeted_host_count": 3, "responded_host_count": 2 }), "{answer:#}");
    let first = &answer["live_query_results"][0];
    assert_eq!((&first["query_id"], first["results"].as_array().unwrap().len()), (&json!(query_id), 2));
    assert!(first["results"][0]["rows"][0]["version"].is_string(), "{first:#}");
    assert_eq!((&first["results"][0]["error"], first.get("error")), (&Value::Null, None));
    assert!(answer["live_query_results"][1]["error"].as_str().unwrap().contains("99"), "{answer:#}");
    let open = server.rest.get("live_queries").await.json();
    assert_eq!(open, json!({ "live_queries": [] }), "nobody is asked any more");
}

#[tokio::test]
async fn a_request_that_waits_says_what_it_has_no_room_for() {
    let server = TestServer::with(|config| config.live.max_rest_results = muster::config::Bytes(10)).await;
    let mut agents = hosts(&server, 1).await;
    let query = server.rest.post("queries", &json!({ "name": "version", "query": SQL })).await.json();
    let body = json!({ "query_ids": [query["query"]["id"]], "host_ids": [1] });
    // The same operation, for clients that cannot send a body with GET.
    let (answer, ()) = tokio::join!(server.rest.post("queries/run", &body), answer_when_asked(&server, &mut agents));
    let answer = answer.json();
    let query = &answer["live_query_results"][0];
    assert!(query["error"].as_str().unwrap().contains("live.max_rest_results"), "{answer:#}");
    assert_eq!(query["results"][0]["rows"], json!([]));
    assert!(query["results"][0]["error"].as_str().unwrap().contains("live.max_rest_results"), "{answer:#}");
}

#[tokio::test]
async fn targets_are_found_and_counted() {
    let server = TestServer::start().await;
    let agents = hosts(&server, 12).await;
    let name = agents[4].agent().identity().hostname.clone();
    let found = server.rest.post("targets", &json!({ "query": name, "selected": { "hosts": [], "labels": [] } })).await;
    let found = found.json();
    assert_eq!(found["targets"]["hosts"][0]["display_name"], name);
    let labels: Vec<&Value> =
        found["targets"]["labels"].as_array().unwrap().iter().map(|label| &label["name"]).collect();
    assert_eq!(labels, ["All Hosts"], "{found:#}");
    assert_eq!(found["targets_count"], 0);
    let found =
        server.rest.post("targets", &json!({ "query": "", "selected": { "hosts": [1, 2], "labels": null } })).await;
    let found = found.json();
    assert_eq!(found["targets"]["hosts"].as_array().unwrap().len(), 10);
    assert!(found["targets"]["hosts"].as_array().unwrap().iter().all(|host| host["id"].as_i64() > Some(2)));
    let count = server.rest.post("targets/count", &json!({ "selected": { "hosts": [1, 2] } })).await.json();
    let expected =
        json!({ "targets_count": 2, "targets_online": 2, "targets_offline": 0, "targets_missing_in_action": 0 });
    assert_eq!(count, expected);
}
