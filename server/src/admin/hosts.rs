//! Listing, counting, searching, showing and deleting hosts.

use std::collections::HashSet;

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{HostCount, HostEnvelope, HostList, HostSearch, HostSummary, HostView, PlatformHosts};
use muster_api::spec::LabelType;

use super::AdminApi;
use super::answer::{Done, done, ok};
use super::auth::Caller;
use super::body::JsonBody;
use super::error::{AdminAnswer, bad_parameter};
use super::lists::HostFormat;
use super::params::{Parameter, ParameterKind, Params, page_parameters};
use crate::fleet::access::Principal;
use crate::fleet::hosts::{HostFilter, HostOrder, HostState, SystemWanted, means_platform};
use crate::fleet::labels::Labels;
use crate::fleet::resource::Resource as _;
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

/// How many hosts there are, by status and platform.
pub(super) async fn summary(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let mut filter = host_filter(Params::of(&request)?)?;
    // Counted beside the others, as Fleet does it.
    let disk_below = filter.disk_below.take();
    let (fleet, principal) = (api.fleet.clone(), caller.0.clone());
    let read = move || async move {
        let found = fleet.hosts.summary(&principal, &filter).await?;
        let low_disk_space_count = match disk_below {
            Some(_) => Some(fleet.hosts.count(&principal, &HostFilter { disk_below, ..filter }).await?),
            None => None,
        };
        let mut builtin_labels = Labels::of(&fleet).summary(&principal).await?;
        builtin_labels.retain(|label| label.label_type == LabelType::Builtin);
        let of_linux = found.platforms.iter().filter(|(platform, _)| means_platform("linux", platform));
        Ok(HostSummary {
            totals_hosts_count: found.states.total,
            online_count: found.states.online,
            offline_count: found.states.offline,
            mia_count: found.states.missing,
            missing_30_days_count: found.states.missing,
            new_count: found.states.new,
            all_linux_count: of_linux.map(|(_, count)| count).sum(),
            low_disk_space_count,
            platforms: found
                .platforms
                .into_iter()
                .map(|(platform, hosts_count)| PlatformHosts { platform, hosts_count })
                .collect(),
            builtin_labels,
        })
    };
    Ok(api.lists.send(&caller.0, read).await?)
}

pub(super) async fn search(api: Data<AdminApi>, caller: Caller, request: JsonBody<HostSearch>) -> AdminAnswer {
    let HostSearch { query, excluded_host_ids, .. } = request.into_inner();
    let search = move |fleet: Fleet, by: Principal| async move {
        let excluded = excluded_host_ids.unwrap_or_default().into_iter().collect();
        Ok(HostList { hosts: first_hosts(&fleet, &by, query.unwrap_or_default(), &excluded).await? })
    };
    api.read(&caller, search).await
}

/// Hosts that a search shows.
const SHOWN: usize = 10;

/// Hosts that a search passes over; behind more of them it finds nothing.
const PASSED_OVER: usize = 1_000;

/// The first hosts that a text finds, without some.
///
/// # Errors
/// [`Error::Forbidden`] without the permission to read hosts.
pub(super) async fn first_hosts(
    fleet: &Fleet,
    principal: &Principal,
    text: String,
    without: &HashSet<i64>,
) -> crate::fleet::Result<Vec<HostView>> {
    let limit = SHOWN + without.len().min(PASSED_OVER);
    let filter = HostFilter { text, limit: Some(limit as u64), ..HostFilter::default() };
    fleet.hosts.list(principal, &filter).await?.first_without(without, SHOWN).await
}

/// The keys that hosts can be ordered by.
const ORDER_KEYS: [(&str, HostOrder); 21] = [
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
    ("label_updated_at", HostOrder::LabelUpdatedAt),
    ("last_enrolled_at", HostOrder::EnrolledAt),
    ("gigs_disk_space_available", HostOrder::GigsAvailable),
    ("percent_disk_space_available", HostOrder::PercentAvailable),
    ("display_text", HostOrder::Hostname),
];

/// The words for [`HostState`]; the last is what newer clients of Fleet call `mia`.
const STATES: [(&str, HostState); 5] = [
    ("online", HostState::Online),
    ("offline", HostState::Offline),
    ("new", HostState::New),
    ("mia", HostState::Missing),
    ("missing", HostState::Missing),
];

/// Parameters with which Fleet's clients ask for parts of hosts that there are not here, or for those of a team, where there are
/// none. They narrow nothing.
const WITHOUT_EFFECT: [&str; 9] = [
    "additional_info_filters",
    "device_mapping",
    "disable_failing_policies",
    "disable_issues",
    "populate_labels",
    "populate_policies",
    "populate_software",
    "populate_users",
    "team_id",
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
    for (name, kind, about) in [
        ("label_id", ParameterKind::Number, "Only hosts in this label."),
        ("platform", ParameterKind::Text, "Only hosts of this platform, as they show it; linux is every distribution."),
        ("osquery_version", ParameterKind::Text, "Only hosts whose agent has this version."),
        ("os_name", ParameterKind::Text, "Only hosts whose os_version begins with this name, such as Ubuntu."),
        ("os_version", ParameterKind::Text, "What follows the os_name; without that, all of os_version."),
        ("low_disk_space", ParameterKind::Number, "Only hosts that have told of less disk space, in gigabytes."),
        ("after", ParameterKind::Text, "Only hosts behind this value of the order_key."),
        ("after_id", ParameterKind::Number, "With after: of the hosts of that value, also those with a higher id."),
    ] {
        parameters.push(Parameter::new(name, kind, about));
    }
    let about = "Ignored: Fleet's clients send it for what Muster does not have.";
    parameters.extend(WITHOUT_EFFECT.map(|name| Parameter::new(name, ParameterKind::Text, about)));
    parameters
}

/// The same for hosts of one label, which the path names.
pub(super) fn parameters_within_label() -> Vec<Parameter> {
    parameters().into_iter().filter(|parameter| parameter.name != "label_id").collect()
}

/// Reads the list parameters of hosts, and refuses others that are left.
pub(super) fn host_filter(mut params: Params) -> Result<HostFilter, actix_web::Error> {
    params.ignore(&WITHOUT_EFFECT);
    let (offset, limit) = params.page()?;
    // Fleet's clients also call the host name so.
    params.rename("order_key", "display_name", "hostname");
    let label_id = params.id("label_id")?;
    let system = SystemWanted { name: params.text("os_name"), version: params.text("os_version") };
    let disk_below = params.number("low_disk_space")?.map(u32::try_from).transpose();
    let disk_below = disk_below.map_err(|_| bad_parameter("low_disk_space is a number of gigabytes"))?;
    let (order, is_descending) = params.order(&ORDER_KEYS)?;
    let state = params.one_of("status", &STATES)?;
    let text = params.text("query").unwrap_or_default();
    let (platform, osquery_version) = (params.text("platform"), params.text("osquery_version"));
    let order = order.unwrap_or_default();
    let no_value = || bad_parameter("after expects a value of the order_key, as answers show it");
    let after = params.text("after").map(|text| order.value(&text).ok_or_else(no_value)).transpose()?;
    let after_id = params.id("after_id")?;
    if after_id.is_some() && after.is_none() {
        return Err(bad_parameter("after_id goes with after, the value that this host has"));
    }
    params.finish()?;
    Ok(HostFilter {
        text,
        label_id,
        state,
        platform,
        osquery_version,
        system: (system != SystemWanted::default()).then_some(system),
        disk_below,
        after,
        after_id,
        offset,
        limit,
        order,
        is_descending,
        ..HostFilter::default()
    })
}
