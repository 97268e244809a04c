//! The config of a host, and which queries it runs.

use actix_web::web::{Data, Path};

use super::AdminApi;
use super::auth::Caller;
use super::error::AdminAnswer;

pub(super) async fn by_id(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    api.read(&caller, move |fleet, principal| async move { fleet.explain_by_id(&principal, *id).await }).await
}

pub(super) async fn by_name(api: Data<AdminApi>, caller: Caller, word: Path<String>) -> AdminAnswer {
    api.read(&caller, move |fleet, principal| async move { fleet.explain_by_name(&principal, &word).await }).await
}
