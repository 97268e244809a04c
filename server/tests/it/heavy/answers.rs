use std::sync::LazyLock;
use std::time::Duration;

use agent_compat::Verdict;
use agent_compat::agent::AgentEndpoint;
use futures_util::future::join_all;
use muster_api::rest::{LiveQueryEnvelope, LiveStatus};
use serde_json::json;

use super::large_answer;
use crate::checkin::settle;
use crate::support::{RedisProcess, Rest, ServerSetup, count};

/// Hosts that answer at one time.
static HOSTS: LazyLock<u32> = LazyLock::new(|| count(40, 500));

/// Rows of each answer.
const ROWS: usize = 1 << 20;

/// What an agent gets from a machine that is too slow, whatever Redis does: it sends its answer again, and nothing is thrown
/// away.
const LATE: [&str; 3] =
    ["not done in time; try again", "answers to live queries not kept in time; try again", "the request timed out"];

/// How long an agent waits before it sends an answer again that was refused.
const AGENT_PAUSE: Duration = Duration::from_secs(1);

/// How often an answer may be late, however slow the machine is.
const MAX_LATE: u32 = 20;

/// However many come at one time, an answer is refused at most once in a row, and none is thrown away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_of_many_hosts_at_one_time_are_all_kept_by_a_healthy_redis() {
    let redis = RedisProcess::start().await;
    let setup = ServerSetup::on_sqlite(&[
        "server_tls=false",
        "osquery_enrolls_per_second=100000",
        "osquery_enrolls_per_second_per_secret=100000",
        &format!("redis_address={}", redis.address()),
    ]);
    let mut server = setup.start().await;
    let rest = Rest::new(&setup.address()).set_up().await;
    let mut agents = Vec::new();
    for index in 0..*HOSTS {
        let mut agent = setup.address().enrolled(index).await;
        settle(&mut agent).await;
        agents.push(agent);
    }
    let asked = rest.post("live_queries", &json!({ "query": "SELECT 1", "targets": { "all": true } })).await;
    let id = asked.read::<LiveQueryEnvelope>().live_query.id;
    let mut bodies = Vec::new();
    for agent in &agents {
        agent.raw(AgentEndpoint::DistributedRead, json!({ "node_key": agent.node_key() }).to_string(), &[]).await;
        bodies.push(bytes::Bytes::from(large_answer(id, agent.node_key(), ROWS)));
    }

    let answering = agents.iter().zip(&bodies).enumerate().map(async |(index, (agent, body))| {
        let (mut refused, mut late) = (0, 0);
        // Half of the agents are older than 5.23 and show their key in the body alone.
        let authorization = format!("NodeKey {}", agent.node_key());
        let headers = [("Authorization", authorization.as_str())];
        let headers = if index % 2 == 0 { &headers[..] } else { &[] };
        loop {
            let exchange = agent.raw(AgentEndpoint::DistributedWrite, body.clone(), headers).await;
            match &exchange.verdict {
                verdict if verdict.is_success() => return (refused, late),
                Verdict::Failure(reason) if LATE.contains(&reason.as_str()) => late += 1,
                _ => refused += 1,
            }
            assert!(refused < 2, "refused twice: {exchange:?}");
            assert!(late < MAX_LATE, "late again and again: {exchange:?}");
            tokio::time::sleep(AGENT_PAUSE).await;
        }
    });
    let tries = join_all(answering).await;
    let (refused, late) = tries.iter().fold((0, 0), |sum, (refused, late)| (sum.0 + refused, sum.1 + late));
    eprintln!("{} answers of 1 MiB at one time: {refused} refused, {late} not done in time", *HOSTS);

    assert!(server.is_running(), "{}", server.said());
    let done = rest.read::<LiveQueryEnvelope>(&format!("live_queries/{id}")).await.live_query;
    assert_eq!(done.status, LiveStatus::Complete, "{done:?}");
    let counts = (done.counts.answered, done.counts.truncated, done.counts.results_lost);
    assert_eq!(counts, (u64::from(*HOSTS), 0, 0), "{}", server.said());
    let lines: usize = redis.ask(&["XLEN", &lines_key(&redis)]).trim().parse().unwrap();
    assert_eq!(lines, *HOSTS as usize);
}

/// The key of the one job's lines.
fn lines_key(redis: &RedisProcess) -> String {
    redis.ask(&["--scan", "--pattern", "*:lines"]).trim().to_owned()
}
