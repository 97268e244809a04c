//! The config of a host, and which queries it runs.

use actix_web::web::{Data, Path};

use super::AdminApi;
use super::answer::ok;
use super::auth::Caller;
use super::error::AdminAnswer;

pub(super) async fn by_id(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    Ok(ok(&api.fleet.explain_by_id(&caller.0, *id).await?))
}

pub(super) async fn by_name(api: Data<AdminApi>, caller: Caller, word: Path<String>) -> AdminAnswer {
    Ok(ok(&api.fleet.explain_by_name(&caller.0, &word).await?))
}
