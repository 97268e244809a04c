//! The REST API of operators and fleetctl.

mod account;
mod answer;
mod apply;
mod auth;
mod body;
mod error;
mod explain;
mod hosts;
mod labels;
mod lists;
mod live;
mod openapi;
mod operation;
mod operations;
mod params;
mod queries;
mod resource;
mod scheduled;
mod specs;
mod users;

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::{self, ServiceConfig};
use muster_api::rest::BASES;

pub use self::error::no_such_operation;
use self::lists::Lists;
pub use self::openapi::document as api_document;
use self::operation::Operation;
use crate::config;
use crate::fleet::Fleet;
use crate::fleet::access::Peer;
use crate::lifecycle::Lifecycle;
use crate::proxies::Proxies;
use crate::telemetry::Metrics;

/// The state that the handlers share.
#[derive(Debug, Clone)]
pub struct AdminApi {
    fleet: Fleet,
    lifecycle: Lifecycle,
    lists: Lists,
    proxies: Proxies,
}

impl AdminApi {
    /// `lifecycle` ends responses that would otherwise go on as long as the client reads.
    pub fn new(fleet: Fleet, lifecycle: Lifecycle, metrics: Arc<Metrics>, config: &config::Server) -> Self {
        Self { fleet, lifecycle, lists: Lists::new(config, metrics), proxies: Proxies::of(config) }
    }

    /// The sender of a request.
    fn peer(&self, request: &HttpRequest) -> Peer {
        Peer::of(self.proxies.client(request))
    }
}

/// Limits JSON bodies to `max_bytes` and refuses bad ones with an `ErrorBody`. A body without a type is taken for JSON, as
/// Fleet does. A page of another origin could send one, but not the token of a user: there are no cookies.
pub fn json_config(max_bytes: usize) -> web::JsonConfig {
    web::JsonConfig::default().limit(max_bytes).content_type_required(false).error_handler(error::bad_json)
}

/// Refuses bad ids in paths with an `ErrorBody`.
pub fn path_config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|error, _| error::bad_parameter(error.to_string()))
}

/// The operations below every base. Live queries come first: `/queries/{id}` would take `run` for an id.
fn all_operations() -> Vec<Operation> {
    let mut operations = live::operations();
    operations.extend(operations::operations());
    operations
}

/// Adds all operations below every base.
pub fn routes(services: &mut ServiceConfig) {
    let set_up = operations::set_up();
    for base in operations::SET_UP_BASES {
        services.route(&format!("{base}{}", set_up.path), set_up.route());
    }
    let operations = all_operations();
    for base in BASES {
        let scope = operations.iter().fold(web::scope(base), |scope, one| scope.route(&one.pattern(), one.route()));
        services.service(scope.default_service(web::to(error::no_such_operation)));
    }
}
