//! Reading what operators keep in files.

use actix_web::web::{Data, Path};
use muster_api::rest::{SecretsSpec, SpecByName, Specs};

use super::AdminDoor;
use super::answer::ok;
use super::auth::Caller;
use super::error::Outcome;
use crate::fleet::specs::named;

pub(super) async fn queries(door: Data<AdminDoor>, caller: Caller) -> Outcome {
    Ok(ok(&Specs { specs: door.fleet.specs.queries(&caller.0).await? }))
}

pub(super) async fn query(door: Data<AdminDoor>, caller: Caller, name: Path<String>) -> Outcome {
    let all = door.fleet.specs.queries(&caller.0).await?;
    Ok(ok(&SpecByName { specs: named(all, "Query", &name, |spec| &spec.name)? }))
}

pub(super) async fn packs(door: Data<AdminDoor>, caller: Caller) -> Outcome {
    Ok(ok(&Specs { specs: door.fleet.specs.packs(&caller.0).await? }))
}

pub(super) async fn pack(door: Data<AdminDoor>, caller: Caller, name: Path<String>) -> Outcome {
    let all = door.fleet.specs.packs(&caller.0).await?;
    Ok(ok(&SpecByName { specs: named(all, "Pack", &name, |spec| &spec.name)? }))
}

pub(super) async fn labels(door: Data<AdminDoor>, caller: Caller) -> Outcome {
    Ok(ok(&Specs { specs: door.fleet.specs.labels(&caller.0).await? }))
}

pub(super) async fn label(door: Data<AdminDoor>, caller: Caller, name: Path<String>) -> Outcome {
    let all = door.fleet.specs.labels(&caller.0).await?;
    Ok(ok(&SpecByName { specs: named(all, "Label", &name, |spec| &spec.name)? }))
}

pub(super) async fn enroll_secret(door: Data<AdminDoor>, caller: Caller) -> Outcome {
    Ok(ok(&SecretsSpec { spec: door.fleet.specs.enroll_secrets(&caller.0).await? }))
}

pub(super) async fn config(door: Data<AdminDoor>, caller: Caller) -> Outcome {
    Ok(ok(&door.fleet.specs.config(&caller.0).await?))
}
