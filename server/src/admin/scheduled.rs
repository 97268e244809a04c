//! The schedules of packs, and the global one that all hosts have.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{GlobalSchedule, ScheduledEnvelope, ScheduledInput, ScheduledQueries};

use super::AdminDoor;
use super::answer::{done, ok};
use super::auth::Caller;
use super::body::Body;
use super::error::{Failed, Outcome};
use super::params::Params;
use crate::fleet::scheduled::Within;

pub(super) async fn of_pack(
    door: Data<AdminDoor>,
    caller: Caller,
    pack_id: Path<i64>,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let listing = Params::listing(&request)?;
    let scheduled = door.fleet.scheduled.of_pack(&caller.0, *pack_id, &listing).await.map_err(Failed)?;
    Ok(ok(&ScheduledQueries { scheduled }))
}

pub(super) async fn by_id(door: Data<AdminDoor>, caller: Caller, id: Path<i64>) -> Outcome {
    Ok(ok(&ScheduledEnvelope { scheduled: door.fleet.scheduled.by_id(&caller.0, *id).await? }))
}

pub(super) async fn add(door: Data<AdminDoor>, caller: Caller, input: Body<ScheduledInput>) -> Outcome {
    add_within(&door, &caller, Within::AnyPack, &input).await
}

pub(super) async fn edit(door: Data<AdminDoor>, caller: Caller, id: Path<i64>, input: Body<ScheduledInput>) -> Outcome {
    edit_within(&door, &caller, Within::AnyPack, *id, &input).await
}

pub(super) async fn delete(door: Data<AdminDoor>, caller: Caller, id: Path<i64>) -> Outcome {
    delete_within(&door, &caller, Within::AnyPack, *id).await
}

pub(super) async fn global(
    door: Data<AdminDoor>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let listing = Params::listing(&request)?;
    let global_schedule = door.fleet.scheduled.global(&caller.0, &listing).await.map_err(Failed)?;
    Ok(ok(&GlobalSchedule { global_schedule }))
}

pub(super) async fn add_global(door: Data<AdminDoor>, caller: Caller, input: Body<ScheduledInput>) -> Outcome {
    add_within(&door, &caller, Within::Global, &input).await
}

pub(super) async fn edit_global(
    door: Data<AdminDoor>,
    caller: Caller,
    id: Path<i64>,
    input: Body<ScheduledInput>,
) -> Outcome {
    edit_within(&door, &caller, Within::Global, *id, &input).await
}

pub(super) async fn delete_global(door: Data<AdminDoor>, caller: Caller, id: Path<i64>) -> Outcome {
    delete_within(&door, &caller, Within::Global, *id).await
}

async fn add_within(door: &AdminDoor, caller: &Caller, within: Within, input: &ScheduledInput) -> Outcome {
    Ok(ok(&ScheduledEnvelope { scheduled: door.fleet.scheduled.add(&caller.0, within, input).await? }))
}

async fn edit_within(door: &AdminDoor, caller: &Caller, within: Within, id: i64, input: &ScheduledInput) -> Outcome {
    Ok(ok(&ScheduledEnvelope { scheduled: door.fleet.scheduled.edit(&caller.0, within, id, input).await? }))
}

async fn delete_within(door: &AdminDoor, caller: &Caller, within: Within, id: i64) -> Outcome {
    door.fleet.scheduled.delete(&caller.0, within, id).await?;
    Ok(done())
}
