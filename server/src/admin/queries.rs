//! Saved queries.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{Deleted, Queries, QueryEnvelope, QueryIds, QueryInput};

use super::AdminDoor;
use super::answer::{done, ok};
use super::auth::Caller;
use super::body::Body;
use super::error::{Failed, Outcome};
use super::params::Params;

pub(super) async fn list(
    door: Data<AdminDoor>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let listing = Params::listing(&request)?;
    let queries = door.fleet.queries.list(&caller.0, &listing).await.map_err(Failed)?;
    Ok(ok(&Queries { queries }))
}

pub(super) async fn by_id(door: Data<AdminDoor>, caller: Caller, id: Path<i64>) -> Outcome {
    Ok(ok(&QueryEnvelope { query: door.fleet.queries.by_id(&caller.0, *id).await? }))
}

pub(super) async fn create(door: Data<AdminDoor>, caller: Caller, input: Body<QueryInput>) -> Outcome {
    Ok(ok(&QueryEnvelope { query: door.fleet.queries.create(&caller.0, &input).await? }))
}

pub(super) async fn edit(door: Data<AdminDoor>, caller: Caller, id: Path<i64>, input: Body<QueryInput>) -> Outcome {
    Ok(ok(&QueryEnvelope { query: door.fleet.queries.edit(&caller.0, *id, &input).await? }))
}

pub(super) async fn delete(door: Data<AdminDoor>, caller: Caller, id: Path<i64>) -> Outcome {
    door.fleet.queries.delete(&caller.0, *id).await?;
    Ok(done())
}

pub(super) async fn delete_named(door: Data<AdminDoor>, caller: Caller, name: Path<String>) -> Outcome {
    door.fleet.queries.delete_named(&caller.0, &name).await?;
    Ok(done())
}

pub(super) async fn delete_many(door: Data<AdminDoor>, caller: Caller, request: Body<QueryIds>) -> Outcome {
    Ok(ok(&Deleted { deleted: door.fleet.queries.delete_many(&caller.0, &request.ids).await? }))
}
