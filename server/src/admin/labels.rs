//! Labels and the hosts in them.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{Hosts, LabelEnvelope, LabelInput, LabelSummaries, Labels};

use super::AdminDoor;
use super::answer::{done, ok};
use super::auth::Caller;
use super::body::Body;
use super::error::{Failed, Outcome};
use super::hosts::host_query;
use super::params::Params;

pub(super) async fn list(
    door: Data<AdminDoor>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let listing = Params::listing(&request)?;
    let labels = door.fleet.labels.list(&caller.0, &listing).await.map_err(Failed)?;
    Ok(ok(&Labels { labels }))
}

pub(super) async fn summary(door: Data<AdminDoor>, caller: Caller) -> Outcome {
    Ok(ok(&LabelSummaries { labels: door.fleet.labels.summary(&caller.0).await? }))
}

pub(super) async fn by_id(door: Data<AdminDoor>, caller: Caller, id: Path<i64>) -> Outcome {
    Ok(ok(&LabelEnvelope { label: door.fleet.labels.by_id(&caller.0, *id).await? }))
}

pub(super) async fn hosts(
    door: Data<AdminDoor>,
    caller: Caller,
    id: Path<i64>,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let query = host_query(&request)?;
    let hosts = door.fleet.labels.hosts(&caller.0, *id, &door.fleet.hosts, query).await.map_err(Failed)?;
    Ok(ok(&Hosts { hosts }))
}

pub(super) async fn create(door: Data<AdminDoor>, caller: Caller, input: Body<LabelInput>) -> Outcome {
    Ok(ok(&LabelEnvelope { label: door.fleet.labels.create(&caller.0, &input).await? }))
}

pub(super) async fn edit(door: Data<AdminDoor>, caller: Caller, id: Path<i64>, input: Body<LabelInput>) -> Outcome {
    Ok(ok(&LabelEnvelope { label: door.fleet.labels.edit(&caller.0, *id, &input).await? }))
}

pub(super) async fn delete(door: Data<AdminDoor>, caller: Caller, id: Path<i64>) -> Outcome {
    door.fleet.labels.delete(&caller.0, *id).await?;
    Ok(done())
}

pub(super) async fn delete_named(door: Data<AdminDoor>, caller: Caller, name: Path<String>) -> Outcome {
    door.fleet.labels.delete_named(&caller.0, &name).await?;
    Ok(done())
}
