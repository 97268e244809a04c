//! Several servers over one database and one Redis behave as one, also in live queries.

mod accounting;
mod campaigns;
mod canaries;
mod notifications;
mod outages;
mod pace;
mod quiet;
mod seen;
mod writes;

use std::time::Duration;

use crate::live;
use crate::support::{RedisProcess, TestServer, eventually};
use muster::config::{Config, Redis};

/// Longest wait for something one server tells another.
const SOON: Duration = Duration::from_secs(60);

/// Two servers, and the Redis between them.
pub struct Two {
    pub redis: RedisProcess,
    pub a: TestServer,
    pub b: TestServer,
}

impl Two {
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With other settings.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let redis = RedisProcess::start().await;
        let address = redis.address();
        let a = TestServer::with(|config| {
            config.redis = Redis { address: vec![address], ..Redis::default() };
            config.server.tls = false;
            change(config);
        })
        .await;
        let b = TestServer::beside(&a).await;
        Self { redis, a, b }
    }

    fn servers(&self) -> [&TestServer; 2] {
        [&self.a, &self.b]
    }

    /// Waits until both count the same for a job, as is wanted.
    async fn both(&self, id: i64, what: &str, is_so: impl Fn(&muster_api::rest::LiveQuery) -> bool) {
        for server in self.servers() {
            eventually(what, SOON, async || {
                live::counts(server, id).await;
                is_so(&live::job(server, id).await).then_some(())
            })
            .await;
        }
    }
}
