use std::time::{Duration, Instant};

use agent_compat::TestAgent;
use agent_compat::agent::AgentEndpoint;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::{RECOVERED_WITHIN, cluster_permit};
use crate::support::{KeptLines, ServerSetup, eventually, log_body};

/// How long a lease outlives its server, and a little more.
const OVER_WITHIN: Duration = Duration::from_secs(6);

async fn send(agent: &TestAgent, node_key_of: &TestAgent, n: usize) -> bool {
    let lines: [Value; 1] = [json!({ "unixTime": 1_768_478_400, "counter": 1, "line": n })];
    agent.raw(AgentEndpoint::Log, log_body(node_key_of, "result", &lines), &[]).await.verdict.is_success()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lease_of_a_server_that_dies_is_over_within_seconds() {
    let _permit = cluster_permit().await;
    let mut cluster = Cluster::start(&[]).await;
    let agents = [cluster.address(0).enrolled(1).await, cluster.address(1).agent(1)];
    let mut sent = 0;
    eventually("the server has a lease", RECOVERED_WITHIN, async || {
        assert!(send(&agents[0], &agents[0], sent).await);
        sent += 1;
        (cluster.metric("muster_log_batch_leases ").await == 1.0).then_some(())
    })
    .await;
    cluster.kill(0);
    let died = Instant::now();
    eventually("the other server has the host's batches", OVER_WITHIN, async || {
        send(&agents[1], &agents[0], sent).await.then_some(())
    })
    .await;
    eprintln!("the lease was over {:?} after its server", died.elapsed());
    let kept = cluster.setups.iter().map(ServerSetup::results).filter(|file| file.exists());
    assert_eq!(kept.map(|file| KeptLines::read(&file).total()).sum::<usize>(), sent + 1);
}
