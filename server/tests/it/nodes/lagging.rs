//! A node whose plain readings lag behind what the others have committed, as behind a proxy that reads from replicas.

use std::time::Duration;

use agent_compat::agent::AgentEndpoint;
use muster_api::rest::LiveStatus;
use serde_json::json;

use crate::live;
use crate::support::{Proxy, TestServer, assert_refused, eventually, mariadb};

/// Sends plain readings of keys and hosts to tables that lag behind.
fn hosts_lag(piece: &mut [u8]) {
    lag(piece, &[("`node_keys`", "`node_keyz`"), ("`hosts`", "`hostz`")]);
}

/// As above, of live queries alone.
fn live_queries_lag(piece: &mut [u8]) {
    lag(piece, &[("`live_queries`", "`live_queriez`")]);
}

fn lag(piece: &mut [u8], tables: &[(&str, &str)]) {
    let has = |piece: &[u8], text: &str| piece.windows(text.len()).any(|part| part == text.as_bytes());
    if !has(piece, "SELECT ") || has(piece, "FOR UPDATE") {
        return;
    }
    for (table, replica) in tables {
        let windows = piece.windows(table.len()).enumerate();
        let found: Vec<usize> = windows.filter(|(_, part)| *part == table.as_bytes()).map(|(at, _)| at).collect();
        for at in found {
            piece[at..at + replica.len()].copy_from_slice(replica.as_bytes());
        }
    }
}

/// Two nodes over one database; the readings of the second stand still.
async fn one_and_lagging(per_second: u32, lag: fn(&mut [u8])) -> (TestServer, TestServer, Proxy) {
    let one = TestServer::start().await;
    let database = one.database();
    database.execute("CREATE TABLE node_keyz LIKE node_keys");
    database.execute("CREATE TABLE hostz LIKE hosts");
    database.execute("CREATE TABLE live_queriez LIKE live_queries");
    let proxy = Proxy::rewriting(&mariadb::shared().address, lag);
    let address = proxy.address();
    let other = TestServer::beside_with(&one, |config| {
        config.mysql.address = address;
        config.osquery.key_confirmations_per_second = per_second;
    })
    .await;
    (one, other, proxy)
}

fn with_key(key: &str) -> String {
    format!(r#"{{"node_key":"{key}"}}"#)
}

#[tokio::test]
async fn a_key_that_a_reading_does_not_show_yet_is_good() {
    if !mariadb::is_chosen() {
        return;
    }
    let (one, other, _proxy) = one_and_lagging(500, hosts_lag).await;
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
    if !mariadb::is_chosen() {
        return;
    }
    let (_one, other, _proxy) = one_and_lagging(1, hosts_lag).await;
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
    if !mariadb::is_chosen() {
        return;
    }
    let (one, other, _proxy) = one_and_lagging(500, hosts_lag).await;
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

/// A node neither forgets a live query that was started there, nor drops an answer to one that it has not seen yet.
#[tokio::test]
async fn a_live_query_that_a_reading_does_not_show_yet_goes_on() {
    if !mariadb::is_chosen() {
        return;
    }
    let (one, other, _proxy) = one_and_lagging(500, live_queries_lag).await;
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
    assert_eq!(live::counts(&one, unseen).await.answered, 1, "the answer to the lagging node is kept");
}

/// Also when the key shows only once the body was read, on a thread of its own.
#[tokio::test]
async fn a_large_write_with_an_unknown_key_is_told_so() {
    if !mariadb::is_chosen() {
        return;
    }
    let (_one, other, _proxy) = one_and_lagging(500, hosts_lag).await;
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
