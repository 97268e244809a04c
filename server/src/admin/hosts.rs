//! Listing, showing and deleting hosts.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{HostCount, HostEnvelope, HostIds, HostList, HostStatus};

use super::AdminApi;
use super::answer::{done, ok};
use super::auth::Caller;
use super::body::JsonBody;
use super::error::{AdminAnswer, Failed, bad_parameter};
use super::params::Params;
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

/// What the list parameters of hosts ask for.
pub(super) fn host_query(request: &HttpRequest) -> Result<HostQuery, actix_web::Error> {
    let mut params = Params::of(request)?;
    let (offset, limit) = params.page()?;
    let (order_key, is_descending) = params.order()?;
    let order = match order_key.as_deref() {
        None | Some("id") => HostOrder::Id,
        Some("hostname" | "display_name") => HostOrder::Hostname,
        Some("uuid") => HostOrder::Uuid,
        Some("platform") => HostOrder::Platform,
        Some("osquery_version") => HostOrder::OsqueryVersion,
        Some("seen_time") => HostOrder::SeenTime,
        Some("created_at") => HostOrder::CreatedAt,
        Some(other) => {
            return Err(bad_parameter(format!(
                "unknown order_key {other}; known are id, hostname, uuid, platform, osquery_version, seen_time, created_at"
            )));
        }
    };
    let (status, only_new) = match params.text("status").as_deref() {
        None => (None, false),
        Some("online") => (Some(HostStatus::Online), false),
        Some("offline") => (Some(HostStatus::Offline), false),
        Some("new") => (None, true),
        Some(other) => return Err(bad_parameter(format!("unknown status {other}; known are online, offline, new"))),
    };
    let text = params.text("query").unwrap_or_default();
    params.finish()?;
    Ok(HostQuery { filter: HostFilter { text, label_id: None, offset, limit, order, is_descending }, status, only_new })
}
