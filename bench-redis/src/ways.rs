//! Ways to send a command to Redis: the server's, and those it is measured against.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, PoolConfig, RecycleResult, Timeouts};
use deadpool_redis::{cluster, sentinel};
use prometheus::{IntCounterVec, IntGauge, Opts};
use redis::{AsyncConnectionConfig, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::config;
use crate::connect::{RedisConnection, connect};
use crate::link::{Link, LinkMetrics, Purpose};
use crate::script::Call;
use crate::settings::RedisSettings;

/// One way to send commands.
pub(crate) enum Way {
    /// The server's own.
    Link(Link),
    /// One connection for all callers, as many of them at one time as there are permits.
    Shared(RedisConnection, Semaphore),
    /// A pool of connections made as the server makes them; none is tested before it is lent.
    OwnPool(managed::Pool<ServerManager>, Duration),
    /// deadpool-redis as it comes: a round trip with PING before each use.
    Pool(deadpool_redis::Pool, Duration),
    SentinelPool(sentinel::Pool, Duration),
    ClusterPool(cluster::Pool, Duration),
}

/// Makes connections as the server does.
pub(crate) struct ServerManager(Arc<RedisSettings>);

impl managed::Manager for ServerManager {
    type Type = RedisConnection;
    type Error = RedisError;

    async fn create(&self) -> Result<RedisConnection, RedisError> {
        connect(&self.0).await
    }

    async fn recycle(&self, _: &mut RedisConnection, _: &Metrics) -> RecycleResult<RedisError> {
        Ok(())
    }
}

impl Way {
    pub(crate) fn link(config: &config::Redis) -> Result<Self> {
        Ok(Self::Link(Link::new(config, metrics()?)?))
    }

    pub(crate) async fn shared(config: &config::Redis, permits: usize) -> Result<Self> {
        Ok(Self::Shared(connect(&RedisSettings::read(config)?).await?, Semaphore::new(permits)))
    }

    pub(crate) fn own_pool(config: &config::Redis, size: usize) -> Result<Self> {
        let manager = ServerManager(Arc::new(RedisSettings::read(config)?));
        let builder = managed::Pool::builder(manager).config(pool_config(config, size)).runtime(Runtime::Tokio1);
        Ok(Self::OwnPool(builder.build()?, config.read_timeout))
    }

    pub(crate) fn pool(config: &config::Redis, size: usize) -> Result<Self> {
        let timeouts = AsyncConnectionConfig::new().set_response_timeout(Some(config.read_timeout));
        let manager = deadpool_redis::Manager::new_with_config(url(&config.address[0]), timeouts)?;
        let builder = deadpool_redis::Pool::builder(manager).config(pool_config(config, size));
        Ok(Self::Pool(builder.runtime(Runtime::Tokio1).build()?, config.read_timeout))
    }

    pub(crate) fn sentinel_pool(config: &config::Redis, size: usize) -> Result<Self> {
        let urls = config.sentinel_addresses.iter().map(|address| url(address)).collect();
        let (master, kind) = (config.sentinel_master.clone(), sentinel::SentinelServerType::Master);
        let manager = sentinel::Manager::new::<String>(urls, master, None, kind)?;
        let builder = sentinel::Pool::builder(manager).config(pool_config(config, size));
        Ok(Self::SentinelPool(builder.runtime(Runtime::Tokio1).build()?, config.read_timeout))
    }

    pub(crate) fn cluster_pool(config: &config::Redis, size: usize) -> Result<Self> {
        let urls = config.address.iter().map(|address| url(address)).collect();
        let manager = cluster::Manager::new::<String>(urls, false)?;
        let builder = cluster::Pool::builder(manager).config(pool_config(config, size));
        Ok(Self::ClusterPool(builder.runtime(Runtime::Tokio1).build()?, config.read_timeout))
    }

    /// Runs a call whose keys belong to job `id`, within the timeout of commands.
    pub(crate) async fn call(&self, purpose: Purpose, id: i64, call: Call<'_>) -> Result<Value> {
        match self {
            Self::Link(link) => Ok(link.call(purpose, "bench", id, call).await?),
            Self::Shared(connection, permits) => {
                let _permit = permits.acquire().await?;
                Ok(call.make(&mut connection.clone()).await?)
            }
            Self::OwnPool(pool, time) => timeout(*time, twice(pool, call)).await?,
            Self::Pool(pool, time) => {
                let lent = async {
                    let lent = pool.get().await?;
                    anyhow::Ok(call.make(&mut (*lent).clone()).await?)
                };
                timeout(*time, lent).await?
            }
            Self::SentinelPool(pool, time) => {
                let lent = async {
                    let lent = pool.get().await?;
                    anyhow::Ok(call.make(&mut (*lent).clone()).await?)
                };
                timeout(*time, lent).await?
            }
            Self::ClusterPool(pool, time) => {
                let lent = async {
                    let lent = pool.get().await?;
                    anyhow::Ok(call.make(&mut (*lent).clone()).await?)
                };
                timeout(*time, lent).await?
            }
        }
    }
}

/// Without a test before it is lent, a broken connection shows by its first command. It leaves the pool, and all others
/// may be as broken: so many are tried.
async fn twice(pool: &managed::Pool<ServerManager>, call: Call<'_>) -> Result<Value> {
    for _ in 0..=pool.status().max_size {
        let mut lent = pool.get().await.map_err(|error| anyhow!("{error}"))?;
        match call.make(&mut lent).await {
            Err(error)
                if error.is_connection_dropped() || error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly) =>
            {
                drop(Object::take(lent));
            }
            outcome => return Ok(outcome?),
        }
    }
    Err(anyhow!("every connection of the pool is broken"))
}

fn pool_config(config: &config::Redis, size: usize) -> PoolConfig {
    let mut pool = PoolConfig::new(size);
    pool.timeouts = Timeouts {
        wait: Some(config.read_timeout),
        create: Some(config.read_timeout),
        recycle: Some(config.read_timeout),
    };
    pool
}

fn url(address: &str) -> String {
    format!("redis://{address}")
}

fn metrics() -> Result<LinkMetrics> {
    let counters = |name| IntCounterVec::new(Opts::new(name, "Help."), &["what"]);
    Ok(LinkMetrics {
        commands: counters("commands")?,
        failures: counters("failures")?,
        notifications: counters("notifications")?,
        is_up: IntGauge::new("up", "Help.")?,
    })
}
