//! The operations that only saved queries have.

use actix_web::web::Data;
use muster_api::rest::{Deleted, QueryIds};

use super::AdminApi;
use super::answer::ok;
use super::auth::Caller;
use super::body::JsonBody;
use super::error::AdminAnswer;
use crate::fleet::queries::Queries;
use crate::fleet::resource::Resource as _;

pub(super) async fn delete_many(api: Data<AdminApi>, caller: Caller, request: JsonBody<QueryIds>) -> AdminAnswer {
    Ok(ok(&Deleted { deleted: Queries::of(&api.fleet).delete_many(&caller.0, &request.ids).await? }))
}
