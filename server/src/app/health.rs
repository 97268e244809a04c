//! The parts that a server needs, and whether they work.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::fleet::logs::{LogStream, Logs};
use crate::ops::{Health, HealthPart};
use crate::store::Store;

/// Timeout of the database in a health check.
const TIMEOUT: Duration = Duration::from_secs(2);

const DATABASE: HealthPart = HealthPart { name: "database", aliases: &["mysql"], needs_restart: false };
const RESULT_LOG: HealthPart = HealthPart { name: "result_log", aliases: &[], needs_restart: true };
const STATUS_LOG: HealthPart = HealthPart { name: "status_log", aliases: &[], needs_restart: true };

/// Checks the parts of this server.
#[derive(Debug)]
pub struct ServerHealth {
    pub store: Store,
    pub logs: Arc<Logs>,
}

impl Health for ServerHealth {
    fn parts(&self) -> &[HealthPart] {
        &[DATABASE, RESULT_LOG, STATUS_LOG]
    }

    fn check(&self, part: &HealthPart) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        let stream = match part.name {
            "result_log" => Some(LogStream::Result),
            "status_log" => Some(LogStream::Status),
            _ => None,
        };
        Box::pin(async move {
            if let Some(stream) = stream {
                return self.logs.check(stream).map_err(|error| error.to_string());
            }
            match tokio::time::timeout(TIMEOUT, self.store.ping()).await {
                Ok(pinged) => pinged.map_err(|error| error.to_string()),
                Err(_) => Err(format!("no answer within {TIMEOUT:?}")),
            }
        })
    }
}
