//! A node whose plain readings lag behind what the others have committed, as behind a proxy that reads from replicas.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use agent_compat::TestAgent;
use agent_compat::agent::{AgentEndpoint, Identity, Platform};
use muster_api::rest::LiveStatus;
use serde_json::json;

use super::seen_at;
use crate::live;
use crate::support::{Proxy, TestServer, assert_refused, eventually, mariadb, on_mariadb};

/// Tables, and those of the same shape that lag behind them.
type Replicas = &'static [(&'static str, &'static str)];

const HOSTS_LAG: Replicas = &[("`node_keys`", "`node_keyz`"), ("`hosts`", "`hostz`")];
const LIVE_QUERIES_LAG: Replicas = &[("`live_queries`", "`live_queriez`")];

/// Whether a piece of what goes to the database holds these words.
fn has(piece: &[u8], text: &str) -> bool {
    piece.windows(text.len()).any(|part| part == text.as_bytes())
}

/// Sends plain readings of tables to those that lag behind.
fn read_from(replicas: Replicas, piece: &mut [u8]) -> bool {
    if !has(piece, "SELECT ") || has(piece, "FOR UPDATE") || has(piece, "UPDATE (") {
        return true;
    }
    for (table, replica) in replicas {
        let windows = piece.windows(table.len()).enumerate();
        let found: Vec<usize> = windows.filter(|(_, part)| *part == table.as_bytes()).map(|(at, _)| at).collect();
        for at in found {
            piece[at..at + replica.len()].copy_from_slice(replica.as_bytes());
        }
    }
    true
}

/// Makes the tables that lag behind equal to the others, as they are now.
fn let_replicas_catch_up(server: &TestServer) {
    let database = server.database();
    for (table, replica) in [("node_keys", "node_keyz"), ("hosts", "hostz"), ("live_queries", "live_queriez")] {
        database.execute(&format!("CREATE OR REPLACE TABLE {replica} AS SELECT * FROM {table}"));
    }
}

/// Two nodes over one database; the readings of the second stand still.
async fn one_and_lagging(per_second: u32, replicas: Replicas) -> (TestServer, TestServer, Proxy) {
    lagging_beside(TestServer::on_mariadb().await, per_second, replicas).await
}

async fn lagging_beside(one: TestServer, per_second: u32, replicas: Replicas) -> (TestServer, TestServer, Proxy) {
    let_replicas_catch_up(&one);
    let (other, proxy) = behind(&one, per_second, move |piece| read_from(replicas, piece)).await;
    (one, other, proxy)
}

/// Another node, which reaches the database through a proxy.
async fn behind(
    one: &TestServer,
    per_second: u32,
    rewrite: impl Fn(&mut [u8]) -> bool + Send + Sync + 'static,
) -> (TestServer, Proxy) {
    let proxy = Proxy::rewriting(&mariadb::shared().address, rewrite);
    let address = proxy.address();
    let other = TestServer::beside_with(one, |config| {
        config.mysql.address = address;
        config.osquery.key_confirmations_per_second = per_second;
    })
    .await;
    (other, proxy)
}

/// A machine that shares its identity with others.
fn clone_of(server: &TestServer, instance: &str) -> TestAgent {
    let identity = Identity { instance_id: instance.to_owned(), ..Identity::simulated(1, 1, Platform::Linux) };
    server.address.agent_of(identity)
}

