use std::process::Command;
use std::time::Duration;

use agent_compat::agent::AgentEndpoint;
use muster_api::rest::LiveStatus;
use serde_json::{Map, json};
use tokio::net::unix::pipe;
use tokio::time::timeout;

use super::{RETRY_WINDOW, answers, ask, counts, hosts, job, results_file};
use crate::support::{TestServer, assert_refused, eventually, skipped_with_redis};

/// Longest wait for what happens at once.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_job_goes_on_after_the_server_was_restarted() {
    let mut server = TestServer::start().await;
    let mut agents = hosts(&server, 3).await;
    let id = ask(&server, "SELECT 1").await.id;
    agents[0].distributed().await;
    // It has the query and has not answered when the server goes away.
    agents[1].read().await;
    server.run_tasks().await;
    server.restart().await;
    assert_eq!(counts(&server, id).await.answered, 1);
    server.clock.advance(RETRY_WINDOW);
    for agent in &mut agents {
        agent.distributed().await;
    }
    let of = counts(&server, id).await;
    assert_eq!(of.answered, 3, "{of:?}");
    assert_eq!(answers(&server, id, 0).await.len(), 3);
    assert_eq!(job(&server, id).await.status, LiveStatus::Complete);
    server.run_tasks().await;
    server.restart().await;
    assert_eq!(job(&server, id).await.status, LiveStatus::Complete, "and what is over stays over");
    assert_eq!(answers(&server, id, 0).await.len(), 3);
}

/// Ended jobs are many, and each stream that is open costs; so they are opened for whoever reads the answers.
#[tokio::test]
async fn what_is_over_is_listed_without_its_answers() {
    let mut server = TestServer::start().await;
    let mut agents = hosts(&server, 1).await;
    let id = ask(&server, "SELECT 1").await.id;
    agents[0].distributed().await;
    server.run_tasks().await;
    server.restart().await;
    let opened = r#"muster_bus_commands_total{command="open"}"#;
    for _ in 0..3 {
        let listed = server.rest.get("live_queries?status=all").await.json();
        assert_eq!(listed["live_queries"][0]["counts"]["answered"], 1, "{listed:#}");
        assert_eq!(job(&server, id).await.counts.answered, 1);
    }
    assert_eq!(server.metric(opened).await, 0.0);
    assert_eq!(answers(&server, id, 0).await.len(), 1);
    assert_eq!(server.metric(opened).await, 1.0, "and only then");
}

#[tokio::test]
async fn the_cost_of_a_query_is_known_after_a_restart() {
    let mut server = TestServer::start().await;
    let mut agents = hosts(&server, 3).await;
    let id = ask(&server, "SELECT 1").await.id;
    agents[0].distributed().await;
    agents[1].distributed().await;
    let before = job(&server, id).await.cost.unwrap();
    assert_eq!(before.hosts, 2);
    server.run_tasks().await;
    server.restart().await;
    assert_eq!(job(&server, id).await.cost, Some(before));
    agents[2].distributed().await;
    let done = job(&server, id).await;
    assert_eq!((done.status, done.cost.unwrap().hosts), (LiveStatus::Complete, 3));
    server.run_tasks().await;
    server.restart().await;
    assert_eq!(job(&server, id).await.cost, done.cost, "also when it is over");
}

/// Answers since the last checkpoint, which a crash has left behind, are read and counted.
#[tokio::test]
async fn answers_behind_the_last_checkpoint_count_after_a_restart() {
    if skipped_with_redis("it is about the files of the embedded bus") {
        return;
    }
    let mut server = TestServer::start().await;
    let mut agents = hosts(&server, 4).await;
    let id = ask(&server, "SELECT 1").await.id;
    agents[0].distributed().await;
    server.run_tasks().await;
    let row = format!("FROM live_queries WHERE id = {id}");
    server.database().execute(&format!("CREATE TABLE earlier AS SELECT states, results_bytes {row}"));
    agents[1].distributed().await;
    agents[2].distributed().await;
    let before = job(&server, id).await;
    server.stop().await;
    server.database().execute(
        "UPDATE live_queries SET states = (SELECT states FROM earlier), results_bytes = (SELECT results_bytes FROM earlier)",
    );
    server.try_start().await.unwrap();
    server.run_tasks().await;
    let after = job(&server, id).await;
    assert_eq!((after.counts, after.cost), (before.counts, before.cost));
    let size = results_file(&server.folder().join("live"), id).unwrap().metadata().unwrap().len();
    assert_eq!(server.number(&format!("SELECT results_bytes {row}")), size.cast_signed());
    agents[3].distributed().await;
    assert_eq!(job(&server, id).await.status, LiveStatus::Complete);
    assert_eq!(answers(&server, id, 0).await.len(), 4);
}

