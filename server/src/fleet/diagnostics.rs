//! What the database and Redis say of themselves, as `/debug` shows it. What takes the processor long, the conversion into
//! what is shown, is for its caller to do in a pool.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use muster_api::rest::debug::{
    DbLock, DbPool, DbProcess, DbSettings, DbStatement, DbTable, RedisKeyKind, RedisKeys, RedisLiveKeys, RedisNodeKeys,
    RedisNodeSlowLog, RedisSlowCommand, RedisSlowLog,
};

use super::access::{Access, Principal};
use super::{Error, Result};
use crate::bus::{BusError, FoundKeys, LiveBus, LiveStreams, OfServer, RedisDiagnostics, SlowCommand};
use crate::clock::{Clock, Moment};
use crate::lock::lock;
use crate::store::diagnostics::{
    DatabaseDiagnostics, DatabaseProcess, DatabaseSettings, LockWait, StatementDigest, TableSize,
};

pub use crate::store::diagnostics::Unshown;

/// How long a session is looked for on the connections that everybody uses.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long the database is not asked for a session that this node remembers, after it has not answered.
const SILENT_FOR: Duration = Duration::from_secs(10);

/// Who asks.
#[derive(Debug, Clone)]
pub struct Recognized {
    pub principal: Principal,
    /// The database does not answer, and the session may have ended meanwhile.
    pub is_remembered: bool,
}

/// The database and Redis as those see them who look for a fault.
#[derive(Debug)]
pub struct Diagnostics {
    pub database: DatabaseDiagnostics,
    redis: Option<RedisDiagnostics>,
    bus: Arc<dyn LiveBus>,
    access: Arc<Access>,
    clock: Clock,
    /// Until when a session that is remembered is not looked for.
    silent_until: Mutex<Moment>,
}

impl Diagnostics {
    pub fn new(
        database: DatabaseDiagnostics,
        redis: Option<RedisDiagnostics>,
        bus: Arc<dyn LiveBus>,
        access: Arc<Access>,
        clock: Clock,
    ) -> Self {
        Self { database, redis, bus, access, clock, silent_until: Mutex::new(Moment::NEVER) }
    }

    /// The user of a session, also while all connections to the database are in use: then it is looked for on one of its own. While
    /// the database does not answer, an admin is believed whose session it knew within the last 15 minutes; nobody else waits for
    /// it longer than for the usual connections. Writes nothing, so that it works while tables are locked for writing; the session
    /// does not last longer because of it.
    ///
    /// # Errors
    /// As for [`Access::authenticate`].
    pub async fn recognize(&self, token: &str) -> Result<Recognized> {
        let remembered = self.access.remember(token).map(|principal| Recognized { principal, is_remembered: true });
        if let Some(remembered) = &remembered
            && self.clock.now() < *lock(&self.silent_until)
        {
            return Ok(remembered.clone());
        }
        let known = |principal| Recognized { principal, is_remembered: false };
        match (tokio::time::timeout(PATIENCE, self.access.recognize(token)).await, remembered) {
            (Ok(Err(Error::Unavailable(_))) | Err(_), Some(remembered)) => match self.recognize_apart(token).await {
                Err(Error::Unavailable(_)) => {
                    *lock(&self.silent_until) = self.clock.now().plus(SILENT_FOR);
                    Ok(remembered)
                }
                outcome => outcome.map(known),
            },
            (Ok(outcome), _) => outcome.map(known),
            (Err(_), None) => Err(Error::Unavailable("the database has not answered who asks".to_owned())),
        }
    }

    /// On a connection of its own.
    async fn recognize_apart(&self, token: &str) -> Result<Principal> {
        let db = self.database.connect().await.map_err(|why| Error::Unavailable(why.to_string()))?;
        let reading = self.access.recognize_from(&*db, token);
        let late = || Error::Unavailable("the database has not answered who asks".to_owned());
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| Err(late()))
    }

    fn redis(&self) -> std::result::Result<&RedisDiagnostics, Unshown> {
        let reason = "redis.address is not set: this node keeps in memory and files what nodes share over Redis";
        self.redis.as_ref().ok_or_else(|| Unshown::NotHere(reason.to_owned()))
    }

    /// What each Redis server tells of itself, one after the other, each under a line with its address.
    ///
    /// # Errors
    /// Without Redis, or when none answers.
    pub async fn redis_info(&self) -> std::result::Result<String, Unshown> {
        let all = self.redis()?.info().await.map_err(unavailable)?;
        let text = |OfServer { server, said }: OfServer<String>| match said {
            Ok(info) => format!("# Node {server}\n{}\n", info.replace("\r\n", "\n")),
            Err(why) => format!("# Node {server}\n# no answer: {why}\n\n"),
        };
        Ok(all.into_iter().map(text).collect())
    }

    /// Slow commands of each Redis server, without arguments.
    ///
    /// # Errors
    /// As for [`Diagnostics::redis_info`].
    pub async fn redis_slow_log(&self) -> std::result::Result<RedisSlowLog, Unshown> {
        let all = self.redis()?.slow_log().await.map_err(unavailable)?;
        Ok(RedisSlowLog { nodes: all.into_iter().map(RedisNodeSlowLog::from).collect() })
    }

    /// What is kept in Redis: keys by kind, and the streams of the live queries that this node has open.
    ///
    /// # Errors
    /// As for [`Diagnostics::redis_info`].
    pub async fn redis_keys(&self) -> std::result::Result<RedisKeys, Unshown> {
        let redis = self.redis()?;
        let open = self.bus.held().into_iter().collect();
        let (nodes, streams) = tokio::join!(Box::pin(redis.keys()), Box::pin(redis.live_streams(open)));
        let (streams, left_out) = streams.map_err(unavailable)?;
        let shown = |streams: LiveStreams| RedisLiveKeys {
            live_query_id: streams.job.id,
            events: streams.events,
            lines: streams.lines,
        };
        let nodes = nodes.map_err(unavailable)?.into_iter().map(RedisNodeKeys::from).collect();
        Ok(RedisKeys { nodes, live_queries: streams.into_iter().map(shown).collect(), left_out })
    }
}

