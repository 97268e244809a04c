//! Set-up, login, logout, the caller's own account, and what clients ask before they begin.

use actix_web::HttpRequest;
use actix_web::web::Data;
use muster_api::rest::{ChangeFreeze, Login, Me, SetUp, Translation, Version};

use super::AdminApi;
use super::answer::{done, ok};
use super::auth::Caller;
use super::body::{JsonBody, OpenBody};
use super::error::AdminAnswer;
use crate::fleet::Fleet;
use crate::fleet::access::Principal;

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

pub(super) async fn translate(api: Data<AdminApi>, caller: Caller, request: JsonBody<Translation>) -> AdminAnswer {
    let list = request.into_inner().list;
    let translate =
        move |fleet: Fleet, by: Principal| async move { Ok(Translation { list: fleet.translate(&by, list).await? }) };
    api.read(&caller, translate).await
}

pub(super) async fn version(caller: Caller) -> AdminAnswer {
    let freeze = caller.0.frozen().map(|frozen| ChangeFreeze {
        window: frozen.window.to_string(),
        until: frozen.until.to_utc(),
        live_queries: frozen.is_for_live_queries,
    });
    Ok(ok(&Version { freeze, ..this_version() }))
}

/// The version for everybody: `/metrics`, which is open unless a password is set, names it, too.
pub(super) async fn open_version() -> AdminAnswer {
    Ok(ok(&this_version()))
}

/// The version of this program, with the keys that Fleet's clients expect.
fn this_version() -> Version {
    Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        branch: String::new(),
        revision: String::new(),
        go_version: String::new(),
        build_date: String::new(),
        build_user: String::new(),
        freeze: None,
    }
}
