use std::collections::BTreeSet;
use std::time::Duration;

use agent_compat::agent::AgentEndpoint;
use muster_api::rest::{LiveStatus, TargetState};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

use super::{SOON, Two};
use crate::live::{RETRY_WINDOW, answers, ask, counts, hosts, job, start};
use crate::support::{TestServer, eventually};

/// Hosts of the answers a server gives, each once.
async fn hosts_that_answered(server: &TestServer, id: i64, cursor: u64) -> BTreeSet<i64> {
    let answers = answers(server, id, cursor).await;
    let hosts: BTreeSet<i64> = answers.iter().map(|answer| answer.host_id).collect();
    assert_eq!(hosts.len(), answers.len(), "a host has answered twice");
    hosts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_hosts_pick_a_server_at_random_for_each_request() {
    const HOSTS: u32 = 200;
    let two = Two::start().await;
    let agents = hosts(&two.a, HOSTS).await;
    two.a.run_tasks().await;
    two.b.run_tasks().await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(ask(two.servers()[n % 2], &format!("SELECT {n}")).await.id);
    }
    let mut working = tokio::task::JoinSet::new();
    for (seed, mut agent) in (0..).zip(agents) {
        let addresses = [two.a.address.clone(), two.b.address.clone()];
        working.spawn(async move {
            let mut random = StdRng::seed_from_u64(seed);
            for _ in 0..4 {
                addresses[random.random_range(0..2)].draw(&mut agent);
                agent.read().await;
                addresses[random.random_range(0..2)].draw(&mut agent);
                agent.distributed().await;
                tokio::time::sleep(Duration::from_millis(random.random_range(0..20))).await;
            }
            agent
        });
    }
    let mut agents = Vec::new();
    while let Some(agent) = working.join_next().await {
        agents.push(agent.unwrap());
        // Whoever looks meanwhile sees numbers that add up.
        if agents.len() % 40 == 0 {
            for (id, server) in ids.iter().flat_map(|id| two.servers().map(|server| (*id, server))) {
                assert_eq!(counts(server, id).await.targets, u64::from(HOSTS));
            }
        }
    }
    // Hosts that read before they had heard of a job fetch it now.
    for (n, agent) in agents.iter_mut().enumerate() {
        two.servers()[n % 2].address.draw(agent);
        for _ in 0..2 {
            agent.distributed().await;
        }
    }
    for id in ids {
        two.both(id, "everybody has answered", |job| job.status == LiveStatus::Complete).await;
        for server in two.servers() {
            assert_eq!(counts(server, id).await.answered, u64::from(HOSTS));
            assert_eq!(hosts_that_answered(server, id, 0).await.len(), HOSTS as usize);
            assert_eq!(job(server, id).await.cost.unwrap().hosts, u64::from(HOSTS));
        }
        assert_eq!(answers(&two.a, id, 0).await, answers(&two.b, id, 0).await, "in one order, under one cursor");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_started_at_one_is_cancelled_at_the_other_and_read_on_there() {
    let two = Two::start().await;
    let mut agents = hosts(&two.a, 4).await;
    let id = ask(&two.a, "SELECT 1").await.id;
    agents[0].distributed().await;
    two.b.address.draw(&mut agents[1]);
    eventually("the other server asks", SOON, async || {
        let read = agents[1].read().await;
        read.verdict.value().unwrap()["queries"][format!("fleet_distributed_query_{id}")].is_string().then_some(())
    })
    .await;
    two.both(id, "one owes an answer", |job| job.counts.sent == 1).await;
    // Asked by one server, it answers to the other.
    two.a.address.draw(&mut agents[1]);
    agents[1].distributed().await;
    two.both(id, "two have answered", |job| job.counts.answered == 2).await;
    let read = answers(&two.a, id, 0).await;
    let rest = hosts_that_answered(&two.b, id, read[0].cursor).await;
    assert_eq!(rest, [read[1].host_id].into(), "a viewer goes on elsewhere");

    let answer = two.b.rest.post(&format!("live_queries/{id}/cancel"), &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    two.both(id, "it is over", |job| job.status == LiveStatus::Cancelled && job.counts.cancelled == 2).await;
    assert_eq!(two.a.number(&format!("SELECT count(*) FROM live_queries WHERE id = {id} AND status = 'cancelled'")), 1);
    for agent in &mut agents {
        let read = agent.read().await;
        let queries = &read.verdict.value().unwrap()["queries"];
        assert!(queries[format!("fleet_distributed_query_{id}")].is_null(), "nobody is asked any more");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_may_come_to_a_server_that_has_not_heard_of_the_job() {
    let two = Two::start().await;
    let mut agents = hosts(&two.a, 1).await;
    for _ in 0..5 {
        two.a.address.draw(&mut agents[0]);
        let id = ask(&two.a, "SELECT 1").await.id;
        agents[0].read().await;
        two.b.address.draw(&mut agents[0]);
        agents[0].distributed().await;
        two.both(id, "it counts", |job| job.status == LiveStatus::Complete && job.counts.answered == 1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_is_asked_for_again_by_the_other_server_once() {
    let two = Two::start().await;
    let agents = hosts(&two.a, 1).await;
    let id = ask(&two.a, "SELECT 1").await.id;
    let agent = &agents[0];
    let read = async |server: &TestServer| {
        let there = server.address.agent(0);
        let body = json!({ "node_key": agent.node_key() }).to_string();
        let answer = there.raw(AgentEndpoint::DistributedRead, body, &[]).await;
        let queries = &answer.verdict.value().unwrap()["queries"];
        queries.as_object().unwrap().keys().filter(|name| name.starts_with("fleet_distributed_query_")).count()
    };
    assert_eq!(read(&two.a).await, 1);
    two.both(id, "both know", |job| job.counts.sent == 1).await;
    assert_eq!(read(&two.b).await, 0, "it may still answer");
    two.a.clock.advance(RETRY_WINDOW);
    assert_eq!(read(&two.b).await, 1, "asked again");
    assert_eq!(read(&two.a).await, 0);
    two.a.clock.advance(RETRY_WINDOW);
    assert_eq!(read(&two.a).await, 0, "two losses are enough, whoever has seen them");
    two.both(id, "it is lost", |job| job.counts.lost == 1 && job.status == LiveStatus::Complete).await;
    assert_eq!(answers(&two.b, id, 0).await[0].state, TargetState::Lost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlines_and_deleted_hosts_count_at_both() {
    let two = Two::start().await;
    let mut agents = hosts(&two.a, 3).await;
    let request = json!({ "query": "SELECT 1", "targets": { "all": true }, "deadline_seconds": 60 });
    let id = start(&two.b, request).await.id;
    two.both(id, "both have it", |job| job.counts.pending == 3).await;
    two.b.address.draw(&mut agents[0]);
    agents[0].distributed().await;
    let gone = two.a.number("SELECT max(id) FROM hosts");
    assert_eq!(two.a.rest.send("DELETE", &format!("hosts/{gone}"), None).await.status, 200);
    two.both(id, "the host is gone", |job| job.counts.gone == 1).await;
    two.a.clock.advance(Duration::from_secs(61));
    two.both(id, "it expires", |job| job.status == LiveStatus::Expired).await;
    for server in two.servers() {
        let of = counts(server, id).await;
        assert_eq!((of.answered, of.gone, of.expired), (1, 1, 1));
        assert_eq!(hosts_that_answered(server, id, 0).await.len(), 1);
    }
    eventually("the leader has written it", SOON, async || {
        (two.a.number("SELECT count(*) FROM live_queries WHERE status = 'expired'") == 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cost_of_a_query_is_the_same_at_every_server_whenever_it_was_started() {
    let mut two = Two::start().await;
    let mut agents = hosts(&two.a, 3).await;
    let id = ask(&two.a, "SELECT 1").await.id;
    agents[0].distributed().await;
    two.both(id, "one has answered", |job| job.counts.answered == 1).await;
    two.a.run_tasks().await;
    two.b.restart().await;
    two.b.address.draw(&mut agents[1]);
    eventually("the server that was restarted asks", SOON, async || {
        agents[1].distributed().await;
        (counts(&two.b, id).await.answered == 2).then_some(())
    })
    .await;
    two.both(id, "two have answered", |job| job.counts.answered == 2).await;
    let cost = job(&two.a, id).await.cost;
    assert_eq!(cost.unwrap().hosts, 2);
    assert_eq!(job(&two.b, id).await.cost, cost);
    agents[2].distributed().await;
    two.both(id, "it is over", |job| job.status == LiveStatus::Complete).await;
    two.a.run_tasks().await;
    two.b.run_tasks().await;
    two.a.restart().await;
    two.b.restart().await;
    let cost = job(&two.a, id).await.cost;
    assert_eq!(cost.unwrap().hosts, 3, "also when it is over");
    assert_eq!(job(&two.b, id).await.cost, cost);
}
