//! Listing, showing and deleting hosts.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{HostCount, HostEnvelope, HostIds, HostList, HostStatus};

use super::AdminApi;
use super::answer::{done, ok};
use super::auth::Caller;
use super::body::JsonBody;
use super::error::{AdminAnswer, Failed, bad_parameter};
use super::params::{Parameter, ParameterKind, Params, page_parameters};
use crate::fleet::Error;
use crate::fleet::hosts::{HostFilter, HostOrder, HostQuery};

pub(super) async fn list(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let query = host_query(&request)?;
    let hosts = api.fleet.hosts.list(&caller.0, &query).await.map_err(Failed)?;
    Ok(ok(&HostList { hosts }))
}

pub(super) async fn count(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let query = host_query(&request)?;
    let count = api.fleet.hosts.count(&caller.0, &query).await.map_err(Failed)?;
    Ok(ok(&HostCount { count }))
}

pub(super) async fn by_id(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    Ok(ok(&HostEnvelope { host: api.fleet.hosts.by_id(&caller.0, *id).await? }))
}

pub(super) async fn by_name(api: Data<AdminApi>, caller: Caller, word: Path<String>) -> AdminAnswer {
    Ok(ok(&HostEnvelope { host: api.fleet.hosts.by_name(&caller.0, &word).await? }))
}

pub(super) async fn refetch(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    api.fleet.hosts.refetch(&caller.0, *id).await?;
    Ok(done())
}

pub(super) async fn delete(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    if api.fleet.delete_hosts(&caller.0, &[*id]).await? == 0 {
        return Err(Error::no_such("Host", *id).into());
    }
    Ok(done())
}

pub(super) async fn delete_many(api: Data<AdminApi>, caller: Caller, request: JsonBody<HostIds>) -> AdminAnswer {
    api.fleet.delete_hosts(&caller.0, &request.ids).await?;
    Ok(done())
}

/// The keys that hosts can be ordered by.
const ORDER_KEYS: [(&str, HostOrder); 7] = [
    ("id", HostOrder::Id),
    ("hostname", HostOrder::Hostname),
    ("uuid", HostOrder::Uuid),
    ("platform", HostOrder::Platform),
    ("osquery_version", HostOrder::OsqueryVersion),
    ("seen_time", HostOrder::SeenTime),
    ("created_at", HostOrder::CreatedAt),
];

/// The description of the parameters that [`host_query`] reads.
pub(super) fn parameters() -> Vec<Parameter> {
    let mut parameters = page_parameters(&ORDER_KEYS);
    let status = ParameterKind::OneOf(vec!["online", "offline", "new"]);
    parameters.push(Parameter::new("status", status, "Only hosts of this status; new hosts enrolled within a day."));
    parameters.push(Parameter::new(
        "query",
        ParameterKind::Text,
        "A part of a name, identifier or address, in any case.",
    ));
    parameters
}

/// Reads the list parameters of hosts.
pub(super) fn host_query(request: &HttpRequest) -> Result<HostQuery, actix_web::Error> {
    let mut params = Params::of(request)?;
    let (offset, limit) = params.page()?;
    // Fleet's clients also call the host name so.
    params.rename("order_key", "display_name", "hostname");
    let (order, is_descending) = params.order(&ORDER_KEYS)?;
    let (status, only_new) = match params.text("status").as_deref() {
        None => (None, false),
        Some("online") => (Some(HostStatus::Online), false),
        Some("offline") => (Some(HostStatus::Offline), false),
        Some("new") => (None, true),
        Some(other) => return Err(bad_parameter(format!("unknown status {other}; known are online, offline, new"))),
    };
    let text = params.text("query").unwrap_or_default();
    params.finish()?;
    Ok(HostQuery {
        filter: HostFilter { text, label_id: None, offset, limit, order: order.unwrap_or_default(), is_descending },
        status,
        only_new,
    })
}
