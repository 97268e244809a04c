//! Saved queries.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{Deleted, QueryEnvelope, QueryIds, QueryInput, QueryList};

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
    let queries = api.fleet.queries.list(&caller.0, &listing).await.map_err(Failed)?;
    Ok(ok(&QueryList { queries }))
}

pub(super) async fn by_id(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    Ok(ok(&QueryEnvelope { query: api.fleet.queries.by_id(&caller.0, *id).await? }))
}

pub(super) async fn create(api: Data<AdminApi>, caller: Caller, input: JsonBody<QueryInput>) -> AdminAnswer {
    Ok(ok(&QueryEnvelope { query: api.fleet.queries.create(&caller.0, &input).await? }))
}

pub(super) async fn edit(
    api: Data<AdminApi>,
    caller: Caller,
    id: Path<i64>,
    input: JsonBody<QueryInput>,
) -> AdminAnswer {
    Ok(ok(&QueryEnvelope { query: api.fleet.queries.edit(&caller.0, *id, &input).await? }))
}

pub(super) async fn delete(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    api.fleet.queries.delete(&caller.0, *id).await?;
    Ok(done())
}

pub(super) async fn delete_named(api: Data<AdminApi>, caller: Caller, name: Path<String>) -> AdminAnswer {
    api.fleet.queries.delete_named(&caller.0, &name).await?;
    Ok(done())
}

pub(super) async fn delete_many(api: Data<AdminApi>, caller: Caller, request: JsonBody<QueryIds>) -> AdminAnswer {
    Ok(ok(&Deleted { deleted: api.fleet.queries.delete_many(&caller.0, &request.ids).await? }))
}