fn unavailable(error: BusError) -> Unshown {
    Unshown::Unavailable(error.to_string())
}

impl From<LockWait> for DbLock {
    fn from(lock: LockWait) -> Self {
        Self {
            waiting_trx_id: lock.waiting_transaction,
            waiting_thread: lock.waiting_thread,
            waiting_query: lock.waiting_statement.map(|sql| sql.redacted()),
            waiting_seconds: lock.waiting_seconds,
            blocking_trx_id: lock.blocking_transaction,
            blocking_thread: lock.blocking_thread,
            blocking_query: lock.blocking_statement.map(|sql| sql.redacted()),
            blocking_is_idle: lock.is_blocking_idle,
            blocking_seconds: lock.blocking_seconds,
            table: lock.table,
            index: lock.index,
            lock_mode: lock.lock_mode,
        }
    }
}

impl From<DatabaseProcess> for DbProcess {
    fn from(process: DatabaseProcess) -> Self {
        Self {
            id: process.id,
            user: process.user,
            host: process.host,
            db: process.database,
            command: process.command,
            time: process.seconds,
            state: process.state,
            info: process.statement.map(|sql| sql.redacted()),
        }
    }
}

impl From<StatementDigest> for DbStatement {
    fn from(digest: StatementDigest) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "an average")]
        let average_seconds = digest.total_seconds / digest.count.max(1) as f64;
        Self {
            statement: digest.statement.redacted(),
            count: digest.count,
            total_seconds: digest.total_seconds,
            average_seconds,
            max_seconds: digest.max_seconds,
            lock_seconds: digest.lock_seconds,
            errors: digest.errors,
            rows_sent: digest.rows_sent,
            rows_examined: digest.rows_examined,
            rows_affected: digest.rows_affected,
            first_seen: digest.first_seen.map(Moment::to_utc),
            last_seen: digest.last_seen.map(Moment::to_utc),
        }
    }
}

impl From<DatabaseSettings> for DbSettings {
    fn from(found: DatabaseSettings) -> Self {
        let DatabaseSettings { kind, version, settings, figures, pools } = found;
        let pools = pools.into_iter().map(|pool| DbPool {
            name: pool.name.to_owned(),
            in_use: pool.in_use,
            idle: pool.idle,
            max: pool.max,
        });
        Self { kind: kind.to_owned(), version, settings, figures, pools: pools.collect() }
    }
}

impl From<TableSize> for DbTable {
    fn from(table: TableSize) -> Self {
        let TableSize { name, rows, data_bytes, index_bytes } = table;
        Self { name, rows, data_bytes, index_bytes }
    }
}

impl From<OfServer<Vec<SlowCommand>>> for RedisNodeSlowLog {
    fn from(OfServer { server, said }: OfServer<Vec<SlowCommand>>) -> Self {
        let error = said.as_ref().err().cloned();
        let shown = |command: SlowCommand| RedisSlowCommand {
            id: command.id,
            at: Some(command.at.to_utc()),
            microseconds: command.microseconds,
            command: command.command,
            arguments: command.arguments,
            keys: command.keys,
        };
        Self { node: server, error, commands: said.unwrap_or_default().into_iter().map(shown).collect() }
    }
}

impl From<OfServer<FoundKeys>> for RedisNodeKeys {
    fn from(OfServer { server, said }: OfServer<FoundKeys>) -> Self {
        let error = said.as_ref().err().cloned();
        let FoundKeys { all, is_complete, kinds } = said.unwrap_or_default();
        let kinds = kinds.into_iter().map(|(kind, found)| RedisKeyKind {
            kind,
            keys: found.keys,
            entries: (found.measured > 0).then_some(found.entries),
            measured: found.measured,
        });
        Self { node: server, error, keys: all, is_complete, kinds: kinds.collect() }
    }
}