/// A pipe stands in for a file that takes for ever to read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_are_served_while_answers_of_before_a_restart_are_read() {
    if skipped_with_redis("it is about the files of the embedded bus") {
        return;
    }
    let mut server = TestServer::with(|config| config.osquery.answer_timeout = Duration::from_secs(2)).await;
    let mut agents = hosts(&server, 3).await;
    let id = ask(&server, "SELECT 1").await.id;
    agents[0].distributed().await;
    agents[1].read().await;
    server.run_tasks().await;
    server.stop().await;
    let path = results_file(&server.folder().join("live"), id).unwrap();
    let (kept, stuck) = (path.with_extension("kept"), path.with_extension("stuck"));
    std::fs::rename(&path, &kept).unwrap();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());

    timeout(SOON, server.try_start()).await.expect("it starts").unwrap();
    assert!(agents[2].config().await.verdict.is_success());
    let read = agents[2].read().await;
    assert_eq!(read.verdict.value().unwrap()["queries"], json!({}), "nobody is sent it yet");
    assert_eq!(counts(&server, id).await.answered, 1, "as of the last checkpoint");
    let other = ask(&server, "SELECT 2").await.id;
    agents[2].distributed().await;
    assert_eq!(counts(&server, other).await.answered, 1, "what is new goes on");
    let third = ask(&server, "SELECT 3").await.id;
    agents[1].read().await;
    let write = |ids: &[i64]| {
        let names: Vec<_> = ids.iter().map(|id| format!("fleet_distributed_query_{id}")).collect();
        let queries: Map<_, _> = names.iter().map(|name| (name.clone(), json!([{ "1": "1" }]))).collect();
        let statuses: Map<_, _> = names.iter().map(|name| (name.clone(), json!(0))).collect();
        json!({ "node_key": agents[1].node_key(), "queries": queries, "statuses": statuses }).to_string()
    };
    let send = async |ids: &[i64]| agents[1].raw(AgentEndpoint::DistributedWrite, write(ids), &[]).await;
    assert_refused(&send(&[id, other, third]).await, "one answer can be neither kept nor thrown away");
    assert_eq!(
        (counts(&server, other).await.answered, counts(&server, third).await.answered),
        (2, 1),
        "others are kept"
    );
    for _ in 0..2 {
        let taken = send(&[id]).await;
        assert!(taken.verdict.is_success(), "{taken:?}");
        assert_refused(&send(&[id]).await, "never twice in a row");
    }

    std::fs::rename(&path, &stuck).unwrap();
    std::fs::rename(&kept, &path).unwrap();
    // Whoever waits for the pipe finds that it is none of these files, and looks again.
    pipe::OpenOptions::new().open_sender(&stuck).unwrap();
    eventually("the answer is kept", SOON, async || {
        send(&[id]).await;
        (counts(&server, id).await.answered == 2).then_some(())
    })
    .await;
    server.clock.advance(RETRY_WINDOW);
    for agent in &mut agents {
        agent.distributed().await;
        agent.distributed().await;
    }
    for (job_id, lines) in [(id, 3), (other, 3), (third, 3)] {
        let done = job(&server, job_id).await;
        assert_eq!((done.status, done.counts.answered), (LiveStatus::Complete, 3), "{done:?}");
        assert_eq!(answers(&server, job_id, 0).await.len(), lines);
    }
}
