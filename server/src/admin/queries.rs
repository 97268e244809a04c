//! Saved queries.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{Deleted, Queries, QueryEnvelope, QueryIds, QueryInput};

use super::AdminApi;
use super::answer::{done, ok};
use super::auth::Caller;
use super::body::Body;
use super::error::{Failed, Outcome};
use super::params::Params;

pub(super) async fn list(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let listing = Params::listing(&request)?;
    let queries = api.fleet.queries.list(&caller.0, &listing).await.map_err(Failed)?;
    Ok(ok(&Queries { queries }))
}

pub(super) async fn by_id(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> Outcome {
    Ok(ok(&QueryEnvelope { query: api.fleet.queries.by_id(&caller.0, *id).await? }))
}

pub(super) async fn create(api: Data<AdminApi>, caller: Caller, input: Body<QueryInput>) -> Outcome {
    Ok(ok(&QueryEnvelope { query: api.fleet.queries.create(&caller.0, &input).await? }))
}

pub(super) async fn edit(api: Data<AdminApi>, caller: Caller, id: Path<i64>, input: Body<QueryInput>) -> Outcome {
    Ok(ok(&QueryEnvelope { query: api.fleet.queries.edit(&caller.0, *id, &input).await? }))
}

pub(super) async fn delete(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> Outcome {
    api.fleet.queries.delete(&caller.0, *id).await?;
    Ok(done())
}

pub(super) async fn delete_named(api: Data<AdminApi>, caller: Caller, name: Path<String>) -> Outcome {
    api.fleet.queries.delete_named(&caller.0, &name).await?;
    Ok(done())
}

pub(super) async fn delete_many(api: Data<AdminApi>, caller: Caller, request: Body<QueryIds>) -> Outcome {
    Ok(ok(&Deleted { deleted: api.fleet.queries.delete_many(&caller.0, &request.ids).await? }))
}
