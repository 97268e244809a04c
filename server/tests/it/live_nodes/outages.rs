use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use agent_compat::agent::AgentEndpoint;
use muster::config::Redis;
use muster_api::rest::{LiveAnswer, LiveStatus};
use serde_json::json;

use super::{SOON, Two};
use crate::live::{RETRY_WINDOW, answers, ask, counts, hosts, job};
use crate::support::{RedisProcess, ServerSetup, TestServer, eventually, skipped_with_redis};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_empty_loses_answers_and_says_so() {
    let mut two = Two::start().await;
    let mut agents = hosts(&two.a, 4).await;
    two.b.address.draw(&mut agents[3]);
    let id = ask(&two.a, "SELECT 1").await.id;
    agents[0].distributed().await;
    agents[1].read().await;
    two.both(id, "both know", |job| job.counts.answered == 1 && job.counts.sent == 1).await;

    two.redis.kill();
    let answer = two.a.rest.post("live_queries", &json!({ "query": "SELECT 1", "targets": { "all": true } })).await;
    assert_eq!(answer.status, 503, "{}", answer.text);
    assert!(answer.text.contains("live queries need Redis"), "{}", answer.text);
    assert_eq!(two.a.rest.get(&format!("live_queries/{id}/results")).await.status, 503);
    assert_eq!(two.a.number("SELECT count(*) FROM live_queries"), 1, "what was refused leaves nothing behind");
    // The counts are still known, and nobody is refused for long.
    assert_eq!(counts(&two.a, id).await.answered, 1);
    assert!(agents[2].read().await.verdict.is_success());
    // One that has the query is refused once, and then rid of its answer: it is asked again.
    let body = json!({ "node_key": agents[1].node_key(), "queries": { format!("fleet_distributed_query_{id}"): [{ "a": "1" }] },
        "statuses": { format!("fleet_distributed_query_{id}"): 0 } });
    let mut refusals = 0;
    for _ in 0..4 {
        let exchange = agents[1].raw(AgentEndpoint::DistributedWrite, body.to_string(), &[]).await;
        refusals += u32::from(!exchange.verdict.is_success());
    }
    assert_eq!(refusals, 2, "never twice in a row");

    two.redis.restart().await;
    eventually("it goes on", SOON, async || {
        (two.a.rest.get(&format!("live_queries/{id}/results")).await.status == 200).then_some(())
    })
    .await;
    two.both(id, "who owed an answer is asked again", |job| job.counts.results_lost == 1 && job.counts.pending == 3)
        .await;
    two.a.clock.advance(RETRY_WINDOW);
    for agent in &mut agents {
        agent.distributed().await;
    }
    two.both(id, "the others answer", |job| job.status == LiveStatus::Complete && job.counts.answered == 4).await;
    for server in two.servers() {
        assert_eq!(answers(server, id, 0).await.len(), 3);
        assert_eq!(counts(server, id).await.results_lost, 1, "one answer is gone, and that is said");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_whose_answers_redis_has_lost_are_asked_again() {
    let mut two = Two::start().await;
    let mut agents = hosts(&two.a, 4).await;
    let id = ask(&two.a, "SELECT 1").await.id;
    agents[0].distributed().await;
    two.both(id, "one has answered", |job| job.counts.answered == 1).await;
    assert_eq!(two.redis.ask(&["save"]).trim(), "OK");
    agents[1].distributed().await;
    agents[2].distributed().await;
    two.both(id, "three have answered", |job| job.counts.answered == 3).await;
    let last = answers(&two.a, id, 0).await.last().unwrap().cursor;

    // It goes on from what it has saved, as a replica does that is promoted and misses the newest events.
    two.redis.restart().await;
    two.both(id, "what is left counts", |job| job.counts.answered == 1 && job.counts.pending == 3).await;
    two.a.clock.advance(RETRY_WINDOW);
    eventually("the others answer", SOON, async || {
        for agent in &mut agents {
            agent.distributed().await;
        }
        (job(&two.a, id).await.status == LiveStatus::Complete).then_some(())
    })
    .await;
    two.both(id, "all count", |job| job.status == LiveStatus::Complete && job.counts.answered == 4).await;
    for server in two.servers() {
        assert_eq!(answers(server, id, 0).await.len(), 4);
        let rest = answers(server, id, last).await;
        assert_eq!(rest.len(), 3, "who goes on from a cursor that was given out misses none");
    }
}

/// Takes the newest two answers away from the first live query, at one moment, as a failover does.
const LOSE_TWO: &str = "local key = function(name) return '{muster:live:1}:' .. name end \
    local first = redis.call('XRANGE', key('lines'), '-', '+')[1][1] \
    for _, name in ipairs({'events', 'lines'}) do \
        local last = name == 'events' and '2-0' or first \
        for _, entry in ipairs(redis.call('XRANGE', key(name), '-', '+')) do \
            local number = tonumber(string.match(entry[1], '^%d+')) \
            if number > tonumber(string.match(last, '^%d+')) then redis.call('XDEL', key(name), entry[1]) end \
        end \
        redis.call('XSETID', key(name), last) \
    end \
    redis.call('HSET', key('meta'), 'n', '2', 'end', string.match(first, '^%d+')) \
    redis.call('BITFIELD', key('hosts:0'), 'SET', 'u2', '#2', '0', 'SET', 'u2', '#3', '0')";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_sees_each_host_once_though_redis_has_lost_answers() {
    let two = Two::start().await;
    let mut agents = hosts(&two.a, 4).await;
    let id = ask(&two.a, "SELECT 1").await.id;
    assert_eq!(id, 1);
    let path = format!("live_queries/{id}/results?follow=true");
    let viewing = two.b.rest.getting(&path).send().await.unwrap();
    for agent in &mut agents[..3] {
        agent.distributed().await;
    }
    two.both(id, "three have answered", |job| job.counts.answered == 3).await;
    two.redis.ask(&["eval", LOSE_TWO, "0"]);
    two.both(id, "what is left counts", |job| job.counts.answered == 1 && job.counts.pending == 3).await;
    two.a.clock.advance(RETRY_WINDOW);
    for agent in &mut agents {
        agent.distributed().await;
    }
    two.both(id, "the others answer", |job| job.status == LiveStatus::Complete && job.counts.answered == 4).await;
    let viewed = viewing.text().await.unwrap();
    let viewed = viewed.lines().filter(|line| !line.is_empty());
    let viewed: Vec<LiveAnswer> = viewed.map(|line| serde_json::from_str(line).unwrap()).collect();
    let hosts: BTreeSet<i64> = viewed.iter().map(|answer| answer.host_id).collect();
    assert_eq!((viewed.len(), hosts.len()), (4, 4), "{viewed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_taken_up_when_redis_comes_later() {
    let mut two = Two::start().await;
    let mut agents = hosts(&two.a, 1).await;
    let id = ask(&two.a, "SELECT 1").await.id;
    two.both(id, "both have it", |job| job.counts.pending == 1).await;
    two.redis.kill();
    two.b.restart().await;
    two.redis.restart().await;
    two.b.address.draw(&mut agents[0]);
    eventually("the host is asked", SOON, async || {
        agents[0].distributed().await;
        (job(&two.b, id).await.status == LiveStatus::Complete).then_some(())
    })
    .await;
    two.both(id, "both know", |job| job.counts.answered == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_leaves_its_jobs_to_the_other() {
    if skipped_with_redis("see chaos for the same on MariaDB") {
        return;
    }
    let redis = RedisProcess::start().await;
    let address = redis.address();
    let mut one = TestServer::empty(|config| {
        config.redis = Redis { address: vec![address.clone()], ..Redis::default() };
        config.server.tls = false;
    })
    .await;
    // The other one is a process that goes by the machine's clock.
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    one.clock.advance(since_1970 - Duration::from_micros(one.clock.now().0.cast_unsigned()));
    one.rest = one.rest.clone().set_up().await;
    let database = one.config().sqlite.path.display().to_string();
    let flags = [
        "server_tls=false".to_owned(),
        format!("redis_address={address}"),
        "redis_database=0".to_owned(),
        format!("sqlite_path={database}"),
    ];
    let setup = ServerSetup::new(&flags.iter().map(String::as_str).collect::<Vec<_>>());
    let process = setup.start().await;
    let mut agents = hosts(&one, 3).await;
    for agent in &mut agents {
        setup.address().draw(agent);
    }
    let id = ask(&one, "SELECT 1").await.id;
    eventually("the other server hands it out", SOON, async || {
        agents[0].distributed().await;
        agents[1].read().await;
        let of = counts(&one, id).await;
        ((of.answered, of.sent) == (1, 1)).then_some(())
    })
    .await;
    process.kill();
    one.clock.advance(RETRY_WINDOW);
    for agent in &mut agents {
        one.address.draw(agent);
        agent.distributed().await;
    }
    let of = job(&one, id).await;
    assert_eq!((of.status, of.counts.answered), (LiveStatus::Complete, 3), "{of:?}");
    assert_eq!(answers(&one, id, 0).await.len(), 3, "also what the other had taken");
}
