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
mod live;
mod packs;
mod params;
mod queries;
mod scheduled;
mod specs;
mod users;

use actix_web::web::{self, ServiceConfig};
use muster_api::rest::BASES;

pub use self::error::no_such_operation;
use crate::fleet::Fleet;
use crate::lifecycle::Lifecycle;

/// What the operations share.
#[derive(Debug, Clone)]
pub struct AdminApi {
    fleet: Fleet,
    lifecycle: Lifecycle,
}

impl AdminApi {
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
                .route("/change_password", web::post().to(users::change_password))
                .route("/version", web::get().to(account::version))
                .route("/config", web::get().to(specs::config))
                .route("/config", web::patch().to(apply::patch_config))
                .route("/spec/apply", web::post().to(apply::apply))
                .route("/spec/delete", web::post().to(apply::delete))
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
                .route("/users", web::get().to(users::list))
                .route("/users/admin", web::post().to(users::create))
                .route("/users/roles/spec", web::get().to(users::roles))
                .route("/users/roles/spec", web::post().to(apply::user_roles))
                .route("/users/{id}", web::get().to(users::by_id))
                .route("/users/{id}", web::patch().to(users::edit))
                .route("/users/{id}", web::delete().to(users::delete))
                .route("/hosts", web::get().to(hosts::list))
                .route("/hosts/count", web::get().to(hosts::count))
                .route("/hosts/delete", web::post().to(hosts::delete_many))
                .route("/hosts/identifier/{word}", web::get().to(hosts::by_name))
                .route("/hosts/identifier/{word}/config", web::get().to(explain::by_name))
                .route("/hosts/{id}", web::get().to(hosts::by_id))
                .route("/hosts/{id}/config", web::get().to(explain::by_id))
                .route("/hosts/{id}", web::delete().to(hosts::delete))
                .route("/hosts/{id}/refetch", web::post().to(hosts::refetch))
                .route("/labels", web::get().to(labels::list))
                .route("/labels", web::post().to(labels::create))
                .route("/labels/summary", web::get().to(labels::summary))
                .route("/labels/id/{id}", web::delete().to(labels::delete))
                .route("/labels/{id}/hosts", web::get().to(labels::hosts))
                .route("/labels/{id}", web::get().to(labels::by_id))
                .route("/labels/{id}", web::patch().to(labels::edit))
                .route("/labels/{name}", web::delete().to(labels::delete_named))
                .route("/queries", web::get().to(queries::list))
                .route("/queries", web::post().to(queries::create))
                .route("/queries/delete", web::post().to(queries::delete_many))
                .route("/queries/id/{id}", web::delete().to(queries::delete))
                .route("/queries/{id}", web::get().to(queries::by_id))
                .route("/queries/{id}", web::patch().to(queries::edit))
                .route("/queries/{name}", web::delete().to(queries::delete_named))
                .route("/packs", web::get().to(packs::list))
                .route("/packs", web::post().to(packs::create))
                .route("/packs/schedule", web::post().to(scheduled::add))
                .route("/packs/id/{id}", web::delete().to(packs::delete))
                .route("/packs/{id}/scheduled", web::get().to(scheduled::of_pack))
                .route("/packs/{id}", web::get().to(packs::by_id))
                .route("/packs/{id}", web::patch().to(packs::edit))
                .route("/packs/{name}", web::delete().to(packs::delete_named))
                .route("/schedule", web::post().to(scheduled::add))
                .route("/schedule/{id}", web::get().to(scheduled::by_id))
                .route("/schedule/{id}", web::patch().to(scheduled::edit))
                .route("/schedule/{id}", web::delete().to(scheduled::delete))
                .route("/global/schedule", web::get().to(scheduled::global))
                .route("/global/schedule", web::post().to(scheduled::add_global))
                .route("/global/schedule/{id}", web::patch().to(scheduled::edit_global))
                .route("/global/schedule/{id}", web::delete().to(scheduled::delete_global))
                .default_service(web::to(error::no_such_operation)),
        );
    }
}
