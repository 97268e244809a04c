//! Setting up, logging in and out, and who one is.

use actix_web::web::{Data, Json};
use muster_api::rest::{Login, Me, SetUp, Version};

use super::AdminDoor;
use super::answer::{done, ok};
use super::auth::Caller;
use super::error::Outcome;

pub(super) async fn set_up(door: Data<AdminDoor>, request: Json<SetUp>) -> Outcome {
    Ok(ok(&door.fleet.access.set_up(&request).await?))
}

pub(super) async fn log_in(door: Data<AdminDoor>, request: Json<Login>) -> Outcome {
    Ok(ok(&door.fleet.access.log_in(&request).await?))
}

pub(super) async fn log_out(door: Data<AdminDoor>, caller: Caller) -> Outcome {
    door.fleet.access.log_out(&caller.0).await?;
    Ok(done())
}

pub(super) async fn me(caller: Caller) -> Outcome {
    Ok(ok(&Me { user: caller.0.user }))
}

pub(super) async fn version(_caller: Caller) -> Outcome {
    Ok(ok(&this_version()))
}

/// What this program is; the keys are those of Fleet's clients.
pub fn this_version() -> Version {
    Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        branch: String::new(),
        revision: String::new(),
        go_version: String::new(),
        build_date: String::new(),
        build_user: String::new(),
    }
}