fn with_key(key: &str) -> String {
    format!(r#"{{"node_key":"{key}"}}"#)
}

#[tokio::test]
async fn a_key_that_a_reading_does_not_show_yet_is_good() {
    let (one, other, _proxy) = one_and_lagging(500, HOSTS_LAG).await;
    let mut agent = one.enrolled(1).await;
    let key = agent.node_key().to_owned();
    other.address.draw(&mut agent);
    assert!(agent.config().await.verdict.is_success());
    assert_eq!((agent.node_key(), agent.counters().node_invalid()), (key.as_str(), 0));
    assert_eq!(one.number("SELECT count(*) FROM node_keys"), 1);
    let made_up = agent.raw(AgentEndpoint::Config, with_key("made-up"), &[]).await;
    assert!(made_up.verdict.is_node_invalid(), "{made_up:?}");
}

#[tokio::test]
async fn made_up_keys_beyond_the_limit_are_told_to_come_back() {
    let (_one, other, _proxy) = one_and_lagging(1, HOSTS_LAG).await;
    let agent = other.agent(1);
    let ask = async |key: String| agent.raw(AgentEndpoint::Config, with_key(&key), &[]).await;
    let answers = futures_util::future::join_all((0..20).map(|index| ask(format!("made-up-{index}")))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| !answer.verdict.is_node_invalid()).collect();
    assert!(refused.len() > 5, "{}", refused.len());
    for answer in refused {
        assert_refused(answer, "unknown node keys");
        assert_eq!(answer.status(), 503);
    }
    assert!(other.metric(r#"muster_limit_hits_total{limit="key_confirmations_per_second"}"#).await > 5.0);
    eventually("there is room again", Duration::from_secs(30), async || {
        ask("made-up-0".to_owned()).await.verdict.is_node_invalid().then_some(())
    })
    .await;
}

/// A node that was away compares all hosts in memory with the database.
#[tokio::test]
async fn a_host_that_a_reading_does_not_show_is_not_taken_for_deleted() {
    let (one, other, _proxy) = one_and_lagging(500, HOSTS_LAG).await;
    let mut agents = vec![one.enrolled(1).await, one.enrolled(2).await];
    for agent in &mut agents {
        other.address.draw(agent);
        assert!(agent.config().await.verdict.is_success());
    }
    one.database().execute("DELETE FROM host_changes");
    one.clock.advance(Duration::from_secs(3600));
    other.run_tasks().await;
    assert_eq!(other.metric("muster_hosts_in_memory").await, 2.0);
    for agent in &mut agents {
        let exchange = agent.config().await;
        assert!(exchange.verdict.is_success(), "{exchange:?}");
        assert_eq!(agent.counters().node_invalid(), 0);
    }
    // A host that is deleted indeed goes.
    one.database().execute("DELETE FROM node_keys WHERE host_id = 1");
    one.database().execute("DELETE FROM hosts WHERE id = 1");
    one.clock.advance(Duration::from_secs(3600));
    other.run_tasks().await;
    assert!(agents[0].config().await.verdict.is_node_invalid());
    let exchange = agents[1].config().await;
    assert!(exchange.verdict.is_success(), "{exchange:?}");
}

/// Two machines of one identity, both known to the node that lags behind, are told apart by the other.
#[tokio::test]
async fn a_key_that_was_moved_is_not_served_as_the_host_it_belonged_to() {
    let (one, other, _proxy) = one_and_lagging(500, HOSTS_LAG).await;
    let mut clones: Vec<_> = ["instance-one", "instance-two"].map(|instance| clone_of(&one, instance)).into();
    for clone in &mut clones {
        assert!(clone.enroll().await.verdict.is_success());
    }
    let_replicas_catch_up(&one);
    let hosts = || one.number("SELECT count(DISTINCT host_id) FROM node_keys");
    for _ in 0..10 {
        if hosts() == 2 {
            break;
        }
        for clone in &mut clones {
            other.address.draw(clone);
            assert!(clone.config().await.verdict.is_success());
        }
        one.clock.advance(Duration::from_secs(130));
        // The first leads, because its lease has ended and it asks first; the other has seen the keys.
        for server in [&one, &other, &one] {
            server.run_tasks().await;
        }
    }
    assert_eq!(hosts(), 2);
    let stale = one.number("SELECT count(DISTINCT host_id) FROM node_keyz");
    assert_eq!(stale, 1, "the replicas still show one host");
    other.run_tasks().await;

    one.clock.advance(Duration::from_secs(5));
    let before = one.clock.now().0;
    assert!(clones[1].config().await.verdict.is_success());
    one.clock.advance(Duration::from_secs(60));
    other.run_tasks().await;
    one.run_tasks().await;
    let owner_of =
        |instance: &str| one.number(&format!("SELECT host_id FROM node_keys WHERE instance_id = '{instance}'"));
    assert!(seen_at(&one, owner_of("instance-two")).await >= before - 5_000_000);
    assert!(seen_at(&one, owner_of("instance-one")).await < before - 5_000_000);
    assert_eq!(clones[1].counters().node_invalid(), 0);
}

/// As after a failover that drops packets: nobody hears that the connection is dead.
#[tokio::test]
async fn a_connection_that_falls_silent_does_not_keep_keys_from_being_confirmed_for_ever() {
    let one = TestServer::on_mariadb().await;
    let is_swallowed = AtomicBool::new(false);
    let (other, _proxy) = behind(&one, 500, move |piece| {
        let is_confirmation = has(piece, "`node_keys`") && has(piece, "FOR UPDATE");
        !is_confirmation || is_swallowed.swap(true, Ordering::Relaxed)
    })
    .await;
    let agent = other.agent(1);
    let ask = async || agent.raw(AgentEndpoint::Config, with_key("made-up"), &[]).await;
    assert_refused(&ask().await, "not confirmed");
    eventually("keys are confirmed again", Duration::from_secs(60), async || {
        ask().await.verdict.is_node_invalid().then_some(())
    })
    .await;
}

/// A server of a cluster waits for the others at the beginning of a transaction and never within one.
#[tokio::test]
async fn a_cluster_is_waited_for_before_a_key_is_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("statements");
    let own = mariadb::Mariadb::start(&["--general-log=1", &format!("--general-log-file={}", log.display())]);
    let server = TestServer::with(|config| on_mariadb(config, &own.address())).await;
    let agent = server.agent(1);
    let made_up = agent.raw(AgentEndpoint::Config, with_key("made-up"), &[]).await;
    assert!(made_up.verdict.is_node_invalid(), "{made_up:?}");

    let log = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
    let said: Vec<(u32, &str)> = log.lines().filter_map(statement).collect();
    let is_confirmation = |text: &str| text.contains("`node_keys`") && text.ends_with("FOR UPDATE");
    let at = said.iter().position(|(_, text)| is_confirmation(text)).unwrap();
    let of_connection: Vec<&str> =
        said[..=at].iter().filter(|(id, _)| *id == said[at].0).map(|(_, text)| *text).collect();
    assert!(of_connection.contains(&"SET SESSION wsrep_sync_wait=15"), "{of_connection:?}");
    assert!(!of_connection.iter().any(|text| ["BEGIN", "START TRANSACTION"].contains(text)), "{of_connection:?}");
}

/// The connection and the text of a statement, from a line of the general log.
fn statement(line: &str) -> Option<(u32, &str)> {
    let (before, text) = line.rsplit_once('\t')?;
    let (id, command) = before.rsplit('\t').next()?.trim().split_once(' ')?;
    ["Query", "Execute"].contains(&command).then_some((id.parse().ok()?, text))
}

/// A node neither forgets a live query that was started there, nor drops an answer to one that it has not seen yet.
#[tokio::test]
async fn a_live_query_that_a_reading_does_not_show_yet_goes_on() {
    // Two nodes need Redis for live queries; the tests that choose MariaDB have it.
    if !mariadb::is_chosen() {
        return;
    }
    let (one, other, _proxy) = lagging_beside(TestServer::start().await, 500, LIVE_QUERIES_LAG).await;
    let mut agents = live::hosts(&one, 2).await;
    other.address.draw(&mut agents[0]);
    let id = live::ask(&other, "SELECT 1").await.id;
    let results = other.rest.getting(&format!("live_queries/{id}/results?follow=true")).send().await.unwrap();
    for _ in 0..3 {
        other.run_tasks().await;
    }
    agents[0].distributed().await;
    agents[1].distributed().await;
    eventually("all have answered", Duration::from_secs(30), async || {
        other.run_tasks().await;
        (live::job(&other, id).await.status == LiveStatus::Complete).then_some(())
    })
    .await;
    let lines = results.text().await.unwrap();
    assert_eq!(lines.lines().filter(|line| !line.is_empty()).count(), 2, "its follower sees both answers: {lines}");

    let unseen = live::ask(&one, "SELECT 2").await.id;
    let name = format!("fleet_distributed_query_{unseen}");
    let body =
        json!({ "node_key": agents[0].node_key(), "queries": { &name: [{ "a": "1" }] }, "statuses": { &name: 0 } });
    let taken = agents[0].raw(AgentEndpoint::DistributedWrite, body.to_string(), &[]).await;
    assert!(taken.verdict.is_success(), "{taken:?}");
    eventually("the answer to the lagging node is kept", Duration::from_secs(20), async || {
        let counts = live::counts(&one, unseen).await;
        eprintln!("{counts:?}");
        (counts.answered == 1).then_some(())
    })
    .await;
}

/// Also when the key shows only once the body was read, on a thread of its own.
#[tokio::test]
async fn a_large_write_with_an_unknown_key_is_told_so() {
    let (_one, other, _proxy) = one_and_lagging(500, HOSTS_LAG).await;
    let agent = other.enrolled(1).await;
    let rows = "{\"a\":\"1\"},".repeat(300_000);
    let body = format!("{{\"queries\":{{\"q\":[{rows}{{}}]}},\"node_key\":\"made-up\",\"statuses\":{{\"q\":0}}}}");
    assert!(body.len() > 2 << 20);
    let header = format!("NodeKey {}", agent.node_key());
    for _ in 0..2 {
        let known = [("Authorization", header.as_str())];
        let refused = agent.raw(AgentEndpoint::DistributedWrite, body.clone(), &known).await;
        assert!(refused.verdict.is_node_invalid(), "{refused:?}");
    }
    let refused = agent.raw(AgentEndpoint::Config, with_key("made-up-too"), &[]).await;
    assert!(refused.verdict.is_node_invalid(), "keys are still confirmed: {refused:?}");
}
