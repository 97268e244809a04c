//! A copy of the database that lags behind, for what may be old.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prometheus::IntCounter;

use super::dialect::{self, ConnectionUse};
use super::{Connection, Error, Observed, Result, StoreCounters};
use crate::config;
use crate::lock::lock;

/// A reading that takes longer counts as not answered: connections can fall silent.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it is left alone after it has failed.
const PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct ReadReplica {
    connection: Connection,
    failures: IntCounter,
    alone_until: Mutex<Option<Instant>>,
}

impl ReadReplica {
    /// Connects when it is first read from, so that a server starts without it.
    pub async fn open(config: &config::Mysql, counters: &StoreCounters) -> Result<Self> {
        let mut connection = dialect::connect_mysql(config, ConnectionUse::ReadLagging, &Arc::default()).await?;
        counters.count_on(&mut connection, "replica");
        Ok(Self {
            connection: Observed::new(connection),
            failures: counters.replica_failures.clone(),
            alone_until: Mutex::default(),
        })
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// `None` when it does not answer, or does not have yet what is asked for. Then it is left alone for a while.
    pub async fn read<T>(&self, read: impl AsyncFn(&Connection) -> Result<T>) -> Option<T> {
        if lock(&self.alone_until).is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let outcome = tokio::time::timeout(PATIENCE, read(&self.connection)).await;
        let silent = || Error::Unavailable(format!("no answer within {} s", PATIENCE.as_secs()));
        match outcome.unwrap_or_else(|_| Err(silent())) {
            Ok(found) => Some(found),
            Err(error) => {
                self.failures.inc();
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the read replica cannot be read; mysql.address is read instead"
                );
                *lock(&self.alone_until) = Some(Instant::now() + PAUSE);
                None
            }
        }
    }
}
