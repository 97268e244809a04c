//! Several servers over one database and one Redis behave as one, also in live queries.

mod bells;

use crate::support::{RedisProcess, TestServer};

/// Two servers, and the Redis between them.
pub struct Two {
    pub redis: RedisProcess,
    pub a: TestServer,
    pub b: TestServer,
}

impl Two {
    pub async fn start() -> Self {
        let redis = RedisProcess::start().await;
        let address = redis.address();
        let a = TestServer::with(|config| {
            config.redis.address = vec![address];
            config.server.tls = false;
        })
        .await;
        let b = TestServer::replica_of(&a).await;
        Self { redis, a, b }
    }
}
