use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ::redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value, from_redis_value};
use anyhow::Result;
use prometheus::{IntCounterVec, IntGauge};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::breaker::Breaker;
use super::connect::{RedisConnection, connect};
use super::script::Call;
use super::settings::RedisSettings;
use crate::bus::BusError;
use crate::config;
use crate::lock::lock;

/// What a command is for. Each has a breaker of its own, so that slow ones do not stop the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Small steps of live queries.
    Step,
    /// Reading answers and events, which can be large: on a connection of their own.
    Read,
    /// Hashes of log batches: agents wait for them, and can do without.
    Logs,
    /// Change events.
    Notify,
}

/// How long log requests may wait for Redis.
const LOGS_TIMEOUT: Duration = Duration::from_millis(250);

/// Groups of keys with a breaker each, so that one node of a cluster that is down does not stop the others.
const GROUPS: usize = 64;

/// A cluster's connection finds its way back by itself; one that has not answered for so long is made anew.
const PATIENCE: Duration = Duration::from_secs(5);

/// Numbers about Redis.
#[derive(Debug, Clone)]
pub struct LinkMetrics {
    /// Commands, by name.
    pub commands: IntCounterVec,
    /// Commands that were not answered, by name.
    pub failures: IntCounterVec,
    /// Change events, by what became of them.
    pub notifications: IntCounterVec,
    /// Whether the last command was answered.
    pub is_up: IntGauge,
}

/// The connections of this server to Redis. They are made when they are needed, made anew when they break, and shared by
/// all callers; nobody waits longer than the timeout, and after a failure nobody waits at all for a second.
///
/// These are single connections and no pool: commands of all callers travel on one at the same time, while pooled
/// ones are tested with a round trip of their own before each use.
#[derive(Debug)]
pub(super) struct Link {
    settings: Arc<RedisSettings>,
    shared: [Arc<SharedConnection>; 3],
    breakers: [Vec<Breaker>; 4],
    metrics: LinkMetrics,
    /// Whether operators have been told that Redis does not answer.
    is_down: AtomicBool,
    /// Where connections live: the threads that answer requests come and go.
    runtime: Handle,
}

struct SharedConnection {
    connection: Mutex<Option<RedisConnection>>,
    answered_at: Mutex<Instant>,
    connecting: Arc<tokio::sync::Mutex<()>>,
}

impl std::fmt::Debug for SharedConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedConnection")
            .field("is_connected", &lock(&self.connection).is_some())
            .finish_non_exhaustive()
    }
}

impl Default for SharedConnection {
    fn default() -> Self {
        Self { connection: Mutex::default(), answered_at: Mutex::new(Instant::now()), connecting: Arc::default() }
    }
}

impl Link {
    /// # Errors
    /// When a file of the configuration cannot be read. Whether Redis is there shows with the first command.
    pub fn new(config: &config::Redis, metrics: LinkMetrics) -> Result<Self> {
        let breakers = || std::iter::repeat_with(Breaker::default).take(GROUPS).collect();
        Ok(Self {
            settings: Arc::new(RedisSettings::read(config)?),
            shared: std::array::from_fn(|_| Arc::default()),
            breakers: std::array::from_fn(|_| breakers()),
            metrics,
            is_down: AtomicBool::new(false),
            runtime: Handle::current(),
        })
    }

