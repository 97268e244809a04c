//! Listing, showing and deleting hosts.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{HostCount, HostEnvelope, HostIds};

use super::AdminApi;
use super::answer::{Done, done, ok};
use super::auth::Caller;
use super::body::JsonBody;
use super::error::{AdminAnswer, bad_parameter};
use super::lists::HostFormat;
use super::params::{Parameter, ParameterKind, Params, page_parameters};
use crate::fleet::access::Principal;
use crate::fleet::hosts::{HostFilter, HostOrder, HostState};
use crate::fleet::{Error, Fleet};

pub(super) async fn list(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let filter = host_filter(Params::of(&request)?)?;
    let (fleet, principal) = (api.fleet.clone(), caller.0.clone());
    let begin = move || async move { fleet.hosts.list(&principal, &filter).await };
    Ok(api.lists.send_hosts(&caller.0, HostFormat::Json, None, begin).await?)
}

pub(super) async fn count(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let filter = host_filter(Params::of(&request)?)?;
    let (fleet, principal) = (api.fleet.clone(), caller.0.clone());
    let count = move || async move { Ok(HostCount { count: fleet.hosts.count(&principal, &filter).await? }) };
    Ok(api.lists.send(&caller.0, count).await?)
}

pub(super) async fn by_id(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    Ok(ok(&HostEnvelope { host: api.fleet.host_by_id(&caller.0, *id).await? }))
}

pub(super) async fn by_name(api: Data<AdminApi>, caller: Caller, word: Path<String>) -> AdminAnswer {
    Ok(ok(&HostEnvelope { host: api.fleet.host_by_name(&caller.0, &word).await? }))
}

pub(super) async fn refetch(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    api.fleet.hosts.refetch(&caller.0, *id).await?;
    Ok(done())
}

pub(super) async fn delete(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    let delete = move |fleet: Fleet, by: Principal| async move {
        match fleet.delete_hosts(&by, &[*id]).await? {
            0 => Err(Error::no_such("Host", *id)),
            _ => Ok(Done {}),
        }
    };
    api.change(&caller, delete).await
}

pub(super) async fn delete_many(api: Data<AdminApi>, caller: Caller, request: JsonBody<HostIds>) -> AdminAnswer {
    let HostIds { ids } = request.into_inner();
    let delete = move |fleet: Fleet, by: Principal| async move {
        fleet.delete_hosts(&by, &ids).await?;
        Ok(Done {})
    };
    api.change(&caller, delete).await
}

/// The keys that hosts can be ordered by.
const ORDER_KEYS: [(&str, HostOrder); 17] = [
    ("id", HostOrder::Id),
    ("hostname", HostOrder::Hostname),
    ("computer_name", HostOrder::ComputerName),
    ("uuid", HostOrder::Uuid),
    ("platform", HostOrder::Platform),
    ("os_version", HostOrder::OsVersion),
    ("osquery_version", HostOrder::OsqueryVersion),
    ("primary_ip", HostOrder::PrimaryIp),
    ("hardware_model", HostOrder::HardwareModel),
    ("hardware_serial", HostOrder::HardwareSerial),
    ("memory", HostOrder::Memory),
    ("uptime", HostOrder::Uptime),
    ("seen_time", HostOrder::SeenTime),
    ("created_at", HostOrder::CreatedAt),
    ("updated_at", HostOrder::UpdatedAt),
    ("detail_updated_at", HostOrder::DetailUpdatedAt),
    ("last_enrolled_at", HostOrder::EnrolledAt),
];

/// The words for [`HostState`]; the last is what newer clients of Fleet call `mia`.
const STATES: [(&str, HostState); 5] = [
    ("online", HostState::Online),
    ("offline", HostState::Offline),
    ("new", HostState::New),
    ("mia", HostState::Missing),
    ("missing", HostState::Missing),
];

/// Parameters with which Fleet's clients ask for parts of hosts that there are not here. They narrow nothing.
const WITHOUT_EFFECT: [&str; 8] = [
    "additional_info_filters",
    "device_mapping",
    "disable_failing_policies",
    "disable_issues",
    "populate_labels",
    "populate_policies",
    "populate_software",
    "populate_users",
];

/// The description of the parameters that [`host_filter`] reads.
pub(super) fn parameters() -> Vec<Parameter> {
    let mut parameters = page_parameters(&ORDER_KEYS);
    let words = ParameterKind::OneOf(STATES.iter().map(|(word, _)| *word).collect());
    parameters.push(Parameter::new(
        "status",
        words,
        "Only hosts of this status; new hosts enrolled within a day, missing ones (mia) were not seen for 30 days.",
    ));
    parameters.push(Parameter::new(
        "query",
        ParameterKind::Text,
        "A part of a name, identifier or address, in any case.",
    ));
    let about = "Only hosts of this platform, as they show it.";
    parameters.push(Parameter::new("platform", ParameterKind::Text, about));
    let about = "Only hosts whose agent has this version.";
    parameters.push(Parameter::new("osquery_version", ParameterKind::Text, about));
    let about = "Only hosts behind this value of the order_key.";
    parameters.push(Parameter::new("after", ParameterKind::Text, about));
    let about = "Ignored: Fleet's clients send it for parts of a host that Muster does not have.";
    parameters.extend(WITHOUT_EFFECT.map(|name| Parameter::new(name, ParameterKind::Text, about)));
    parameters
}

/// Reads the list parameters of hosts, and refuses others that are left.
pub(super) fn host_filter(mut params: Params) -> Result<HostFilter, actix_web::Error> {
    params.ignore(&WITHOUT_EFFECT);
    let (offset, limit) = params.page()?;
    // Fleet's clients also call the host name so.
    params.rename("order_key", "display_name", "hostname");
    let (order, is_descending) = params.order(&ORDER_KEYS)?;
    let state = params.one_of("status", &STATES)?;
    let text = params.text("query").unwrap_or_default();
    let (platform, osquery_version) = (params.text("platform"), params.text("osquery_version"));
    let order = order.unwrap_or_default();
    let no_value = || bad_parameter("after expects a value of the order_key, as answers show it");
    let after = params.text("after").map(|text| order.value(&text).ok_or_else(no_value)).transpose()?;
    params.finish()?;
    Ok(HostFilter {
        text,
        label_id: None,
        state,
        platform,
        osquery_version,
        after,
        after_id: None,
        offset,
        limit,
        order,
        is_descending,
    })
}
