//! The schedules of packs, and the global schedule.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{GlobalSchedule, ScheduledEnvelope, ScheduledInput, ScheduledQueries};

use super::AdminApi;
use super::answer::{done, ok};
use super::auth::Caller;
use super::body::JsonBody;
use super::error::{AdminAnswer, Failed};
use super::params::Params;
use crate::fleet::scheduled::{ScheduleScope, Schedules};

pub(super) async fn of_pack(
    api: Data<AdminApi>,
    caller: Caller,
    pack_id: Path<i64>,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let listing = Params::listing(&request)?;
    let scheduled = Schedules::of(&api.fleet).of_pack(&caller.0, *pack_id, &listing).await.map_err(Failed)?;
    Ok(ok(&ScheduledQueries { scheduled }))
}

pub(super) async fn by_id(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    Ok(ok(&ScheduledEnvelope { scheduled: Schedules::of(&api.fleet).by_id(&caller.0, *id).await? }))
}

pub(super) async fn add(api: Data<AdminApi>, caller: Caller, input: JsonBody<ScheduledInput>) -> AdminAnswer {
    add_within(&api, &caller, ScheduleScope::AnyPack, &input).await
}

pub(super) async fn edit(
    api: Data<AdminApi>,
    caller: Caller,
    id: Path<i64>,
    input: JsonBody<ScheduledInput>,
) -> AdminAnswer {
    edit_within(&api, &caller, ScheduleScope::AnyPack, *id, &input).await
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
    let global_schedule = Schedules::of(&api.fleet).global(&caller.0, &listing).await.map_err(Failed)?;
    Ok(ok(&GlobalSchedule { global_schedule }))
}

pub(super) async fn add_global(api: Data<AdminApi>, caller: Caller, input: JsonBody<ScheduledInput>) -> AdminAnswer {
    add_within(&api, &caller, ScheduleScope::Global, &input).await
}

pub(super) async fn edit_global(
    api: Data<AdminApi>,
    caller: Caller,
    id: Path<i64>,
    input: JsonBody<ScheduledInput>,
) -> AdminAnswer {
    edit_within(&api, &caller, ScheduleScope::Global, *id, &input).await
}

pub(super) async fn delete_global(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    delete_within(&api, &caller, ScheduleScope::Global, *id).await
}

async fn add_within(api: &AdminApi, caller: &Caller, within: ScheduleScope, input: &ScheduledInput) -> AdminAnswer {
    Ok(ok(&ScheduledEnvelope { scheduled: Schedules::of(&api.fleet).add(&caller.0, within, input).await? }))
}

async fn edit_within(
    api: &AdminApi,
    caller: &Caller,
    within: ScheduleScope,
    id: i64,
    input: &ScheduledInput,
) -> AdminAnswer {
    Ok(ok(&ScheduledEnvelope { scheduled: Schedules::of(&api.fleet).edit(&caller.0, within, id, input).await? }))
}

async fn delete_within(api: &AdminApi, caller: &Caller, within: ScheduleScope, id: i64) -> AdminAnswer {
    Schedules::of(&api.fleet).delete(&caller.0, within, id).await?;
    Ok(done())
}
