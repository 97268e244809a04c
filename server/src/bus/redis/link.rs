use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ::redis::{ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value, from_redis_value};
use anyhow::Result;
use prometheus::{IntCounter, IntCounterVec, IntGauge};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use tokio::time::{timeout, timeout_at};

use super::breaker::Breaker;
use super::connect::{RedisConnection, connect};
use super::script::Call;
use super::settings::RedisSettings;
use crate::bus::BusError;
use crate::config;
use crate::histogram::{Histogram, Histograms};
use crate::lock::lock;
use crate::under_way::{WaitsFor, waiting_for};

/// The purpose of a command. Each has breakers of its own, so that slow commands do not stop the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Small steps of live queries.
    Job,
    /// Answers of hosts, which can be large: on a connection of their own, so many bytes at one time ([`Link::room`]).
    /// Nobody waits for them beyond `by`.
    Answer { by: tokio::time::Instant },
    /// Reads of answers and events, which can be large: on a connection of their own, few at one time.
    Read,
    /// Hashes of log batches. Agents wait for them, and the server can do without.
    Logs,
    /// Change events.
    Notify,
}

/// The purposes as metrics name them, by their index.
const PURPOSES: [&str; 5] = ["job", "answer", "read", "logs", "notify"];

impl Purpose {
    fn index(self) -> usize {
        match self {
            Self::Job => 0,
            Self::Answer { .. } => 1,
            Self::Read => 2,
            Self::Logs => 3,
            Self::Notify => 4,
        }
    }

    /// How long somebody still waits, if that is bounded.
    fn time_left(self) -> Option<Duration> {
        match self {
            Self::Answer { by } => Some(by.saturating_duration_since(tokio::time::Instant::now())),
            Self::Job | Self::Read | Self::Logs | Self::Notify => None,
        }
    }
}

/// Longest wait of a log request for Redis.
const LOGS_TIMEOUT: Duration = Duration::from_millis(250);

/// Groups of keys with a breaker each, so that one node of a cluster that is down does not stop the others.
const GROUPS: usize = 64;

/// Reads of one group of keys that Redis is asked for at one time; others wait here. Redis runs all commands that it has
/// received on a connection before it turns to the next one, so reads that queue there hold up claims and answers. The
/// second read keeps Redis busy while the first travels. `make bench-redis` measures it (decision 4).
const READS_AT_ONCE: usize = 2;

/// Bytes of answers that are sent at one time; others wait here, and no breaker hears of them. Redis takes them in well
/// within a command's timeout.
const ANSWER_BYTES_AT_ONCE: u32 = 16 << 20;

/// Time without an answer after which a cluster's connection is made anew; until then it finds its way back by itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// Metrics about Redis.
#[derive(Debug, Clone)]
pub struct LinkMetrics {
    /// Commands, by name.
    pub commands: IntCounterVec,
    /// Commands that were not answered, by name.
    pub failures: IntCounterVec,
    /// Commands that were sent a second time.
    pub retries: IntCounter,
    /// Time until a command was answered or has failed, by purpose.
    pub seconds: Histograms<Duration>,
    /// Change events, by outcome.
    pub notifications: IntCounterVec,
    /// Whether the last command was answered.
    pub is_up: IntGauge,
}

/// The connections of this server to Redis. They are made when they are needed, made anew when they break, and shared by
/// all callers. A command waits at most for its timeout. A read also waits that long for other reads to end, and an answer
/// for other answers while enough time is left to send it. After some failures in a row calls of one purpose fail at
/// once for a second; then one of them tries.
///
/// These are single connections and no pool: commands of all callers travel on one connection at the same time. Pools
/// were measured and are slower for small commands and no faster for large reads (decision 4).
#[derive(Debug)]
pub(super) struct Link {
    settings: Arc<RedisSettings>,
    shared: [Arc<SharedConnection>; 4],
    breakers: [Vec<Breaker>; 5],
    /// Permits to read, by group of keys.
    reads: Vec<Semaphore>,
    /// One permit for each byte of answers.
    answer_bytes: Arc<Semaphore>,
    metrics: LinkMetrics,
    /// By purpose.
    seconds: [Arc<Histogram<Duration>>; 5],
    /// Whether operators have been told that Redis does not answer.
    is_down: AtomicBool,
    /// Runs the tasks of connections: a connection must outlive the thread that asked for it.
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
            reads: std::iter::repeat_with(|| Semaphore::new(READS_AT_ONCE)).take(GROUPS).collect(),
            answer_bytes: Arc::new(Semaphore::new(ANSWER_BYTES_AT_ONCE as usize)),
            seconds: PURPOSES.map(|purpose| metrics.seconds.with(&[purpose])),
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

