//! The config of a host, and which queries it runs.

use actix_web::web::{Data, Path};

use super::AdminApi;
use super::auth::Caller;
use super::error::AdminAnswer;

pub(super) async fn by_id(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    let (fleet, principal) = (api.fleet.clone(), caller.0.clone());
    api.lists.send(&caller.0, move || async move { fleet.explain_by_id(&principal, *id).await }).await
}

pub(super) async fn by_name(api: Data<AdminApi>, caller: Caller, word: Path<String>) -> AdminAnswer {
    let (fleet, principal) = (api.fleet.clone(), caller.0.clone());
    api.lists.send(&caller.0, move || async move { fleet.explain_by_name(&principal, &word).await }).await
}
