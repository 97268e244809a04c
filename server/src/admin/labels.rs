//! The operations that only labels have.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{HostList, LabelSummaries};

use super::AdminApi;
use super::answer::ok;
use super::auth::Caller;
use super::error::{AdminAnswer, Failed};
use super::hosts::host_query;
use crate::fleet::labels::Labels;
use crate::fleet::resource::Resource as _;

pub(super) async fn summary(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    Ok(ok(&LabelSummaries { labels: Labels::of(&api.fleet).summary(&caller.0).await? }))
}

pub(super) async fn hosts(
    api: Data<AdminApi>,
    caller: Caller,
    id: Path<i64>,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let query = host_query(&request)?;
    let labels = Labels::of(&api.fleet);
    let hosts = labels.hosts(&caller.0, *id, &api.fleet.hosts, query).await.map_err(Failed)?;
    Ok(ok(&HostList { hosts }))
}
