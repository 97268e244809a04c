//! The dashboard: pages for people, written on the server.
//!
//! A page reads by the same functions of `fleet` as REST does, with the same permissions, on the threads of operators and in
//! the turn of the user (`lists`). It is whole without JavaScript; the one script makes it quicker to use. Whoever looks is
//! known by a cookie that works here and nowhere else (`visit`), and whatever a page sends back carries a token against
//! forgery (`forms`). Nothing is inline, so that the content security policy can forbid everything that is (`answer`).

mod about;
mod activity;
mod add_hosts;
mod answer;
mod assets;
mod changes;
mod cookie;
mod find;
mod first_steps;
mod forms;
mod history;
mod host;
mod hosts;
mod labels;
mod lately;
mod layout;
mod live;
mod overview;
mod packs;
mod parts;
mod password;
mod queries;
mod rollouts;
mod settings;
mod sign_in;
#[cfg(debug_assertions)]
mod style;
mod users;
mod visit;
mod watchdog;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::http::header::ACCEPT;
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest as _, HttpRequest, HttpResponse, ResponseError as _};

use self::answer::PageFailed;
use self::visit::{Look, Visit};
use super::AdminApi;
use super::error::no_such_operation;
use crate::config;
use crate::fleet;

/// What all pages share. Clones are one.
#[derive(Debug, Clone)]
pub(super) struct PageSettings {
    /// `server.url_prefix`.
    prefix: Arc<str>,
    is_tls: bool,
    /// The file with the certificate that agents see.
    certificate: Option<Arc<Path>>,
    /// Whether there has been a user: then there always is one.
    is_set_up: Arc<AtomicBool>,
    /// The pages that follow live queries.
    followers: live::Seats,
}

impl PageSettings {
    pub(super) fn of(config: &config::Server) -> Self {
        Self {
            prefix: config.url_prefix.as_str().into(),
            is_tls: config.tls,
            certificate: add_hosts::certificate_file(config).map(Into::into),
            is_set_up: Arc::default(),
            followers: live::Seats::default(),
        }
    }
}

impl AdminApi {
    /// Whether the first administrator has been made.
    async fn is_set_up(&self) -> fleet::Result<bool> {
        if self.pages.is_set_up.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let is_set_up = self.fleet.access.is_set_up().await?;
        self.pages.is_set_up.store(is_set_up, Ordering::Relaxed);
        Ok(is_set_up)
    }
}

/// Answers requests with a path or method that is neither part of the API nor of a page: browsers with a page, which strangers
/// see after their login, and programs with JSON.
pub async fn nothing_here(request: HttpRequest) -> HttpResponse {
    if !asks_for_page(&request) {
        return no_such_operation(request).await;
    }
    let failed = match Visit::extract(&request).await {
        Ok(visit) => PageFailed::no_such_page(visit),
        Err(failed) => failed,
    };
    failed.error_response()
}

/// Whether a browser asks for what could be a page.
fn asks_for_page(request: &HttpRequest) -> bool {
    let types = request.headers().get(ACCEPT).and_then(|types| types.to_str().ok()).unwrap_or_default();
    let Some(look) = Look::of(request).filter(|_| types.contains("text/html")) else { return false };
    let path = request.path();
    let below = path.strip_prefix(&*look.prefix).unwrap_or_default();
    below.starts_with('/') && below != "/api" && !below.starts_with("/api/")
}