    pub fn settings(&self) -> &Arc<RedisSettings> {
        &self.settings
    }

    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Runs a call whose keys belong to `id`. It may be run twice when the connection breaks on the way.
    pub async fn call<T: FromRedisValue>(
        &self,
        purpose: Purpose,
        name: &str,
        id: i64,
        call: Call<'_>,
    ) -> Result<T, BusError> {
        let group = usize::try_from(id.rem_euclid(i64::try_from(GROUPS).unwrap_or(1))).unwrap_or(0);
        let breakers = &self.breakers[purpose as usize];
        // Groups are for clusters; anything else is up or down as a whole.
        let is_cluster = matches!(&*lock(&self.shared(purpose).connection), Some(RedisConnection::Cluster(_)));
        let Some(pass) = breakers[if is_cluster { group } else { 0 }].enter() else {
            return Err(BusError::Unavailable(format!("Redis ({}) does not answer", self.settings.name())));
        };
        self.metrics.commands.with_label_values(&[name]).inc();
        let time = match purpose {
            Purpose::Logs => LOGS_TIMEOUT.min(self.settings.command_timeout),
            _ => self.settings.command_timeout,
        };
        let shared = self.shared(purpose);
        let why = match timeout(time, self.twice(shared, call)).await {
            Ok(Ok(value)) => {
                pass.answered();
                *lock(&shared.answered_at) = Instant::now();
                self.is_up();
                return from_redis_value(value).map_err(|error| {
                    tracing::error!(command = name, %error, "Redis has given another answer than was expected");
                    BusError::Unavailable(format!("Redis has given another answer to {name} than was expected"))
                });
            }
            Ok(Err(error)) if !is_outage(&error) => {
                // It did answer; the fault is ours, or what its users may do.
                pass.answered();
                self.metrics.failures.with_label_values(&[name]).inc();
                tracing::error!(command = name, %error, "Redis has refused a command");
                return Err(BusError::Unavailable(format!("Redis has refused {name}: {error}")));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} ms", time.as_millis()),
        };
        self.metrics.failures.with_label_values(&[name]).inc();
        pass.failed();
        self.give_up(shared);
        if purpose != Purpose::Logs {
            self.metrics.is_up.set(0);
            if !self.is_down.swap(true, Ordering::Relaxed) {
                tracing::error!(
                    redis = self.settings.name(),
                    why,
                    "Redis does not answer: live queries have to wait, and changes take longer to reach all servers"
                );
            }
        }
        Err(BusError::Unavailable(format!("Redis ({}) does not answer: {why}", self.settings.name())))
    }

    fn is_up(&self) {
        self.metrics.is_up.set(1);
        if self.is_down.swap(false, Ordering::Relaxed) {
            tracing::info!(redis = self.settings.name(), "Redis answers again");
        }
    }

    fn shared(&self, purpose: Purpose) -> &Arc<SharedConnection> {
        match purpose {
            Purpose::Step | Purpose::Notify => &self.shared[0],
            Purpose::Read => &self.shared[1],
            Purpose::Logs => &self.shared[2],
        }
    }

    /// Tries again on a new connection when the old one turns out to be broken, or leads to what is no master any more.
    async fn twice(&self, shared: &Arc<SharedConnection>, call: Call<'_>) -> RedisResult<Value> {
        let mut connection = self.connection(shared).await?;
        match call.make(&mut connection).await {
            Err(error) if is_stale(&error) => {
                *lock(&shared.connection) = None;
                call.make(&mut self.connection(shared).await?).await
            }
            outcome => outcome,
        }
    }

    async fn connection(&self, shared: &Arc<SharedConnection>) -> RedisResult<RedisConnection> {
        if let Some(connection) = lock(&shared.connection).clone() {
            return Ok(connection);
        }
        let guard = Arc::clone(&shared.connecting).lock_owned().await;
        if let Some(connection) = lock(&shared.connection).clone() {
            return Ok(connection);
        }
        let (settings, shared) = (Arc::clone(&self.settings), Arc::clone(shared));
        // Goes on when the caller stops waiting, so that a slow connection is there for the next one.
        let connecting = self.runtime.spawn(async move {
            let _guard = guard;
            let connection = connect(&settings).await?;
            *lock(&shared.connection) = Some(connection.clone());
            *lock(&shared.answered_at) = Instant::now();
            Ok(connection)
        });
        connecting.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }

    fn give_up(&self, shared: &SharedConnection) {
        let mut connection = lock(&shared.connection);
        let is_cluster = matches!(*connection, Some(RedisConnection::Cluster(_)));
        if !is_cluster || lock(&shared.answered_at).elapsed() > PATIENCE {
            *connection = None;
        }
    }
}

/// Whether another connection may do better at once.
fn is_stale(error: &RedisError) -> bool {
    error.is_connection_dropped() || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// Whether Redis is away or not ready, rather than of another opinion.
fn is_outage(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::BusyLoading
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
        ),
        ErrorKind::UnexpectedReturnType | ErrorKind::Extension => false,
        _ => true,
    }
}
