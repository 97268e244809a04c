//! The operations that only labels have.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::LabelSummaries;

use super::AdminApi;
use super::auth::Caller;
use super::error::AdminAnswer;
use super::hosts::host_filter;
use super::lists::HostFormat;
use super::params::Params;
use crate::fleet::labels::Labels;
use crate::fleet::resource::Resource as _;

pub(super) async fn summary(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    api.read(&caller, move |fleet, principal| async move {
        Ok(LabelSummaries { labels: Labels::of(&fleet).summary(&principal).await? })
    })
    .await
}

pub(super) async fn hosts(
    api: Data<AdminApi>,
    caller: Caller,
    id: Path<i64>,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let filter = host_filter(Params::of(&request)?)?;
    let (fleet, principal, id) = (api.fleet.clone(), caller.0.clone(), *id);
    let begin = move || async move { Labels::of(&fleet).hosts(&principal, id, &fleet.hosts, filter).await };
    Ok(api.lists.send_hosts(&caller.0, HostFormat::Json, None, begin).await?)
}
