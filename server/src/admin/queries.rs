//! The operations that only saved queries have.

use actix_web::web::Data;
use muster_api::rest::{Deleted, QueryIds};

use super::AdminApi;
use super::auth::Caller;
use super::body::JsonBody;
use super::error::AdminAnswer;
use crate::fleet::Fleet;
use crate::fleet::access::Principal;
use crate::fleet::queries::Queries;
use crate::fleet::resource::Resource as _;

pub(super) async fn delete_many(api: Data<AdminApi>, caller: Caller, request: JsonBody<QueryIds>) -> AdminAnswer {
    let QueryIds { ids } = request.into_inner();
    let delete = move |fleet: Fleet, by: Principal| async move {
        Ok(Deleted { deleted: Queries::of(&fleet).delete_many(&by, &ids).await? })
    };
    api.change(&caller, delete).await
}
