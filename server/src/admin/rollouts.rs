//! Rollouts: how far they are, and the steps that operators take.

use actix_web::web::{Data, Path};
use muster_api::rest::{RolloutEnvelope, RolloutList};

use super::AdminApi;
use super::auth::Caller;
use super::error::AdminAnswer;
use crate::fleet::Fleet;
use crate::fleet::access::Principal;
use crate::fleet::rollouts::RolloutWish;

pub(super) async fn list(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    let read =
        move |fleet: Fleet, by: Principal| async move { Ok(RolloutList { rollouts: fleet.rollouts.list(&by).await? }) };
    api.read(&caller, read).await
}

pub(super) async fn status(api: Data<AdminApi>, caller: Caller, name: Path<String>) -> AdminAnswer {
    let read = move |fleet: Fleet, by: Principal| async move {
        Ok(RolloutEnvelope { rollout: fleet.rollouts.status(&by, &name).await? })
    };
    api.read(&caller, read).await
}

pub(super) async fn pause(api: Data<AdminApi>, caller: Caller, name: Path<String>) -> AdminAnswer {
    operate(&api, &caller, name.into_inner(), RolloutWish::Pause).await
}

pub(super) async fn resume(api: Data<AdminApi>, caller: Caller, name: Path<String>) -> AdminAnswer {
    operate(&api, &caller, name.into_inner(), RolloutWish::Resume).await
}

pub(super) async fn abort(api: Data<AdminApi>, caller: Caller, name: Path<String>) -> AdminAnswer {
    operate(&api, &caller, name.into_inner(), RolloutWish::Abort).await
}

pub(super) async fn promote(api: Data<AdminApi>, caller: Caller, name: Path<String>) -> AdminAnswer {
    operate(&api, &caller, name.into_inner(), RolloutWish::Promote).await
}

async fn operate(api: &AdminApi, caller: &Caller, name: String, wish: RolloutWish) -> AdminAnswer {
    let change = move |fleet: Fleet, by: Principal| async move {
        Ok(RolloutEnvelope { rollout: fleet.rollouts.operate(&by, &name, wish).await? })
    };
    api.change(caller, change).await
}
