//! Packs; their schedules have a file of their own.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{PackEnvelope, PackInput, PackList};

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
    let packs = api.fleet.packs.list(&caller.0, &listing).await.map_err(Failed)?;
    Ok(ok(&PackList { packs }))
}

pub(super) async fn by_id(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    Ok(ok(&PackEnvelope { pack: api.fleet.packs.by_id(&caller.0, *id).await? }))
}

pub(super) async fn create(api: Data<AdminApi>, caller: Caller, input: JsonBody<PackInput>) -> AdminAnswer {
    Ok(ok(&PackEnvelope { pack: api.fleet.packs.create(&caller.0, &input).await? }))
}

pub(super) async fn edit(
    api: Data<AdminApi>,
    caller: Caller,
    id: Path<i64>,
    input: JsonBody<PackInput>,
) -> AdminAnswer {
    Ok(ok(&PackEnvelope { pack: api.fleet.packs.edit(&caller.0, *id, &input).await? }))
}

pub(super) async fn delete(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    api.fleet.packs.delete(&caller.0, *id).await?;
    Ok(done())
}

pub(super) async fn delete_named(api: Data<AdminApi>, caller: Caller, name: Path<String>) -> AdminAnswer {
    api.fleet.packs.delete_named(&caller.0, &name).await?;
    Ok(done())
}
