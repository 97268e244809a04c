//! Set-up, login, logout, and the caller's own account.

use actix_web::HttpRequest;
use actix_web::web::Data;
use muster_api::rest::{Login, Me, SetUp, Version};

use super::AdminApi;
use super::answer::{done, ok};
use super::auth::Caller;
use super::body::OpenBody;
use super::error::AdminAnswer;

pub(super) async fn set_up(api: Data<AdminApi>, http: HttpRequest, OpenBody(request): OpenBody<SetUp>) -> AdminAnswer {
    Ok(ok(&api.fleet.access.set_up(&request, api.peer(&http)).await?))
}

pub(super) async fn log_in(api: Data<AdminApi>, http: HttpRequest, OpenBody(request): OpenBody<Login>) -> AdminAnswer {
    Ok(ok(&api.fleet.access.log_in(&request, api.peer(&http)).await?))
}

pub(super) async fn log_out(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    api.fleet.access.log_out(&caller.0).await?;
    Ok(done())
}

pub(super) async fn me(caller: Caller) -> AdminAnswer {
    Ok(ok(&Me { user: caller.0.user }))
}

pub(super) async fn version(_caller: Caller) -> AdminAnswer {
    Ok(ok(&this_version()))
}

/// The version of this program, with the keys that Fleet's clients expect.
pub fn this_version() -> Version {
    Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        branch: String::new(),
        revision: String::new(),
        go_version: String::new(),
        build_date: String::new(),
        build_user: String::new(),
    }
}
