//! The tables and columns that agents have.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::AdminApi;
use super::auth::Caller;
use super::error::bad_parameter;
use super::params::{Parameter, ParameterKind, Params};
use crate::fleet::Fleet;
use crate::fleet::access::Principal;
use crate::fleet::schema::SchemaFilter;

/// Most tables of a page.
const MAX_PER_PAGE: u64 = 1_000;

pub(super) async fn of_fleet(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let mut params = Params::of(&request)?;
    let (offset, limit) = params.page()?;
    if limit.is_some_and(|tables| tables > MAX_PER_PAGE) {
        return Err(bad_parameter(format!("per_page is {MAX_PER_PAGE} at most")));
    }
    let filter = SchemaFilter {
        platforms: params.text("platform").iter().flat_map(|words| words.split(',')).map(str::to_owned).collect(),
        osquery_version: params.text("osquery_version"),
        label_ids: params.ids("label_id")?,
        host_ids: params.ids("host_id")?,
        text: params.text("query").unwrap_or_default(),
        table: params.text("table"),
        names_only: params.switch("names_only")?,
        with_unagreed: params.switch("unagreed")?,
        offset,
        limit,
    };
    params.finish()?;
    let read =
        move |fleet: Fleet, principal: Principal| async move { fleet.schemas.of_fleet(&principal, &filter).await };
    Ok(api.read(&caller, read).await?)
}

pub(super) fn parameters() -> Vec<Parameter> {
    let text = |name, about| Parameter::new(name, ParameterKind::Text, about);
    vec![
        text("platform", "Only hosts of these platforms, separated by commas; linux is every distribution."),
        text("osquery_version", "Only hosts with this version of osquery, as in 5.23.1."),
        text("label_id", "Only hosts in any of these labels: ids, separated by commas."),
        text("host_id", "Only these hosts: ids, separated by commas. With label_id they come on top."),
        text("query", "A part of the name of a table, in any case."),
        text("table", "Only the table of this name."),
        Parameter::new("names_only", ParameterKind::Switch, "Leaves out the columns."),
        Parameter::new("unagreed", ParameterKind::Switch, "Also tables and columns that too few hosts have reported."),
        Parameter::new("page", ParameterKind::Number, "The page, from 0. Without page and per_page 1,000 are given."),
        Parameter::new("per_page", ParameterKind::Number, "The tables of a page, 20 by default and 1,000 at most."),
    ]
}
