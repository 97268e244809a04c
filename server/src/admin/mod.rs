//! Door 2: the REST API of operators and fleetctl.

mod account;
mod answer;
mod apply;
mod auth;
mod body;
mod error;
mod explain;
mod hosts;
mod live;
mod params;
mod specs;

use actix_web::web::{self, ServiceConfig};
use muster_api::rest::BASES;

pub use self::error::no_such_operation;
use crate::fleet::Fleet;
use crate::lifecycle::Lifecycle;

/// What the operations share.
#[derive(Debug, Clone)]
pub struct AdminDoor {
    fleet: Fleet,
    lifecycle: Lifecycle,
}

impl AdminDoor {
    /// `lifecycle` ends what would go on as long as somebody listens.
    pub fn new(fleet: Fleet, lifecycle: Lifecycle) -> Self {
        Self { fleet, lifecycle }
    }
}

/// How bodies are read: of at most `max_bytes`, and refused in the API's own words.
pub fn json_config(max_bytes: usize) -> web::JsonConfig {
    web::JsonConfig::default().limit(max_bytes).error_handler(error::bad_json)
}

/// How ids in paths are read: what is none is refused in the API's own words.
pub fn path_config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|error, _| error::bad_parameter(error.to_string()))
}

/// Adds all operations under every base.
pub fn routes(services: &mut ServiceConfig) {
    for path in ["/api/v1/setup", "/api/setup"] {
        services.route(path, web::post().to(account::set_up));
    }
    for base in BASES {
        services.service(
            web::scope(base)
                .configure(live::routes)
                .route("/login", web::post().to(account::log_in))
                .route("/logout", web::post().to(account::log_out))
                .route("/me", web::get().to(account::me))
                .route("/version", web::get().to(account::version))
                .route("/config", web::get().to(specs::config))
                .route("/config", web::patch().to(apply::patch_config))
                .route("/spec/apply", web::post().to(apply::apply))
                .route("/spec/queries", web::get().to(specs::queries))
                .route("/spec/queries", web::post().to(apply::queries))
                .route("/spec/queries/{name}", web::get().to(specs::query))
                .route("/spec/packs", web::get().to(specs::packs))
                .route("/spec/packs", web::post().to(apply::packs))
                .route("/spec/packs/{name}", web::get().to(specs::pack))
                .route("/spec/labels", web::get().to(specs::labels))
                .route("/spec/labels", web::post().to(apply::labels))
                .route("/spec/labels/{name}", web::get().to(specs::label))
                .route("/spec/enroll_secret", web::get().to(specs::enroll_secret))
                .route("/spec/enroll_secret", web::post().to(apply::enroll_secret))
                .route("/hosts", web::get().to(hosts::list))
                .route("/hosts/count", web::get().to(hosts::count))
                .route("/hosts/identifier/{word}", web::get().to(hosts::by_name))
                .route("/hosts/identifier/{word}/config", web::get().to(explain::by_name))
                .route("/hosts/{id}", web::get().to(hosts::by_id))
                .route("/hosts/{id}/config", web::get().to(explain::by_id))
                .default_service(web::to(error::no_such_operation)),
        );
    }
}
