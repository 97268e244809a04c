//! Reading documents.

use actix_web::web::{Data, Path};
use muster_api::rest::{GlobalScheduleDocument, OptionsSpec, SecretsSpec, SpecByName, SpecList};

use super::AdminApi;
use super::answer::ok;
use super::auth::Caller;
use super::error::AdminAnswer;

pub(super) async fn queries(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    let (specs, principal) = (api.fleet.specs.clone(), caller.0.clone());
    api.lists.send(&caller.0, move || async move { Ok(SpecList { specs: specs.queries(&principal).await? }) }).await
}

pub(super) async fn query(api: Data<AdminApi>, caller: Caller, name: Path<String>) -> AdminAnswer {
    let (specs, principal) = (api.fleet.specs.clone(), caller.0.clone());
    let read = move || async move { Ok(SpecByName { specs: specs.query(&principal, &name).await? }) };
    api.lists.send(&caller.0, read).await
}

pub(super) async fn documents(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    Ok(ok(&api.fleet.documents_status(&caller.0)?))
}

pub(super) async fn packs(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    let (specs, principal) = (api.fleet.specs.clone(), caller.0.clone());
    api.lists.send(&caller.0, move || async move { Ok(SpecList { specs: specs.packs(&principal).await? }) }).await
}

pub(super) async fn pack(api: Data<AdminApi>, caller: Caller, name: Path<String>) -> AdminAnswer {
    let (specs, principal) = (api.fleet.specs.clone(), caller.0.clone());
    let read = move || async move { Ok(SpecByName { specs: specs.pack(&principal, &name).await? }) };
    api.lists.send(&caller.0, read).await
}

pub(super) async fn labels(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    let (specs, principal) = (api.fleet.specs.clone(), caller.0.clone());
    api.lists.send(&caller.0, move || async move { Ok(SpecList { specs: specs.labels(&principal).await? }) }).await
}

pub(super) async fn label(api: Data<AdminApi>, caller: Caller, name: Path<String>) -> AdminAnswer {
    let (specs, principal) = (api.fleet.specs.clone(), caller.0.clone());
    let read = move || async move { Ok(SpecByName { specs: specs.label(&principal, &name).await? }) };
    api.lists.send(&caller.0, read).await
}

pub(super) async fn global_schedule(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    let (specs, principal) = (api.fleet.specs.clone(), caller.0.clone());
    let read = move || async move { Ok(GlobalScheduleDocument { spec: specs.global_schedule(&principal).await? }) };
    api.lists.send(&caller.0, read).await
}

pub(super) async fn enroll_secret(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    let spec = api.fleet.specs.enroll_secrets(&caller.0).await?;
    let specs = Some(api.fleet.specs.active_enroll_secrets(&caller.0).await?);
    Ok(ok(&SecretsSpec { spec, specs }))
}

pub(super) async fn options(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    let (specs, principal) = (api.fleet.specs.clone(), caller.0.clone());
    let read = move || async move { Ok(OptionsSpec { spec: specs.agent_options(&principal).await? }) };
    api.lists.send(&caller.0, read).await
}

pub(super) async fn config(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    let (specs, principal) = (api.fleet.specs.clone(), caller.0.clone());
    api.lists.send(&caller.0, move || async move { specs.config(&principal).await }).await
}
