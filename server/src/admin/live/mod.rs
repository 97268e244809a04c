//! Live queries: as jobs, and as the campaigns Fleet's clients know.

mod campaigns;
mod jobs;
mod results;
mod run;
mod socket;
mod targets;

use actix_web::web::{self, ServiceConfig};

/// Adds the operations. They come before those of saved queries, one of which would take `run` for a name.
pub(super) fn routes(services: &mut ServiceConfig) {
    services
        .route("/queries/run", web::post().to(campaigns::run))
        .route("/queries/run", web::get().to(run::run))
        .route("/queries/run_by_names", web::post().to(campaigns::run_by_names))
        .route("/targets", web::post().to(targets::search))
        .route("/targets/count", web::post().to(targets::count))
        .route("/status/live_query", web::get().to(targets::status))
        .route("/status/result_store", web::get().to(targets::status))
        .route("/results/websocket", web::get().to(socket::plain))
        .route("/results/info", web::get().to(socket::sock_js_info))
        .route("/results/{server}/{session}/websocket", web::get().to(socket::sock_js))
        .route("/live_queries", web::get().to(jobs::list))
        .route("/live_queries", web::post().to(jobs::start))
        .route("/live_queries/{id}", web::get().to(jobs::by_id))
        .route("/live_queries/{id}/cancel", web::post().to(jobs::cancel))
        .route("/live_queries/{id}/hosts", web::get().to(jobs::hosts))
        .route("/live_queries/{id}/results", web::get().to(results::results));
}
