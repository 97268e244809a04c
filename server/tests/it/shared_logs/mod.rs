//! SharedLog servers with one database and one Redis: a batch that is repeated to the other server is kept once.

mod leases;

use std::time::{Duration, Instant};

use agent_compat::agent::AgentEndpoint;
use agent_compat::{Exchange, TestAgent};
use muster::config::Redis;
use serde_json::{Value, json};

use crate::support::{KeptLines, Proxy, RedisProcess, TestServer, eventually, log_body};

struct SharedLog {
    redis: RedisProcess,
    /// The way of each server to it.
    ways: [Proxy; 2],
    servers: [TestServer; 2],
    /// One host, as it talks to each of them.
    agents: [TestAgent; 2],
}

impl SharedLog {
    async fn start() -> Self {
        let redis = RedisProcess::start().await;
        let ways = [(); 2].map(|()| Proxy::to(&redis.address()));
        let by = |way: usize| Redis { address: vec![ways[way].address()], ..Redis::default() };
        let one = TestServer::with(|config| config.redis = by(0)).await;
        let two = TestServer::beside_with(&one, |config| config.redis = by(1)).await;
        let agents = [one.enrolled(1).await, two.agent(1)];
        Self { redis, ways, servers: [one, two], agents }
    }

    async fn send(&self, server: usize, lines: &[Value]) -> Duration {
        let began = Instant::now();
        let exchange = self.try_send(server, lines).await;
        assert!(exchange.verdict.is_success(), "{exchange:?}");
        began.elapsed()
    }

    async fn try_send(&self, server: usize, lines: &[Value]) -> Exchange {
        self.agents[server].raw(AgentEndpoint::Log, log_body(&self.agents[0], "result", lines), &[]).await
    }

    /// Waits until no server works on a batch any more: its agent is answered before.
    async fn is_unlocked(&self) {
        eventually("the batch lock is free", Duration::from_secs(10), async || {
            self.redis.ask(&["KEYS", "*:turn"]).trim().is_empty().then_some(())
        })
        .await;
    }

    /// Lines in the files of both.
    fn kept(&self) -> usize {
        self.servers.iter().map(|server| KeptLines::read(&server.results()).total()).sum()
    }

    async fn commands(&self) -> f64 {
        let mut sum = 0.0;
        for server in &self.servers {
            sum += server.metric("muster_bus_commands_total{command=\"logs_").await;
        }
        sum
    }
}

fn line(n: usize) -> Value {
    json!({ "unixTime": 1_768_478_400, "counter": 1, "line": n })
}

#[tokio::test]
async fn a_repeat_to_another_server_adds_nothing() {
    let two = SharedLog::start().await;
    for (server, lines) in [(0, &[1, 2][..]), (1, &[1, 2]), (1, &[1, 2, 3]), (0, &[3, 1, 2, 4])] {
        two.send(server, &lines.iter().map(|n| line(*n)).collect::<Vec<_>>()).await;
        two.is_unlocked().await;
    }
    assert_eq!(two.kept(), 4);
    assert_eq!(two.commands().await, 8.0, "two for each batch");
    // What one server remembers itself does not count when the other has kept a newer batch.
    two.send(1, &[line(5)]).await;
    two.send(0, &[line(1), line(2), line(3), line(4)]).await;
    assert_eq!(two.kept(), 9);
}

#[tokio::test]
async fn a_batch_sent_to_both_at_one_time_is_kept_once() {
    let two = SharedLog::start().await;
    for round in 0..20 {
        let lines: Vec<Value> = (round * 100..round * 100 + 50).map(line).collect();
        tokio::join!(two.send(0, &lines), two.send(1, &lines), two.send(0, &lines), two.send(1, &lines));
    }
    assert_eq!(two.kept(), 1000);
}

#[tokio::test]
async fn without_redis_logs_are_kept_and_nobody_waits_long() {
    let mut two = SharedLog::start().await;
    two.send(0, &[line(1)]).await;
    two.redis.pause();
    let mut waited = Duration::ZERO;
    for n in 2..50 {
        waited += two.send(0, &[line(n)]).await;
    }
    // Each of these would wait a quarter of a second twice if Redis was asked for each.
    assert!(waited < Duration::from_secs(12), "{waited:?}");
    assert!(two.commands().await < 40.0, "Redis is left alone");
    two.send(0, &[line(49)]).await;
    assert_eq!(two.kept(), 49, "the server still knows its own batches");

    two.redis.resume();
    two.redis.kill();
    two.redis.restart().await;
    let mut n = 100;
    eventually("batches are shared again", Duration::from_secs(20), async || {
        n += 1;
        two.send(0, &[line(n)]).await;
        let before = two.kept();
        two.send(1, &[line(n)]).await;
        (two.kept() == before).then_some(())
    })
    .await;
}
