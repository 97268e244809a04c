//! The bus over Redis: single, behind Sentinels, or a cluster; plain or TLS. Everything in Redis may be lost: the truth is
//! in the database. While Redis does not answer, some callers find that out, each after one timeout; then one caller a
//! second tries again and the others fail at once.

mod batch_leases;
mod batches;
mod breaker;
mod connect;
mod diagnostics;
mod entry;
mod examination;
mod jobs;
mod keys;
mod link;
mod notifier;
mod script;
mod server_connection;
mod settings;
mod steps;
#[cfg(test)]
mod tests;
mod tls;
mod together;
#[cfg(test)]
mod upgrade_tests;

use std::sync::Arc;
use std::time::Duration;

pub use batch_leases::{BatchLease, LeaseReply, TERM_LASTS};
pub use batches::{AfterBatch, BATCH_LOCK_RENEWED_EVERY, BatchLockReply, SharedBatches};
pub use diagnostics::{FoundKeys, LiveStreams, OfServer, RedisDiagnostics, SlowCommand};
pub use examination::{RedisFacts, examine};
pub use jobs::RedisBus;
pub use link::LinkMetrics;
pub use notifier::RedisNotifier;

use self::link::Link;
use self::settings::RedisSettings;
use crate::config;

/// The parts of a server that it shares with others over Redis.
#[derive(Debug)]
pub struct RedisShare {
    pub bus: RedisBus,
    pub notifier: Arc<RedisNotifier>,
    pub batches: Arc<SharedBatches>,
    pub diagnostics: RedisDiagnostics,
}

impl RedisShare {
    /// Checks the settings without connecting.
    ///
    /// # Errors
    /// When a file of the configuration cannot be read or used.
    pub fn check(config: &config::Redis) -> anyhow::Result<()> {
        RedisSettings::read(config).map(drop)
    }

    /// Redis forgets the jobs of live queries after `lifetime`.
    ///
    /// # Errors
    /// When a file of the configuration cannot be read. A Redis that is away is no error.
    pub fn new(config: &config::Redis, lifetime: Duration, metrics: LinkMetrics) -> anyhow::Result<Self> {
        let node = uuid::Uuid::new_v4().simple().to_string();
        let notifications = metrics.notifications.clone();
        let link = Arc::new(Link::new(config, metrics)?);
        let notifier = Arc::new(RedisNotifier::new(Arc::clone(&link), &node, notifications));
        let bus = RedisBus::new(Arc::clone(&link), Arc::clone(&notifier), lifetime);
        let diagnostics = RedisDiagnostics::new(Arc::clone(link.settings()));
        Ok(Self { bus, notifier, batches: Arc::new(SharedBatches::new(link, &node)), diagnostics })
    }
}