/// Adds all pages.
pub(super) fn routes(services: &mut ServiceConfig) {
    services
        .route("", web::get().to(overview::page))
        .route("/", web::get().to(overview::page))
        .route("/overview/part", web::get().to(overview::part))
        .route("/hosts", web::get().to(hosts::page))
        .route("/first-steps", web::post().to(first_steps::put_away))
        .route("/find", web::get().to(find::page))
        .route("/find/part", web::get().to(find::part))
        .route("/hosts.csv", web::get().to(hosts::csv))
        .route("/hosts/add", web::get().to(add_hosts::page))
        .route("/hosts/add", web::post().to(add_hosts::reveal))
        .route("/hosts/add/flagfile", web::get().to(add_hosts::flagfile))
        .route("/hosts/add/certificate", web::get().to(add_hosts::certificate))
        .route("/hosts/columns", web::post().to(hosts::keep_columns))
        .route("/hosts/selected/refetch", web::post().to(hosts::refetch))
        .route("/hosts/selected/live", web::post().to(hosts::ask))
        .route("/hosts/selected/delete", web::post().to(hosts::confirm_delete))
        .route("/hosts/selected/delete/confirmed", web::post().to(hosts::delete))
        .route("/hosts/{id:[0-9]+}", web::get().to(host::page))
        .route("/hosts/{id:[0-9]+}/queries", web::get().to(host::queries))
        .route("/hosts/{id:[0-9]+}/config", web::get().to(host::config))
        .route("/hosts/{id:[0-9]+}/refetch", web::post().to(host::refetch))
        .route("/hosts/{id:[0-9]+}/delete", web::get().to(host::delete_page))
        .route("/hosts/{id:[0-9]+}/delete", web::post().to(host::delete))
        .route("/queries", web::get().to(queries::page))
        .route("/queries/cost", web::get().to(queries::cost_page))
        .route("/queries/saved", web::get().to(queries::saved_page))
        .route("/queries/new", web::get().to(queries::new_page))
        .route("/queries/new", web::post().to(queries::create))
        .route("/queries/{id:[0-9]+}", web::get().to(queries::saved_query))
        .route("/queries/{id:[0-9]+}/edit", web::get().to(queries::edit_page))
        .route("/queries/{id:[0-9]+}/edit", web::post().to(queries::edit))
        .route("/queries/{id:[0-9]+}/delete", web::get().to(queries::delete_page))
        .route("/queries/{id:[0-9]+}/delete", web::post().to(queries::delete))
        .route("/queries/{id:[0-9]+}/history", web::get().to(history::of_query))
        .route("/packs", web::get().to(packs::page))
        .route("/packs/{id:[0-9]+}", web::get().to(packs::pack))
        .route("/packs/{id:[0-9]+}/history", web::get().to(history::of_pack))
        .route("/rollouts", web::get().to(rollouts::page))
        .route("/rollouts/{id:[0-9]+}", web::get().to(rollouts::rollout))
        .route("/rollouts/{id:[0-9]+}/promote", web::post().to(rollouts::promote))
        .route("/rollouts/{id:[0-9]+}/pause", web::post().to(rollouts::pause))
        .route("/rollouts/{id:[0-9]+}/resume", web::post().to(rollouts::resume))
        .route("/rollouts/{id:[0-9]+}/abort", web::post().to(rollouts::abort))
        .route("/labels", web::get().to(labels::page))
        .route("/labels/{id:[0-9]+}", web::get().to(labels::label))
        .route("/labels/{id:[0-9]+}/history", web::get().to(history::of_label))
        .route("/watchdog", web::get().to(watchdog::page))
        .route("/users", web::get().to(users::page))
        .route("/users", web::post().to(users::create))
        .route("/users/{id:[0-9]+}", web::get().to(users::user_page))
        .route("/users/{id:[0-9]+}", web::post().to(users::edit))
        .route("/users/{id:[0-9]+}/delete", web::get().to(users::delete_page))
        .route("/users/{id:[0-9]+}/delete", web::post().to(users::delete))
        .route("/settings", web::get().to(settings::options_page))
        .route("/settings", web::post().to(settings::send_options))
        .route("/settings/history", web::get().to(history::of_settings))
        .route("/settings/secrets", web::get().to(settings::secrets_page))
        .route("/settings/secrets", web::post().to(settings::add_secret))
        .route("/settings/secrets/show", web::post().to(settings::reveal_secrets))
        .route("/settings/secrets/{id:[0-9]+}/remove", web::get().to(settings::remove_secret_page))
        .route("/settings/secrets/{id:[0-9]+}/remove", web::post().to(settings::remove_secret))
        .route("/password", web::get().to(password::page))
        .route("/password", web::post().to(password::change))
        .route("/activity", web::get().to(activity::page))
        .route("/activity/{id:[0-9]+}", web::get().to(activity::one))
        .route("/about", web::get().to(about::page))
        .route("/live", web::get().to(live::page))
        .route("/live", web::post().to(live::start))
        .route("/live/targets", web::get().to(live::targets))
        .route("/live/schema", web::get().to(live::schema))
        .route("/live/{id:[0-9]+}", web::get().to(live::job_page))
        .route("/live/{id:[0-9]+}/part", web::get().to(live::part))
        .route("/live/{id:[0-9]+}/hosts", web::get().to(live::hosts))
        .route("/live/{id:[0-9]+}/stream", web::get().to(live::stream))
        .route("/live/{id:[0-9]+}/results.ndjson", web::get().to(live::json_lines))
        .route("/live/{id:[0-9]+}/results.csv", web::get().to(live::csv))
        .route("/live/{id:[0-9]+}/cancel", web::post().to(live::cancel))
        .route("/live/{id:[0-9]+}/pause", web::post().to(live::pause))
        .route("/live/{id:[0-9]+}/resume", web::post().to(live::resume))
        .route("/live/{id:[0-9]+}/promote", web::post().to(live::promote))
        .route("/assets/{file}", web::get().to(assets::serve))
        .route("/login", web::get().to(sign_in::login_page))
        .route("/login", web::post().to(sign_in::log_in))
        .route("/logout", web::post().to(sign_in::log_out))
        .route("/setup", web::get().to(sign_in::set_up_page))
        .route("/setup", web::post().to(sign_in::set_up))
        .route("/theme", web::post().to(sign_in::theme));
    #[cfg(debug_assertions)]
    services.route("/style", web::get().to(style::page));
}
