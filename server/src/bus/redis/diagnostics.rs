//! What Redis says of itself, for those who look for a fault. Each question has connections of its own and [`DEADLINE`], so
//! that nothing else waits for it. Arguments of commands stay here: they contain answers of hosts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, ServerErrorKind, Value, cmd};
use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::connect::{connect, master};
use super::keys::key;
use super::server_connection::ServerConnection;
use super::settings::{RedisServer, RedisSettings};
use crate::bus::{BusError, JobKey};
use crate::clock::Moment;

/// Longest time for an answer, connections included.
const DEADLINE: Duration = Duration::from_secs(5);

/// Longest time for looking through the keys.
const SCAN_TIME: Duration = Duration::from_secs(3);

/// Keys that Redis looks at in one step, within about a millisecond.
const SCAN_STEP: usize = 1_000;

/// Most servers that are asked.
const MAX_SERVERS: usize = 50;

/// Most slow commands of each server.
const MAX_SLOW: usize = 128;

/// Most bytes of what a server tells of itself.
const MAX_INFO: usize = 128 << 10;

/// Most streams of a kind that are measured on each server.
const MAX_MEASURED: usize = 1_000;

/// Most live queries whose streams are shown.
const MAX_LIVE: usize = 200;

/// What the keys of this product begin with.
const PREFIX: &str = "{muster:";

/// Redis as somebody who looks for a fault sees it.
#[derive(Debug)]
pub struct RedisDiagnostics {
    settings: Arc<RedisSettings>,
}

/// What one server has said, or why it has not.
#[derive(Debug)]
pub struct OfServer<T> {
    /// Host and port.
    pub server: String,
    pub said: Result<T, String>,
}

/// A slow command, without its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlowCommand {
    pub id: i64,
    pub at: Moment,
    pub microseconds: u64,
    pub command: String,
    /// As far as Redis keeps them.
    pub arguments: usize,
    /// Arguments that are keys of this product.
    pub keys: usize,
}

/// Keys of this product on one server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundKeys {
    /// Keys in the database, whosever they are.
    pub all: u64,
    pub is_complete: bool,
    pub kinds: BTreeMap<String, KeyKind>,
}

/// Keys of one kind, such as `live:lines`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyKind {
    pub keys: u64,
    /// Entries of the streams that were measured, and how many streams these are.
    pub entries: u64,
    pub measured: u64,
}

/// Entries in the streams of a live query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveStreams {
    pub job: JobKey,
    pub events: u64,
    pub lines: u64,
}

/// A server, and whether it is a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ClusterServer {
    server: RedisServer,
    is_replica: bool,
}

impl RedisDiagnostics {
    pub(super) fn new(settings: Arc<RedisSettings>) -> Self {
        Self { settings }
    }

    /// What each server tells of itself (`INFO`), replicas of a cluster included.
    ///
    /// # Errors
    /// When none answers within five seconds, with the reason.
    pub async fn info(&self) -> Result<Vec<OfServer<String>>, BusError> {
        let mut all = self.each(false, async |connection| cmd("INFO").query_async::<String>(connection).await).await?;
        for info in all.iter_mut().filter_map(|node| node.said.as_mut().ok()) {
            info.truncate(info.floor_char_boundary(MAX_INFO));
        }
        Ok(all)
    }

    /// The newest slow commands of each server (`SLOWLOG`), at most 128.
    ///
    /// # Errors
    /// As for [`RedisDiagnostics::info`].
    pub async fn slow_log(&self) -> Result<Vec<OfServer<Vec<SlowCommand>>>, BusError> {
        self.each(false, async |connection| {
            let rows: Vec<Value> = cmd("SLOWLOG").arg("GET").arg(MAX_SLOW).query_async(connection).await?;
            Ok(rows.into_iter().filter_map(slow_command).collect())
        })
        .await
    }

    /// Keys of this product on each master, as far as three seconds and a bounded number of steps show them.
    ///
    /// # Errors
    /// As for [`RedisDiagnostics::info`].
    pub async fn keys(&self) -> Result<Vec<OfServer<FoundKeys>>, BusError> {
        self.each(true, find_keys).await
    }

