//! SQL that waits for a second person.

use actix_web::web::{Data, Path};
use muster_api::rest::{ApprovalEnvelope, ApprovalList};

use super::AdminApi;
use super::auth::Caller;
use super::error::AdminAnswer;
use crate::fleet::Fleet;
use crate::fleet::access::Principal;

pub(super) async fn list(api: Data<AdminApi>, caller: Caller) -> AdminAnswer {
    let list =
        |fleet: Fleet, by: Principal| async move { Ok(ApprovalList { approvals: fleet.guard.approvals(&by).await? }) };
    api.read(&caller, list).await
}

pub(super) async fn grant(api: Data<AdminApi>, caller: Caller, key: Path<String>) -> AdminAnswer {
    decide(&api, &caller, key.into_inner(), true).await
}

pub(super) async fn deny(api: Data<AdminApi>, caller: Caller, key: Path<String>) -> AdminAnswer {
    decide(&api, &caller, key.into_inner(), false).await
}

async fn decide(api: &AdminApi, caller: &Caller, key: String, is_granted: bool) -> AdminAnswer {
    let decide = move |fleet: Fleet, by: Principal| async move {
        Ok(ApprovalEnvelope { approval: fleet.guard.decide_approval(&by, &key, is_granted).await? })
    };
    api.change(caller, decide).await
}
