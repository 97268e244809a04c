//! The config of a host, and which queries it runs.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};

use super::AdminApi;
use super::auth::Caller;
use super::error::{AdminAnswer, bad_parameter};
use super::params::{Parameter, ParameterKind, Params};
use crate::fleet::Fleet;
use crate::fleet::access::Principal;

pub(super) async fn by_id(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    api.read(&caller, move |fleet, principal| async move { fleet.explain_by_id(&principal, *id).await }).await
}

pub(super) async fn by_name(api: Data<AdminApi>, caller: Caller, word: Path<String>) -> AdminAnswer {
    api.read(&caller, move |fleet, principal| async move { fleet.explain_by_name(&principal, &word).await }).await
}

pub(super) async fn of_labels(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let mut params = Params::of(&request)?;
    let platform = params.text("platform").ok_or_else(|| {
        bad_parameter("platform is needed: that of the hosts, such as ubuntu, rhel, darwin or windows")
    })?;
    let label_ids = params.ids("label_id")?;
    params.finish()?;
    let read = move |fleet: Fleet, principal: Principal| async move {
        fleet.config_of_labels(&principal, &platform, &label_ids)
    };
    Ok(api.read(&caller, read).await?)
}

pub(super) fn label_parameters() -> Vec<Parameter> {
    let text = |name, about| Parameter::new(name, ParameterKind::Text, about);
    vec![
        text("platform", "The platform of the hosts, as agents report it: ubuntu, rhel, darwin, windows."),
        text("label_id", "Labels that the hosts are in: ids, separated by commas."),
    ]
}
