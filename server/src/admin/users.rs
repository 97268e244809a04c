//! Users and their roles, and one's own password.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{ChangePassword, NewUser, UserEdit, UserEnvelope, UserList, UserRoles};

use super::AdminApi;
use super::answer::{done, ok};
use super::auth::Caller;
use super::body::JsonBody;
use super::error::{AdminAnswer, Failed};
use super::params::Params;

pub(super) async fn list(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let listing = Params::listing(&request)?;
    let users = api.fleet.access.users(&caller.0, &listing).await.map_err(Failed)?;
    Ok(ok(&UserList { users }))
}

pub(super) async fn by_id(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    Ok(ok(&UserEnvelope { user: api.fleet.access.user(&caller.0, *id).await? }))
}

pub(super) async fn create(api: Data<AdminApi>, caller: Caller, request: JsonBody<NewUser>) -> AdminAnswer {
    Ok(ok(&UserEnvelope { user: api.fleet.access.create_user(&caller.0, &request).await? }))
}

pub(super) async fn edit(
    api: Data<AdminApi>,
    caller: Caller,
    id: Path<i64>,
    request: JsonBody<UserEdit>,
) -> AdminAnswer {
    Ok(ok(&UserEnvelope { user: api.fleet.access.edit_user(&caller.0, *id, &request).await? }))
}

pub(super) async fn delete(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    api.fleet.access.delete_user(&caller.0, *id).await?;
    Ok(done())
}

pub(super) async fn roles(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    Ok(ok(&UserRoles { spec: api.fleet.access.roles(&caller.0).await? }))
}

pub(super) async fn change_password(
    api: Data<AdminApi>,
    caller: Caller,
    request: JsonBody<ChangePassword>,
) -> AdminAnswer {
    api.fleet.access.change_password(&caller.0, &request).await?;
    Ok(done())
}