    /// Entries in the streams of these live queries, of the latest 200, and how many of them are left out.
    ///
    /// # Errors
    /// When Redis does not answer within five seconds, with the reason.
    pub async fn live_streams(&self, mut jobs: Vec<JobKey>) -> Result<(Vec<LiveStreams>, usize), BusError> {
        jobs.sort_by_key(|job| std::cmp::Reverse(job.id));
        let left_out = jobs.len().saturating_sub(MAX_LIVE);
        jobs.truncate(MAX_LIVE);
        let measuring = async {
            let connection = connect(&self.settings).await?;
            let measure = |job: JobKey| {
                let mut connection = connection.clone();
                async move {
                    let events = cmd("XLEN").arg(key(job, "events")).query_async(&mut connection).await?;
                    let lines = cmd("XLEN").arg(key(job, "lines")).query_async(&mut connection).await?;
                    Ok(LiveStreams { job, events, lines })
                }
            };
            join_all(jobs.into_iter().map(measure)).await.into_iter().collect::<RedisResult<Vec<_>>>()
        };
        Ok((self.in_time(measuring).await?, left_out))
    }

    /// Asks each server at one time.
    async fn each<T>(
        &self,
        masters_only: bool,
        ask: impl AsyncFn(&mut ServerConnection) -> RedisResult<T>,
    ) -> Result<Vec<OfServer<T>>, BusError> {
        let until = Instant::now() + DEADLINE;
        let mut servers = self.in_time(self.servers()).await?;
        servers.retain(|server| !(masters_only && server.is_replica));
        servers.truncate(MAX_SERVERS);
        let asking = servers.into_iter().map(|ClusterServer { server, .. }| {
            let ask = &ask;
            async move {
                let one = async { ask(&mut self.settings.connect(&server).await?).await };
                let left = until.saturating_duration_since(Instant::now());
                let said = match timeout(left, one).await {
                    Ok(outcome) => outcome.map_err(|error| reason(&error)),
                    Err(_) => Err(late()),
                };
                OfServer { server: format!("{}:{}", server.0, server.1), said }
            }
        });
        let all = join_all(asking).await;
        match all.iter().find_map(|node| node.said.as_ref().err()) {
            Some(why) if all.iter().all(|node| node.said.is_err()) => Err(self.away(why)),
            _ => Ok(all),
        }
    }