    /// Runs a call whose keys belong to `id`. The call may run twice when the connection breaks before the answer.
    pub async fn call<T: FromRedisValue>(
        &self,
        purpose: Purpose,
        name: &str,
        id: i64,
        call: Call<'_>,
    ) -> Result<T, BusError> {
        let group = usize::try_from(id.rem_euclid(i64::try_from(GROUPS).unwrap_or(1))).unwrap_or(0);
        // Groups are for clusters; anything else is up or down as a whole.
        let is_cluster = matches!(&*lock(&self.shared(purpose).connection), Some(RedisConnection::Cluster(_)));
        let group = if is_cluster { group } else { 0 };
        let since = Instant::now();
        let _permit = match purpose {
            Purpose::Read => Some(self.read_permit(group).await?),
            Purpose::Job | Purpose::Answer { .. } | Purpose::Logs | Purpose::Notify => None,
        };
        let Some(pass) = self.breakers[purpose.index()][group].enter(since, Instant::now()) else {
            return Err(BusError::Unavailable(format!("Redis ({}) does not answer", self.settings.name())));
        };
        self.metrics.commands.with_label_values(&[name]).inc();
        let whole = self.time_for(purpose, call.bytes());
        let time = purpose.time_left().map_or(whole, |left| left.min(whole));
        let shared = self.shared(purpose);
        let sent = Instant::now();
        let outcome = waiting_for(WaitsFor::Redis, timeout(time, self.twice(shared, call))).await;
        self.seconds[purpose.index()].observe(sent.elapsed());
        let why = match outcome {
            Ok(Ok(value)) => {
                pass.answered(Instant::now());
                *lock(&shared.answered_at) = Instant::now();
                self.is_up();
                return from_redis_value(value).map_err(|error| {
                    tracing::error!(command = name, %error, "Redis has given another answer than was expected");
                    BusError::Unavailable(format!("Redis has given another answer to {name} than was expected"))
                });
            }
            Ok(Err(error)) if !is_outage(&error) => {
                // Redis answers, so this is no outage: the command is wrong, or its user may not run it.
                pass.answered(Instant::now());
                self.metrics.failures.with_label_values(&[name]).inc();
                tracing::error!(command = name, %error, "Redis has refused a command");
                return Err(BusError::Unavailable(format!("Redis has refused {name}: {error}")));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} ms", time.as_millis()),
        };
        self.metrics.failures.with_label_values(&[name]).inc();
        // why: that there was no answer in less time than a command may take says nothing about Redis.
        if time < whole || !pass.failed(Instant::now()) {
            return Err(BusError::Slow(format!("Redis ({}) is slow: {why}", self.settings.name())));
        }
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

    /// How long a command of so many bytes may take. An answer travels behind the others that are under way.
    fn time_for(&self, purpose: Purpose, bytes: usize) -> Duration {
        match purpose {
            Purpose::Logs => LOGS_TIMEOUT.min(self.settings.command_timeout),
            Purpose::Answer { .. } => {
                let under_way = ANSWER_BYTES_AT_ONCE as usize - self.answer_bytes.available_permits();
                self.settings.time_for(under_way.max(bytes))
            }
            Purpose::Job | Purpose::Read | Purpose::Notify => self.settings.time_for(bytes),
        }
    }

    /// Waits for the turn of a read.
    async fn read_permit(&self, group: usize) -> Result<SemaphorePermit<'_>, BusError> {
        let acquired = timeout(self.settings.command_timeout, self.reads[group].acquire());
        match waiting_for(WaitsFor::RedisQueue, acquired).await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed, so only time can run out.
            Ok(Err(_)) | Err(_) => {
                Err(BusError::Busy(format!("Redis ({}) is busy with other reads", self.settings.name())))
            }
        }
    }

    /// Waits until so many bytes of an answer may be sent; one that is larger than all of them is sent alone. An answer that
    /// does not wait is sent however little time is left. What this gives is to be held until the answer was sent.
    pub async fn room(&self, bytes: usize, by: tokio::time::Instant) -> Result<OwnedSemaphorePermit, BusError> {
        let time = self.settings.time_for(bytes.max(ANSWER_BYTES_AT_ONCE as usize));
        let begin_by = by.checked_sub(time).unwrap_or_else(tokio::time::Instant::now);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(ANSWER_BYTES_AT_ONCE);
        let acquired = timeout_at(begin_by, Arc::clone(&self.answer_bytes).acquire_many_owned(bytes));
        match waiting_for(WaitsFor::RedisQueue, acquired).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => {
                Err(BusError::Busy(format!("Redis ({}) is busy with other answers", self.settings.name())))
            }
        }
    }

    fn is_up(&self) {
        self.metrics.is_up.set(1);
        if self.is_down.swap(false, Ordering::Relaxed) {
            self.breakers.iter().flatten().for_each(|breaker| breaker.try_soon(Instant::now()));
            tracing::info!(redis = self.settings.name(), "Redis answers again");
        }
    }

    fn shared(&self, purpose: Purpose) -> &Arc<SharedConnection> {
        match purpose {
            Purpose::Job | Purpose::Notify => &self.shared[0],
            Purpose::Read => &self.shared[1],
            Purpose::Logs => &self.shared[2],
            Purpose::Answer { .. } => &self.shared[3],
        }
    }

    /// Runs the call, and once more on a new connection when the old one is broken or leads to a former master.
    async fn twice(&self, shared: &Arc<SharedConnection>, call: Call<'_>) -> RedisResult<Value> {
        let mut connection = self.connection(shared).await?;
        match call.make(&mut connection).await {
            Err(error) if is_stale(&error) => {
                *lock(&shared.connection) = None;
                self.metrics.retries.inc();
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
        // A task, because it must go on when the caller stops waiting: a connection that took too long for one caller is
        // there for the next. The guard goes with it, so that only one connection is made at a time.
        let connecting = self.runtime.spawn(async move {
            let _guard = guard;
            let mut connection = connect(&settings).await?;
            if let RedisConnection::One(connection) = &mut connection {
                connection.set_response_timeout(settings.longest_time());
            }
            *lock(&shared.connection) = Some(connection.clone());
            *lock(&shared.answered_at) = Instant::now();
            Ok(connection)
        });
        connecting.await.unwrap_or_else(|error| Err(std::io::Error::other(error).into()))
    }

    /// Drops a connection after a failure, so that the next call makes a new one.
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

/// Whether Redis is away or not ready, as opposed to refusing this command.
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
