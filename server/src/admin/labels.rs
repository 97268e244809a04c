//! The operations that only labels have.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::LabelSummaries;

use super::AdminApi;
use super::answer::ok;
use super::auth::Caller;
use super::error::AdminAnswer;
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
    let (fleet, principal, id) = (api.fleet.clone(), caller.0.clone(), *id);
    let begin = move || async move { Labels::of(&fleet).hosts(&principal, id, &fleet.hosts, query).await };
    Ok(api.lists.send_hosts(&caller.0, api.lifecycle.clone(), begin).await?)
}
