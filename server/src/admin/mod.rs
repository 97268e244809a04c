//! The API of operators: REST, which fleetctl speaks, and pages.

mod account;
mod answer;
mod apply;
mod approvals;
mod auth;
mod body;
mod carves;
mod delete_hosts;
mod error;
mod explain;
mod foreign;
mod hosts;
mod labels;
mod lists;
mod live;
mod measured;
mod openapi;
mod operation;
mod operations;
mod origin;
mod pages;
mod params;
mod queries;
mod report;
mod resource;
mod rollouts;
mod scheduled;
mod schema;
mod specs;
mod statistics;
mod stream;
mod users;
mod work;

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::web::{self, ServiceConfig};
use muster_api::rest::BASES;
use serde::Serialize;

use self::answer::Answers;
use self::auth::Caller;
use self::error::AdminAnswer;
pub use self::error::not_here;
use self::lists::Lists;
pub use self::openapi::document as api_document;
use self::operation::Operation;
use self::pages::PageSettings;
pub use self::pages::nothing_here;
use self::stream::StreamPace;
use self::work::{OperatorPool, write};
use crate::config;
use crate::fleet::access::{Peer, Principal};
use crate::fleet::{self, Fleet};
use crate::lifecycle::Lifecycle;
use crate::proxies::Proxies;
use crate::telemetry::Metrics;

/// The state that the handlers share.
#[derive(Debug, Clone)]
pub struct AdminApi {
    fleet: Fleet,
    lifecycle: Lifecycle,
    work: OperatorPool,
    lists: Lists,
    answers: Answers,
    max_body: usize,
    proxies: Proxies,
    metrics: Arc<Metrics>,
    pages: PageSettings,
}

impl AdminApi {
    /// `lifecycle` ends responses that would otherwise go on as long as the client reads.
    pub fn new(fleet: Fleet, lifecycle: Lifecycle, metrics: Arc<Metrics>, config: &config::Server) -> Self {
        let work = OperatorPool::new(config, Arc::clone(&metrics));
        let answers = Answers { pace: StreamPace { within: config.stream_timeout, metrics: Arc::clone(&metrics) } };
        let lists =
            Lists::new(fleet.clone(), config, work.clone(), answers.clone(), lifecycle.clone(), Arc::clone(&metrics));
        let (max_body, proxies) = (config.max_rest_body.0, Proxies::of(config));
        let pages = PageSettings::of(config);
        Self { fleet, lifecycle, work, lists, answers, max_body, proxies, metrics, pages }
    }

    /// Makes a change for a caller, away from the threads that answer agents, and answers with what it returns.
    async fn change<T, F>(
        &self,
        caller: &Caller,
        change: impl FnOnce(Fleet, Principal) -> F + Send + 'static,
    ) -> AdminAnswer
    where
        T: Serialize,
        F: Future<Output = fleet::Result<T>>,
    {
        let (fleet, principal) = (self.fleet.clone(), caller.0.clone());
        let text = self.work.change(move || async move { write(&change(fleet, principal).await?) }).await?;
        Ok(self.answers.whole(text, ()))
    }

    /// Reads for a caller, in turn with the caller's other reads, and answers with all of it.
    async fn read<T, F>(
        &self,
        caller: &Caller,
        read: impl FnOnce(Fleet, Principal) -> F + Send + 'static,
    ) -> AdminAnswer
    where
        T: Serialize,
        F: Future<Output = fleet::Result<T>>,
    {
        let (fleet, principal) = (self.fleet.clone(), caller.0.clone());
        self.lists.send(&caller.0, move || read(fleet, principal)).await
    }

    /// The sender of a request.
    fn peer(&self, request: &HttpRequest) -> Peer {
        Peer::of(self.proxies.client(request))
    }
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
    // As Fleet has it, beside the operation for users.
    services.route("/version", web::get().to(account::open_version));
    let operations = all_operations();
    for base in BASES {
        let scope = operations.iter().fold(web::scope(base), |scope, one| scope.route(&one.pattern(), one.route()));
        services.service(scope.default_service(web::to(error::no_such_operation)));
    }
    pages::routes(services);
}
