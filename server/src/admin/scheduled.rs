//! The schedules of packs, and the global schedule.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{GlobalSchedule, Scheduled, ScheduledEnvelope, ScheduledInput, ScheduledQueries};

use super::AdminApi;
use super::answer::{Done, ok};
use super::auth::Caller;
use super::body::JsonBody;
use super::error::AdminAnswer;
use super::params::Params;
use super::resource::fields_of;
use crate::fleet::Fleet;
use crate::fleet::access::Principal;
use crate::fleet::resource::Made;
use crate::fleet::scheduled::{ScheduleScope, Schedules};

pub(super) async fn of_pack(
    api: Data<AdminApi>,
    caller: Caller,
    pack_id: Path<i64>,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let listing = Params::listing(&request)?;
    Ok(api
        .read(&caller, move |fleet, principal| async move {
            Ok(ScheduledQueries { scheduled: Schedules::of(&fleet).of_pack(&principal, *pack_id, &listing).await? })
        })
        .await?)
}

pub(super) async fn by_id(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    Ok(ok(&envelope(Schedules::of(&api.fleet).by_id(&caller.0, *id).await?.into())))
}

pub(super) async fn add(api: Data<AdminApi>, caller: Caller, input: JsonBody<ScheduledInput>) -> AdminAnswer {
    add_within(&api, &caller, ScheduleScope::AnyPack, input).await
}

/// Schedules in a pack, or on all hosts if the request names no pack: newer clients of Fleet mean the global schedule by this
/// path, older ones packs.
pub(super) async fn add_anywhere(api: Data<AdminApi>, caller: Caller, input: JsonBody<ScheduledInput>) -> AdminAnswer {
    let within = if input.pack_id.is_some() { ScheduleScope::AnyPack } else { ScheduleScope::Global };
    add_within(&api, &caller, within, input).await
}

pub(super) async fn edit(
    api: Data<AdminApi>,
    caller: Caller,
    id: Path<i64>,
    input: JsonBody<ScheduledInput>,
) -> AdminAnswer {
    edit_within(&api, &caller, ScheduleScope::AnyPack, *id, input).await
}

pub(super) async fn delete(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    delete_within(&api, &caller, ScheduleScope::AnyPack, *id).await
}

pub(super) async fn global(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let listing = Params::listing(&request)?;
    Ok(api
        .read(&caller, move |fleet, principal| async move {
            Ok(GlobalSchedule { global_schedule: Schedules::of(&fleet).global(&principal, &listing).await? })
        })
        .await?)
}

pub(super) async fn add_global(api: Data<AdminApi>, caller: Caller, input: JsonBody<ScheduledInput>) -> AdminAnswer {
    add_within(&api, &caller, ScheduleScope::Global, input).await
}

pub(super) async fn edit_global(
    api: Data<AdminApi>,
    caller: Caller,
    id: Path<i64>,
    input: JsonBody<ScheduledInput>,
) -> AdminAnswer {
    edit_within(&api, &caller, ScheduleScope::Global, *id, input).await
}

pub(super) async fn delete_global(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    delete_within(&api, &caller, ScheduleScope::Global, *id).await
}

async fn add_within(
    api: &AdminApi,
    caller: &Caller,
    within: ScheduleScope,
    input: JsonBody<ScheduledInput>,
) -> AdminAnswer {
    let input = input.into_inner();
    let add = move |fleet: Fleet, by: Principal| async move {
        Ok(envelope(Schedules::of(&fleet).add(&by, within, &input).await?))
    };
    api.change(caller, add).await
}

async fn edit_within(
    api: &AdminApi,
    caller: &Caller,
    within: ScheduleScope,
    id: i64,
    input: JsonBody<ScheduledInput>,
) -> AdminAnswer {
    let input = input.into_inner();
    let edit = move |fleet: Fleet, by: Principal| async move {
        Ok(envelope(Schedules::of(&fleet).edit(&by, within, id, &input).await?))
    };
    api.change(caller, edit).await
}

async fn delete_within(api: &AdminApi, caller: &Caller, within: ScheduleScope, id: i64) -> AdminAnswer {
    let delete = move |fleet: Fleet, by: Principal| async move {
        Schedules::of(&fleet).delete(&by, within, id).await?;
        Ok(Done {})
    };
    api.change(caller, delete).await
}

fn envelope(made: Made<Scheduled>) -> ScheduledEnvelope {
    ScheduledEnvelope { scheduled: made.view, warnings: fields_of(made.warnings) }
}
