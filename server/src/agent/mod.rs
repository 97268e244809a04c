//! The osquery TLS API. Agents ignore the HTTP status, so every answer is a JSON object, every refusal has the member
//! `error`, and success is answered only when the data is safe. Carves are the exception: see `RefusalForm`.

mod answer;
mod body;
mod body_ends;
mod budget;
mod carve;
mod certificate;
mod config;
mod distributed;
mod enroll;
mod heavy;
mod in_time;
mod inflate;
mod log;
mod node_key;
#[cfg(feature = "planted-faults")]
mod planted;
mod refusal_log;
mod request;
mod serve;

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, ServiceConfig};

use self::answer::{Endpoint, RefusalForm};
use self::body::Cap;
use self::budget::Budget;
use self::heavy::Heavy;
pub use self::serve::before_routing;
use crate::config::{Carves, Config, Osquery, Server};
use crate::fleet::Fleet;
use crate::lifecycle::Lifecycle;
use crate::proxies::Proxies;
use crate::telemetry::Metrics;

/// The paths below which agents find their endpoints.
const BASES: [&str; 2] = ["/api/v1/osquery", "/api/osquery"];

/// The state all endpoints share.
#[derive(Debug, Clone)]
pub struct AgentApi {
    fleet: Fleet,
    lifecycle: Lifecycle,
    metrics: Arc<Metrics>,
    caps: Caps,
    answer_timeout: Duration,
    keepalive: KeepAlive,
    /// Agents must show a certificate (`server.agent_ca`).
    needs_certificate: bool,
    budget: Budget,
    heavy: Heavy,
    endpoints: Endpoints,
    #[cfg(feature = "planted-faults")]
    planted: Arc<planted::Planted>,
}

/// The cap of each endpoint's body.
#[derive(Debug, Clone, Copy)]
struct Caps {
    enroll: Cap,
    config: Cap,
    distributed_read: Cap,
    distributed_write: Cap,
    log: Cap,
    log_inflated: Cap,
    carve_block: Cap,
}

impl Caps {
    fn of(osquery: &Osquery, carves: &Carves) -> Self {
        macro_rules! cap {
            ($key:ident) => {
                Cap { section: "osquery", key: stringify!($key), bytes: osquery.$key.0 }
            };
        }
        Self {
            enroll: cap!(max_enroll_body),
            config: cap!(max_config_body),
            distributed_read: cap!(max_distributed_read_body),
            distributed_write: cap!(max_distributed_write_body),
            log: cap!(max_log_body),
            log_inflated: cap!(max_log_inflated),
            carve_block: carve::cap(carves),
        }
    }
}

/// Which connections stay open after an answer. Stock agents never use one again; load balancers do.
#[derive(Debug, Clone)]
struct KeepAlive {
    mode: KeepAliveMode,
    is_tls: bool,
    proxies: Proxies,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeepAliveMode {
    Auto,
    Always,
    Never,
}

impl KeepAlive {
    fn of(server: &Server) -> Self {
        let mode = match server.agent_keepalive.as_str() {
            "always" => KeepAliveMode::Always,
            "never" => KeepAliveMode::Never,
            _ => KeepAliveMode::Auto,
        };
        Self { mode, is_tls: server.tls, proxies: Proxies::of(server) }
    }

    fn keeps(&self, peer: Option<std::net::SocketAddr>) -> bool {
        match self.mode {
            KeepAliveMode::Always => true,
            KeepAliveMode::Never => false,
            KeepAliveMode::Auto => !self.is_tls || peer.is_some_and(|peer| self.proxies.contains(peer.ip())),
        }
    }
}

/// The endpoints of agents, by the names under which metrics count them.
#[derive(Debug, Clone)]
struct Endpoints {
    enroll: Endpoint,
    config: Endpoint,
    distributed_read: Endpoint,
    distributed_write: Endpoint,
    log: Endpoint,
    carve_begin: Endpoint,
    carve_block: Endpoint,
}

impl Endpoints {
    fn new(metrics: &Metrics) -> Self {
        let endpoint = |name| Endpoint::new(name, metrics);
        Self {
            enroll: endpoint("enroll_agent"),
            config: endpoint("get_client_config"),
            distributed_read: endpoint("get_distributed_queries"),
            distributed_write: endpoint("submit_distributed_query_results"),
            log: endpoint("submit_logs"),
            carve_begin: endpoint("carve_begin").refusing(RefusalForm::TextIfForNow),
            carve_block: endpoint("carve_block").refusing(RefusalForm::Text),
        }
    }
}

impl AgentApi {
    pub fn new(fleet: Fleet, lifecycle: Lifecycle, metrics: Arc<Metrics>, config: &Config) -> Self {
        let osquery = &config.osquery;
        Self {
            fleet,
            lifecycle,
            budget: Budget::new(osquery.max_bodies_in_flight.0),
            endpoints: Endpoints::new(&metrics),
            heavy: Heavy::new(&metrics),
            metrics,
            caps: Caps::of(osquery, &config.carves),
            answer_timeout: osquery.answer_timeout,
            keepalive: KeepAlive::of(&config.server),
            needs_certificate: config.server.agent_ca.is_some(),
            #[cfg(feature = "planted-faults")]
            planted: Arc::new(planted::Planted::new(config.planted.clone())),
        }
    }
}

/// Adds the paths of the endpoints where agents are not served; `reason` says where they are.
pub fn routes_elsewhere(services: &mut ServiceConfig, reason: &str) {
    for base in BASES {
        services.service(web::scope(base).default_service(web::to(answer::elsewhere(reason))));
    }
}

/// Adds the answer to whatever is asked below the paths of agents and is none of their endpoints ([`before_routing`]).
pub fn routes(services: &mut ServiceConfig) {
    for base in BASES {
        services.service(web::scope(base).default_service(web::to(answer::no_such_endpoint)));
    }
}
