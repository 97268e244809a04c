//! What queries cost the fleet.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use chrono::{DateTime, Utc};

use super::AdminApi;
use super::auth::Caller;
use super::error::bad_parameter;
use super::params::{Parameter, ParameterKind, Params};
use crate::clock::Moment;
use crate::fleet::Fleet;
use crate::fleet::access::Principal;
use crate::fleet::statistics::{DenylistFilter, QuerySpan};

/// Events in an answer if no page is given.
const DEFAULT_EVENTS: u64 = 1_000;

pub(super) async fn queries(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    Params::of(&request)?.finish()?;
    Ok(api.read(&caller, move |fleet, principal| async move { fleet.statistics.fleet_costs(&principal).await }).await?)
}

pub(super) async fn query(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let mut params = Params::of(&request)?;
    let span = QuerySpan {
        pack: params.text("pack").unwrap_or_default(),
        name: params.text("name").ok_or_else(|| bad_parameter("name expects the name of a scheduled query"))?,
        from: moment(&mut params, "from")?,
        to: moment(&mut params, "to")?,
        label_id: params.number("label_id")?.and_then(|id| i64::try_from(id).ok()),
    };
    params.finish()?;
    Ok(api.read(&caller, move |fleet, principal| async move { fleet.query_cost(&principal, &span).await }).await?)
}

pub(super) async fn denylist(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let mut params = Params::of(&request)?;
    let (offset, limit) = params.page()?;
    let (pack, name) = (params.text("pack"), params.text("name"));
    let filter = DenylistFilter {
        host_id: params.number("host_id")?.and_then(|id| i64::try_from(id).ok()),
        query: name.map(|name| (pack.unwrap_or_default(), name)),
        with_released: params.switch("lifted")?,
    };
    params.finish()?;
    let limit = limit.unwrap_or(DEFAULT_EVENTS);
    let read = move |fleet: Fleet, principal: Principal| async move {
        fleet.statistics.denylist(&principal, &filter, offset, limit).await
    };
    Ok(api.read(&caller, read).await?)
}

pub(super) async fn restarts(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let mut params = Params::of(&request)?;
    let (offset, limit) = params.page()?;
    params.finish()?;
    let limit = limit.unwrap_or(DEFAULT_EVENTS);
    let read = move |fleet: Fleet, principal: Principal| async move {
        fleet.statistics.restarts(&principal, offset, limit).await
    };
    Ok(api.read(&caller, read).await?)
}

pub(super) async fn stalled(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    Params::of(&request)?.finish()?;
    Ok(api.read(&caller, move |fleet, principal| async move { fleet.statistics.stalled(&principal).await }).await?)
}

pub(super) async fn hosts(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let mut params = Params::of(&request)?;
    let (from, to) = (moment(&mut params, "from")?, moment(&mut params, "to")?);
    params.finish()?;
    let read =
        move |fleet: Fleet, principal: Principal| async move { fleet.hosts.host_counts(&principal, from, to).await };
    Ok(api.read(&caller, read).await?)
}

pub(super) async fn of_host(
    api: Data<AdminApi>,
    caller: Caller,
    id: Path<i64>,
) -> Result<HttpResponse, actix_web::Error> {
    Ok(api.read(&caller, move |fleet, principal| async move { fleet.host_statistics(&principal, *id).await }).await?)
}

/// A parameter that is a moment, such as `2026-01-31T12:00:00Z`.
fn moment(params: &mut Params, name: &str) -> Result<Option<Moment>, actix_web::Error> {
    let Some(text) = params.text(name) else { return Ok(None) };
    let moment = DateTime::parse_from_rfc3339(&text)
        .map_err(|_| bad_parameter(format!("{name} expects a time such as 2026-01-31T12:00:00Z, not {text}")))?;
    Ok(Some(Moment(moment.with_timezone(&Utc).timestamp_micros())))
}

/// The parameters of [`query`].
pub(super) fn query_parameters() -> Vec<Parameter> {
    let text = |name, about| Parameter::new(name, ParameterKind::Text, about);
    let name = text("name", "The name of the scheduled query.");
    vec![
        text("pack", "The pack; absent for the top-level schedule of the agent options."),
        Parameter { is_required: true, ..name },
        Parameter::new("label_id", ParameterKind::Number, "Also tells the cost on the hosts of this label."),
    ]
    .into_iter()
    .chain(span_parameters())
    .collect()
}

/// The parameters of [`hosts`].
pub(super) fn span_parameters() -> Vec<Parameter> {
    let text = |name, about| Parameter::new(name, ParameterKind::Text, about);
    vec![
        text("from", "The first moment, as in 2026-01-31T12:00:00Z; a day before `to` by default."),
        text("to", "The last moment, now by default."),
    ]
}

/// The parameters of [`restarts`].
pub(super) fn event_parameters() -> Vec<Parameter> {
    vec![
        Parameter::new("page", ParameterKind::Number, "The page, from 0. Without page and per_page 1,000 are given."),
        Parameter::new("per_page", ParameterKind::Number, "The number of a page, 20 by default and 10,000 at most."),
    ]
}

/// The parameters of [`denylist`].
pub(super) fn denylist_parameters() -> Vec<Parameter> {
    let mut parameters = event_parameters();
    parameters.extend([
        Parameter::new("host_id", ParameterKind::Number, "Only of this host."),
        Parameter::new("name", ParameterKind::Text, "Only of the scheduled query of this name."),
        Parameter::new("pack", ParameterKind::Text, "With name: the pack; absent for the top-level schedule."),
        Parameter::new("lifted", ParameterKind::Switch, "Also those that were lifted."),
    ]);
    parameters
}
