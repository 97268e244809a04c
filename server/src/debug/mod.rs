//! What operators ask of a node that is in trouble: profiles, what each request waits for, errors, the state of caches, the
//! database and Redis. For admins, who may ask a bounded number of times a minute; what takes the processor long is done in a
//! pool. No answer contains a secret. Fleet's paths answer with what is nearest.

mod activity;
mod caller;
mod catalog;
mod logs;
mod refusal;
mod turns;

use std::sync::Arc;

use actix_web::web::{self, ServiceConfig};

use self::turns::Turns;
use crate::config::Config;
use crate::fleet::Fleet;
use crate::pool::Pool;
use crate::telemetry::Metrics;

/// Threads for the work of these requests.
const THREADS: usize = 2;

/// Requests that wait for a thread.
const QUEUE: usize = 16;

/// The state that the handlers share.
#[derive(Debug, Clone)]
pub struct DebugApi {
    fleet: Fleet,
    metrics: Arc<Metrics>,
    config: Arc<Config>,
    pool: Pool,
    turns: Arc<Turns>,
}

impl DebugApi {
    pub fn new(fleet: Fleet, metrics: Arc<Metrics>, config: &Config) -> Self {
        let pool = Pool::new("debug", THREADS, Some(QUEUE), &metrics);
        Self { fleet, metrics, config: Arc::new(config.clone()), pool, turns: Arc::default() }
    }
}

/// Adds all items, and the list of them.
pub fn routes(services: &mut ServiceConfig) {
    services.service(web::scope("/debug").configure(catalog::routes));
}
