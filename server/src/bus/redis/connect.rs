use std::time::Duration;

use ::redis::aio::ConnectionLike;
use ::redis::cluster_async::ClusterConnection;
use ::redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value, cmd};

use super::server_connection::ServerConnection;
use super::settings::{RedisServer, RedisSettings};

/// Pause between attempts to connect.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);

/// A connection that many callers use at one time.
#[derive(Clone)]
pub(super) enum RedisConnection {
    One(ServerConnection),
    Cluster(ClusterConnection<ServerConnection>),
}

impl ConnectionLike for RedisConnection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(cmd, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// Connects to Redis: to the master that the Sentinels name, to the whole cluster, or to the single server.
pub(super) async fn connect(settings: &RedisSettings) -> RedisResult<RedisConnection> {
    let mut attempt = 1;
    loop {
        match connect_once(settings).await {
            Err(_) if attempt < settings.connect_attempts => attempt += 1,
            outcome => return outcome,
        }
        tokio::time::sleep(BETWEEN_ATTEMPTS).await;
    }
}

async fn connect_once(settings: &RedisSettings) -> RedisResult<RedisConnection> {
    if !settings.sentinels.is_empty() {
        let master = master(settings).await?;
        return Ok(RedisConnection::One(settings.connect(&master).await?));
    }
    let mut failure = None;
    for node in &settings.nodes {
        match settings.connect(node).await {
            Ok(mut connection) => {
                return match is_cluster(&mut connection).await? {
                    true => Ok(RedisConnection::Cluster(settings.connect_cluster().await?)),
                    false => Ok(RedisConnection::One(connection)),
                };
            }
            Err(error) => failure = Some(error),
        }
    }
    Err(failure.unwrap_or_else(|| (ErrorKind::InvalidClientConfig, "redis.address is empty").into()))
}

/// Whether the server is a node of a cluster. Asks with `CLUSTER`, which a client of a cluster needs in any case, then with
/// `INFO`: access lists often forbid one of them.
///
/// # Errors
/// When the server does not answer, or its access list forbids both; a guess would make every live query fail.
async fn is_cluster(connection: &mut ServerConnection) -> RedisResult<bool> {
    match cmd("CLUSTER").arg("INFO").query_async::<Value>(connection).await {
        Ok(_) => return Ok(true),
        Err(error) if is_forbidden(&error) => {}
        // A single server answers that its cluster support is disabled.
        Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError) => return Ok(false),
        Err(error) => return Err(error),
    }
    match cmd("INFO").arg("cluster").query_async::<String>(connection).await {
        Ok(text) if text.contains("cluster_enabled:1") => Err(forbidden(
            "Redis is a cluster, but its access list forbids CLUSTER; grant +cluster|slots and +cluster|info",
        )),
        Ok(_) => Ok(false),
        Err(error) if is_forbidden(&error) => {
            Err(forbidden("the access list of Redis forbids CLUSTER and INFO; grant +cluster or +info"))
        }
        Err(error) => Err(error),
    }
}

fn is_forbidden(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
}

fn forbidden(reason: &'static str) -> RedisError {
    (ErrorKind::AuthenticationFailed, reason).into()
}

/// Asks the Sentinels one after the other for the master, and the master for its role: for a while after a failover some
/// Sentinels still name the old master.
pub(super) async fn master(settings: &RedisSettings) -> RedisResult<RedisServer> {
    let mut failure: RedisError = (ErrorKind::InvalidClientConfig, "no Sentinel knows redis.sentinel_master").into();
    for sentinel in &settings.sentinels {
        match ask(settings, sentinel).await {
            Ok(Some(node)) => match is_master(settings, &node).await {
                Ok(true) => return Ok(node),
                Ok(false) => failure = (ErrorKind::Client, "the Sentinels name a server that is no master").into(),
                Err(error) => failure = error,
            },
            Ok(None) => {}
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn ask(settings: &RedisSettings, sentinel: &RedisServer) -> RedisResult<Option<RedisServer>> {
    let mut connection = settings.connect_sentinel(sentinel).await?;
    let mut question = cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(&settings.sentinel_master);
    question.query_async(&mut connection).await
}

async fn is_master(settings: &RedisSettings, node: &RedisServer) -> RedisResult<bool> {
    let mut connection = settings.connect(node).await?;
    let role: Vec<Value> = cmd("ROLE").query_async(&mut connection).await?;
    Ok(matches!(role.first(), Some(Value::BulkString(name)) if name == b"master"))
}
