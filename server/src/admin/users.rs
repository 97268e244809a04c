//! The operations that only users have.

use actix_web::web::Data;
use muster_api::rest::{ChangePassword, UserRoles};

use super::AdminApi;
use super::answer::done;
use super::auth::Caller;
use super::body::JsonBody;
use super::error::AdminAnswer;

pub(super) async fn roles(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    api.read(
        &caller,
        move |fleet, principal| async move { Ok(UserRoles { spec: fleet.access.roles(&principal).await? }) },
    )
    .await
}

pub(super) async fn change_password(
    api: Data<AdminApi>,
    caller: Caller,
    request: JsonBody<ChangePassword>,
) -> AdminAnswer {
    api.fleet.access.change_password(&caller.0, &request).await?;
    Ok(done())
}
