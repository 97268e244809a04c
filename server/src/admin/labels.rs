//! The operations that only labels have.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::LabelSummaries;

use super::AdminApi;
use super::auth::Caller;
use super::error::{AdminAnswer, bad_parameter};
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
    let mut filter = host_filter(Params::of(&request)?)?;
    if filter.label_id.replace(*id).is_some() {
        return Err(bad_parameter("label_id goes with hosts; here the path names the label"));
    }
    let (fleet, principal) = (api.fleet.clone(), caller.0.clone());
    let begin = move || async move { fleet.hosts.list(&principal, &filter).await };
    Ok(api.lists.send_hosts(&caller.0, HostFormat::Json, None, begin).await?)
}
