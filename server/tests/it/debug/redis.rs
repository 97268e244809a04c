use muster::config::Secret;
use muster_api::rest::debug::{RedisKeys, RedisSlowLog};

use super::{assert_hidden, shown};
use crate::live::{ask, hosts};
use crate::support::{ClusterRedis, RedisProcess, TestServer};

const ITEMS: [&str; 3] = ["redis/info", "redis/slowlog", "redis/streams"];
const PASSWORD: &str = "planted-redis-password";

/// Entries of the events of a live query.
fn events(keys: &RedisKeys, id: i64) -> u64 {
    keys.live_queries.iter().find(|live| live.live_query_id == id).unwrap().events
}

#[tokio::test]
async fn redis_is_shown_without_arguments() {
    let mut redis = RedisProcess::with(&["--requirepass", PASSWORD]).await;
    let server = TestServer::with(|config| {
        config.redis = muster::config::Redis::default();
        config.redis.address = vec![redis.address()];
        config.redis.password = Secret::new(PASSWORD);
    })
    .await;
    redis.ask(&["-a", PASSWORD, "config", "set", "slowlog-log-slower-than", "0"]);
    let mut agents = hosts(&server, 1).await;
    let id = ask(&server, "SELECT 'planted-in-sql' AS planted_column").await.id;
    agents[0].distributed().await;

    let info = shown(&server, "redis/info").await;
    assert_eq!(info.status, 200, "{}", info.text);
    assert!(info.text.starts_with(&format!("# Node {}\n", redis.address())), "{}", info.text);
    assert!(info.text.contains("redis_version:") && info.text.contains("used_memory:"), "{}", info.text);
    let slow: RedisSlowLog = shown(&server, "redis/slowlog").await.read();
    let commands = &slow.nodes[0].commands;
    assert!(commands.len() <= 128 && slow.nodes[0].error.is_none(), "{slow:?}");
    let script = commands.iter().find(|command| command.command.starts_with("EVAL") && command.keys > 0);
    assert!(script.is_some_and(|command| command.arguments > command.keys), "{slow:?}");
    let keys: RedisKeys = shown(&server, "redis/streams").await.read();
    assert!(events(&keys, id) > 0 && keys.left_out == 0, "{keys:?}");
    let node = &keys.nodes[0];
    assert!(node.is_complete && node.keys > 0, "{keys:?}");
    let lines = node.kinds.iter().find(|kind| kind.kind == "live:events").unwrap();
    assert!((lines.keys, lines.measured) == (1, 1) && lines.entries > Some(0), "{keys:?}");
    assert_hidden(&server, &[PASSWORD, "planted", server.rest.token(), agents[0].node_key()]).await;

    redis.ask(&["-a", PASSWORD, "acl", "setuser", "default", "-slowlog"]);
    let refused = shown(&server, "redis/slowlog").await;
    assert_eq!(refused.status, 503, "{}", refused.text);
    assert!(refused.text.contains("+slowlog|get"), "{}", refused.text);

    // What does not answer is told, however it does not.
    redis.pause();
    for item in ITEMS {
        let silent = shown(&server, item).await;
        assert!(silent.status == 503 && silent.text.contains("does not answer"), "{item}: {}", silent.text);
    }
    redis.resume();
    redis.kill();
    for item in ITEMS {
        let gone = shown(&server, item).await;
        assert!(gone.status == 503 && gone.text.contains("refused"), "{item}: {}", gone.text);
    }
}

#[tokio::test]
async fn each_node_of_a_cluster_is_shown() {
    let mut cluster = ClusterRedis::start().await;
    let addresses: Vec<String> = cluster.nodes.iter().map(RedisProcess::address).collect();
    let server = TestServer::with(|config| {
        config.redis = muster::config::Redis::default();
        config.redis.address.clone_from(&addresses);
    })
    .await;
    let mut agents = hosts(&server, 1).await;
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(ask(&server, &format!("SELECT {number} AS number")).await.id);
    }
    agents[0].distributed().await;
    let info = shown(&server, "redis/info").await.text;
    assert!(addresses.iter().all(|address| info.contains(&format!("# Node {address}\n"))), "{info}");
    let slow: RedisSlowLog = shown(&server, "redis/slowlog").await.read();
    assert_eq!(slow.nodes.len(), 3, "{slow:?}");
    let keys: RedisKeys = shown(&server, "redis/streams").await.read();
    assert!(ids.iter().all(|id| events(&keys, *id) > 0), "{keys:?}");
    let kinds = keys.nodes.iter().flat_map(|node| &node.kinds);
    assert_eq!(kinds.filter(|kind| kind.kind == "live:events").map(|kind| kind.keys).sum::<u64>(), 4, "{keys:?}");

    // One that is away does not keep the others from being shown.
    cluster.nodes[2].kill();
    let slow: RedisSlowLog = shown(&server, "redis/slowlog").await.read();
    let failed: Vec<&str> =
        slow.nodes.iter().filter(|node| node.error.is_some()).map(|node| node.node.as_str()).collect();
    assert_eq!(failed, [addresses[2].as_str()], "{slow:?}");
}

#[tokio::test]
async fn without_redis_there_is_nothing_to_show() {
    let server = TestServer::with(|config| config.redis.address.clear()).await;
    for item in ITEMS {
        let answer = shown(&server, item).await;
        assert!(answer.status == 501 && answer.text.contains("redis.address"), "{item}: {}", answer.text);
    }
}
