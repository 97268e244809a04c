//! What each Redis says of itself, for those who look for the cause of a trouble. Nothing is changed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ::redis::{RedisResult, cmd};
use futures_util::future::join_all;

use super::connect::master;
use super::server_connection::ServerConnection;
use super::settings::{RedisServer, RedisSettings};
use crate::clock::{Clock, Moment};
use crate::config;

/// Commands of which the median latency is taken.
const ROUND_TRIPS: usize = 20;

/// Most nodes of a cluster that are looked at.
const MOST_NODES: usize = 32;

/// One Redis at one moment.
#[derive(Debug, Clone)]
pub struct RedisFacts {
    /// Median time of a command that reads nothing.
    pub latency: Duration,
    /// By how many microseconds its clock is ahead of this machine's.
    pub ahead_micros: i64,
    /// What `INFO` and, in a cluster, `CLUSTER INFO` say, by name; the reason if the access list forbids the former.
    pub info: Result<BTreeMap<String, String>, String>,
}

/// Looks at the Redis of the settings: the single one, the master that the Sentinels name, or each node of a cluster that the
/// settings name. Gives the address of each and what it says, or why it does not answer.
///
/// # Errors
/// When a file of the configuration cannot be read, or no Sentinel names a master.
pub async fn examine(
    config: &config::Redis,
    clock: &Clock,
) -> anyhow::Result<Vec<(String, Result<RedisFacts, String>)>> {
    let settings = RedisSettings::read(config)?;
    let mut nodes = settings.nodes.clone();
    if !settings.sentinels.is_empty() {
        nodes = vec![master(&settings).await?];
    }
    nodes.truncate(MOST_NODES);
    let settings = &settings;
    let looks = nodes.iter().map(|node| async move {
        let (host, port) = node;
        let facts = examine_one(settings, node, clock).await;
        (format!("{host}:{port}"), facts.map_err(|error| error.to_string()))
    });
    Ok(join_all(looks).await)
}

async fn examine_one(settings: &RedisSettings, node: &RedisServer, clock: &Clock) -> RedisResult<RedisFacts> {
    let mut connection = settings.connect(node).await?;
    let mut times = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let start = Instant::now();
        cmd("PING").query_async::<String>(&mut connection).await?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let (asked, start) = (clock.now(), Instant::now());
    let (seconds, micros): (i64, i64) = cmd("TIME").query_async(&mut connection).await?;
    let ours = asked.plus(start.elapsed() / 2);
    let theirs = Moment(seconds.saturating_mul(1_000_000).saturating_add(micros));
    Ok(RedisFacts {
        latency: times[ROUND_TRIPS / 2],
        ahead_micros: theirs.0.saturating_sub(ours.0),
        info: info(&mut connection).await.map_err(|error| error.to_string()),
    })
}

async fn info(connection: &mut ServerConnection) -> RedisResult<BTreeMap<String, String>> {
    let text: String = cmd("INFO").query_async(connection).await?;
    let mut info = parsed(&text);
    if info.get("cluster_enabled").is_some_and(|enabled| enabled == "1") {
        let text: String = cmd("CLUSTER").arg("INFO").query_async(connection).await?;
        info.extend(parsed(&text));
    }
    Ok(info)
}

/// Lines of `name:value`.
fn parsed(text: &str) -> BTreeMap<String, String> {
    let pairs = text.lines().filter_map(|line| line.trim().split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
