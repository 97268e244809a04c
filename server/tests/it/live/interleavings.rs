use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agent_compat::TestAgent;
use agent_compat::agent::AgentEndpoint;
use muster_api::rest::LiveStatus;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Map, Value, json};

use super::{answers, ask, counts, hosts, job, start};
use crate::support::{TestServer, object};

const HOSTS: u32 = 5;

/// What comes with a query that has a discovery query, wherever it is asked.
const SENTINEL: &str = "fleet_discovery_query_";

/// What an agent holds: queries it has fetched, and the last answer it sent.
#[derive(Default)]
struct Held {
    queries: BTreeSet<String>,
    sent: Option<Value>,
}

/// Of what has a discovery query, some of it finds something on this host now.
async fn read(agent: &TestAgent, held: &mut Held, random: &mut StdRng) {
    let exchange =
        agent.raw(AgentEndpoint::DistributedRead, json!({ "node_key": agent.node_key() }).to_string(), &[]).await;
    if exchange.verdict.is_success() {
        let answer = object(&exchange);
        let names = crate::checkin::names(&answer);
        let is_skipped = |name: &String| {
            let has_discovery = answer.get("discovery").is_some_and(|discovery| discovery.get(name).is_some());
            has_discovery && !name.starts_with(SENTINEL)
        };
        let admits = random.random_bool(0.5);
        held.queries.extend(names.into_iter().filter(|name| admits || !is_skipped(name)));
    }
}

fn answer_to(agent: &TestAgent, held: &mut Held, random: &mut StdRng) -> Value {
    let (mut queries, mut statuses) = (Map::new(), Map::new());
    for name in std::mem::take(&mut held.queries) {
        queries.insert(name.clone(), json!([{ "a": "b" }]));
        statuses.insert(name, Value::from(u8::from(random.random_bool(0.3))));
    }
    json!({ "node_key": agent.node_key(), "queries": queries, "statuses": statuses })
}

/// After whatever happens, every job's states add up, and its answers are as many as the hosts that are accounted for
/// by one.
async fn check(server: &TestServer, jobs: &[i64], with_answers: bool) {
    for id in jobs {
        let counts = counts(server, *id).await;
        if !with_answers {
            continue;
        }
        let kept = answers(server, *id, 0).await;
        let hosts: BTreeSet<i64> = kept.iter().map(|answer| answer.host_id).collect();
        assert_eq!(hosts.len(), kept.len(), "a host has answered twice");
        let with_answer =
            counts.answered + counts.failed + counts.denylisted + counts.skipped + counts.suspect + counts.lost;
        assert_eq!(kept.len() as u64, with_answer, "{counts:?}");
    }
}

async fn discover(server: &TestServer, step: i32) -> i64 {
    let sql = format!("SELECT {step}");
    start(server, json!({ "query": sql, "discovery": "SELECT 1", "targets": { "all": true } })).await.id
}

/// Gives the hosts that were skipped.
async fn run(seed: u64) -> u64 {
    let mut random = StdRng::seed_from_u64(seed);
    let mut server = TestServer::with(|config| config.server.tls = false).await;
    let agents = hosts(&server, HOSTS).await;
    let mut held: BTreeMap<usize, Held> = BTreeMap::new();
    let mut jobs = vec![ask(&server, "SELECT 1").await.id, discover(&server, 0).await];
    for step in 0..80 {
        let who = random.random_range(0..agents.len());
        let (agent, holds) = (&agents[who], held.entry(who).or_default());
        match random.random_range(0..100) {
            0..40 => read(agent, holds, &mut random).await,
            40..70 if !holds.queries.is_empty() => {
                let body = answer_to(agent, holds, &mut random);
                agent.raw(AgentEndpoint::DistributedWrite, body.to_string(), &[]).await;
                holds.sent = Some(body);
            }
            70..76 => {
                if let Some(body) = &holds.sent {
                    agent.raw(AgentEndpoint::DistributedWrite, body.to_string(), &[]).await;
                }
            }
            // The worker dies, and the new one fetches its config.
            76..82 => {
                holds.queries.clear();
                agent.raw(AgentEndpoint::Config, json!({ "node_key": agent.node_key() }).to_string(), &[]).await;
            }
            82..90 => server.clock.advance(Duration::from_secs(random.random_range(1..40))),
            90..93 if jobs.len() < 6 => jobs.push(ask(&server, &format!("SELECT {step}")).await.id),
            93..95 if jobs.len() < 6 => jobs.push(discover(&server, step).await),
            95..97 => {
                let id = jobs[random.random_range(0..jobs.len())];
                server.rest.post(&format!("live_queries/{id}/cancel"), &json!({})).await;
            }
            97 => {
                let id = server.number("SELECT max(id) FROM hosts");
                if server.number("SELECT count(*) FROM hosts") > 3 {
                    let answer = server.rest.send("DELETE", &format!("hosts/{id}"), None).await;
                    assert_eq!(answer.status, 200, "{}", answer.text);
                }
            }
            98 => {
                server.run_tasks().await;
                server.restart().await;
            }
            _ => server.run_tasks().await,
        }
        check(&server, &jobs, step % 8 == 0).await;
    }
    // Left alone with willing hosts, whatever is still open comes to its end.
    for _ in 0..12 {
        for (who, agent) in agents.iter().enumerate() {
            let holds = held.entry(who).or_default();
            read(agent, holds, &mut random).await;
            let body = answer_to(agent, holds, &mut random);
            agent.raw(AgentEndpoint::DistributedWrite, body.to_string(), &[]).await;
        }
        server.clock.advance(Duration::from_secs(25));
    }
    for id in &jobs {
        assert_ne!(job(&server, *id).await.status, LiveStatus::Open, "seed {seed}: job {id} never ends");
    }
    check(&server, &jobs, true).await;
    let mut skipped = 0;
    for id in &jobs {
        skipped += counts(&server, *id).await.skipped;
    }
    skipped
}

#[tokio::test]
async fn the_numbers_add_up_whatever_happens_in_whatever_order() {
    let mut skipped = 0;
    for seed in 0..4 {
        skipped += run(seed).await;
    }
    assert!(skipped > 0, "skips are among what happens");
}
