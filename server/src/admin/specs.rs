//! Reading documents.

use actix_web::web::{Data, Path};
use muster_api::rest::{OptionsSpec, SecretsSpec, SpecByName, SpecList};
use muster_api::spec::EnrollSecretSpec;

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

pub(super) async fn enroll_secret(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    let spec = api.fleet.specs.enroll_secrets(&caller.0).await?;
    Ok(ok(&SecretsSpec { specs: Some(as_in_fleet_3(spec.clone())), spec }))
}

pub(super) async fn options(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    Ok(ok(&OptionsSpec { spec: api.fleet.specs.agent_options(&caller.0).await? }))
}

pub(super) async fn config(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    Ok(ok(&api.fleet.specs.config(&caller.0).await?))
}

/// Secrets as clients of Fleet 3.x know them: each has a name and is active.
fn as_in_fleet_3(mut spec: EnrollSecretSpec) -> EnrollSecretSpec {
    for (position, secret) in spec.secrets.iter_mut().enumerate() {
        secret.name = Some(format!("secret-{}", position + 1));
        secret.active = Some(true);
    }
    spec
}
