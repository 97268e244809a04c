use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::cluster_async::Connect;
use ::redis::{
    AsyncConnectionConfig, Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Pipeline, RedisFuture, RedisResult,
    Value,
};
use tokio_util::task::AbortOnDropHandle;

use super::tls::RedisTls;

/// A connection to one server, which many callers use at one time. The library makes plain ones; with TLS they are made
/// here, because the library would decide by itself which servers to trust.
#[derive(Clone)]
pub(super) struct ServerConnection {
    connection: MultiplexedConnection,
    /// Sends and receives for a connection that was made here, until its last user is gone.
    _driver: Option<Arc<AbortOnDropHandle<()>>>,
}

impl ServerConnection {
    /// Takes no longer than the timeout of `config`, or of `tls`.
    pub async fn new(info: ConnectionInfo, tls: Option<&RedisTls>, config: AsyncConnectionConfig) -> RedisResult<Self> {
        let Some(tls) = tls else {
            return Ok(Self { connection: Connect::connect_with_config(info, config).await?, _driver: None });
        };
        let connecting = async {
            let stream = tls.stream(&info).await?;
            MultiplexedConnection::new_with_config(info.redis_settings(), stream, config).await
        };
        let (connection, driver) = tls.in_time(&info, connecting).await?;
        Ok(Self { connection, _driver: Some(Arc::new(AbortOnDropHandle::new(tokio::spawn(driver)))) })
    }

    pub fn set_response_timeout(&mut self, timeout: Duration) {
        self.connection.set_response_timeout(timeout);
    }

    pub async fn subscribe(&mut self, channel: &str) -> RedisResult<()> {
        self.connection.subscribe(channel).await
    }
}

/// How the library connects to the nodes of a cluster, with nothing but an address at hand.
impl Connect for ServerConnection {
    fn connect_with_config<'a, T>(info: T, config: AsyncConnectionConfig) -> RedisFuture<'a, Self>
    where
        T: IntoConnectionInfo + Send + 'a,
    {
        Box::pin(async move {
            let info = info.into_connection_info()?;
            let tls = match info.addr() {
                ConnectionAddr::TcpTls { .. } => Some(RedisTls::of_clusters()?),
                _ => None,
            };
            Self::new(info, tls.as_ref(), config).await
        })
    }
}

impl ConnectionLike for ServerConnection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        self.connection.req_packed_command(cmd)
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.connection.req_packed_commands(cmd, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}
