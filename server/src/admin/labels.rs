//! Labels and the hosts in them.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{HostList, LabelEnvelope, LabelInput, LabelList, LabelSummaries};

use super::AdminApi;
use super::answer::{done, ok};
use super::auth::Caller;
use super::body::JsonBody;
use super::error::{AdminAnswer, Failed};
use super::hosts::host_query;
use super::params::Params;

pub(super) async fn list(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let listing = Params::listing(&request)?;
    let labels = api.fleet.labels.list(&caller.0, &listing).await.map_err(Failed)?;
    Ok(ok(&LabelList { labels }))
}

pub(super) async fn summary(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    Ok(ok(&LabelSummaries { labels: api.fleet.labels.summary(&caller.0).await? }))
}

pub(super) async fn by_id(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    Ok(ok(&LabelEnvelope { label: api.fleet.labels.by_id(&caller.0, *id).await? }))
}

pub(super) async fn hosts(
    api: Data<AdminApi>,
    caller: Caller,
    id: Path<i64>,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let query = host_query(&request)?;
    let hosts = api.fleet.labels.hosts(&caller.0, *id, &api.fleet.hosts, query).await.map_err(Failed)?;
    Ok(ok(&HostList { hosts }))
}

pub(super) async fn create(api: Data<AdminApi>, caller: Caller, input: JsonBody<LabelInput>) -> AdminAnswer {
    Ok(ok(&LabelEnvelope { label: api.fleet.labels.create(&caller.0, &input).await? }))
}

pub(super) async fn edit(
    api: Data<AdminApi>,
    caller: Caller,
    id: Path<i64>,
    input: JsonBody<LabelInput>,
) -> AdminAnswer {
    Ok(ok(&LabelEnvelope { label: api.fleet.labels.edit(&caller.0, *id, &input).await? }))
}

pub(super) async fn delete(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    api.fleet.labels.delete(&caller.0, *id).await?;
    Ok(done())
}

pub(super) async fn delete_named(api: Data<AdminApi>, caller: Caller, name: Path<String>) -> AdminAnswer {
    api.fleet.labels.delete_named(&caller.0, &name).await?;
    Ok(done())
}