    /// The servers that there are: those of the cluster, the master that the Sentinels name, or the single one.
    async fn servers(&self) -> RedisResult<Vec<ClusterServer>> {
        if !self.settings.sentinels.is_empty() {
            return Ok(vec![ClusterServer { server: master(&self.settings).await?, is_replica: false }]);
        }
        let mut failure: RedisError = (ErrorKind::InvalidClientConfig, "redis.address is empty").into();
        for node in &self.settings.nodes {
            match self.settings.connect(node).await {
                Ok(mut connection) => return Ok(servers_of(&mut connection, node).await),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    async fn in_time<T>(&self, work: impl Future<Output = RedisResult<T>>) -> Result<T, BusError> {
        match timeout(DEADLINE, work).await {
            Ok(outcome) => outcome.map_err(|error| self.away(&reason(&error))),
            Err(_) => Err(self.away(&late())),
        }
    }

    fn away(&self, why: &str) -> BusError {
        BusError::Unavailable(format!("Redis ({}) does not answer: {why}", self.settings.name()))
    }
}

fn late() -> String {
    format!("no answer within {} s", DEADLINE.as_secs())
}

/// Why a command has failed, and what helps if its user may not run it.
fn reason(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::Server(ServerErrorKind::NoPerm) => {
            format!("{error}; allow this user +info +slowlog|get +scan +dbsize +xlen +cluster|slots (ACL SETUSER)")
        }
        _ => error.to_string(),
    }
}

/// The servers of a cluster, or this one if it is none, or does not say.
async fn servers_of(connection: &mut ServerConnection, asked: &RedisServer) -> Vec<ClusterServer> {
    let slots: Vec<Vec<Value>> = cmd("CLUSTER").arg("SLOTS").query_async(connection).await.unwrap_or_default();
    let mut found = Vec::<ClusterServer>::new();
    // Each row has the first and the last slot, then the master, then its replicas.
    for row in slots {
        for (position, node) in row.into_iter().skip(2).enumerate() {
            let Value::Array(node) = node else { continue };
            let (Some(host), Some(port)) = (node.first().and_then(text), node.get(1).and_then(integer)) else {
                continue;
            };
            let host = if host.is_empty() { asked.0.clone() } else { host };
            let Ok(port) = u16::try_from(port) else { continue };
            let server = ClusterServer { server: (host, port), is_replica: position > 0 };
            if !found.contains(&server) {
                found.push(server);
            }
        }
    }
    if found.is_empty() {
        found.push(ClusterServer { server: asked.clone(), is_replica: false });
    }
    found
}

async fn find_keys(connection: &mut ServerConnection) -> RedisResult<FoundKeys> {
    let until = Instant::now() + SCAN_TIME;
    let all: u64 = cmd("DBSIZE").query_async(connection).await?;
    let mut found = FoundKeys { all, ..FoundKeys::default() };
    let mut streams: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut cursor = "0".to_owned();
    while Instant::now() < until {
        let mut scan = cmd("SCAN");
        scan.arg(&cursor).arg("MATCH").arg(format!("{PREFIX}*")).arg("COUNT").arg(SCAN_STEP);
        let (next, keys): (String, Vec<String>) = scan.query_async(connection).await?;
        for key in keys {
            let kind = kind_of(&key);
            let streams = streams.entry(kind.clone()).or_default();
            if matches!(kind.as_str(), "live:events" | "live:lines") && streams.len() < MAX_MEASURED {
                streams.push(key);
            }
            found.kinds.entry(kind).or_default().keys += 1;
        }
        found.is_complete = next == "0";
        if found.is_complete {
            break;
        }
        cursor = next;
    }
    for (kind, keys) in streams.into_iter().filter(|(_, keys)| !keys.is_empty()) {
        let mut lengths = Pipeline::new();
        for key in &keys {
            lengths.cmd("XLEN").arg(key);
        }
        let lengths: Vec<u64> = lengths.query_async(connection).await?;
        let kind = found.kinds.entry(kind).or_default();
        (kind.entries, kind.measured) = (lengths.iter().sum(), keys.len() as u64);
    }
    Ok(found)
}

/// What a key is for, such as `live:lines` for `{muster:live:7}:lines`.
fn kind_of(key: &str) -> String {
    let inner = key.strip_prefix(PREFIX).unwrap_or_default();
    let (group, name) = inner.split_once("}:").unwrap_or((inner, ""));
    let is_word =
        |word: &&str| !word.is_empty() && word.len() < 20 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let [group, name] = [group, name].map(|part| part.split(':').next().filter(is_word).unwrap_or("other"));
    format!("{group}:{name}")
}

/// A row of the slow log, without the arguments.
fn slow_command(row: Value) -> Option<SlowCommand> {
    let Value::Array(row) = row else { return None };
    let (id, seconds, microseconds) = (integer(row.first()?)?, integer(row.get(1)?)?, integer(row.get(2)?)?);
    let Value::Array(words) = row.get(3)? else { return None };
    let name = words.first().and_then(text).unwrap_or_default().to_ascii_uppercase();
    let is_name = !name.is_empty()
        && name.len() < 30
        && name.bytes().all(|byte| byte.is_ascii_uppercase() || b"._|".contains(&byte));
    let is_key = |word: &&Value| matches!(word, Value::BulkString(bytes) if bytes.starts_with(PREFIX.as_bytes()));
    Some(SlowCommand {
        id,
        at: Moment(seconds.saturating_mul(1_000_000)),
        microseconds: u64::try_from(microseconds).unwrap_or_default(),
        command: if is_name { name } else { "?".to_owned() },
        arguments: words.len().saturating_sub(1),
        keys: words.iter().skip(1).filter(is_key).count(),
    })
}

fn text(value: &Value) -> Option<String> {
    String::from_redis_value_ref(value).ok()
}

fn integer(value: &Value) -> Option<i64> {
    i64::from_redis_value_ref(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_kinds() {
        for (key, kind) in [
            ("{muster:live:7}:lines", "live:lines"),
            ("{muster:live:7}:hosts:3", "live:hosts"),
            ("{muster:logs:12:result}:turn", "logs:turn"),
            ("{muster:logs:node:0f}:term", "logs:term"),
            ("{muster:SECRET", "other:other"),
        ] {
            assert_eq!(kind_of(key), kind);
        }
    }

    #[test]
    fn a_slow_command_is_shown_without_its_arguments() {
        let word = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let row = |words: &[&str]| {
            let words = words.iter().map(|text| word(text)).collect();
            Value::Array(vec![
                Value::Int(5),
                Value::Int(1_700_000_000),
                Value::Int(12),
                Value::Array(words),
                word("1.2.3.4:5"),
            ])
        };
        let shown = slow_command(row(&["evalsha", "0f0f", "1", "{muster:live:7}:meta", "planted"])).unwrap();
        assert_eq!((shown.command.as_str(), shown.arguments, shown.keys), ("EVALSHA", 4, 1));
        assert_eq!(shown.at, Moment(1_700_000_000_000_000));
        assert_eq!(slow_command(row(&["planted secret 7"])).unwrap().command, "?");
    }
}
