//! Starting, listing and ending live queries.

use actix_web::web::{Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use muster_api::rest::{LiveHosts, LiveQueries, LiveQuery, LiveQueryEnvelope, LiveRate, NewLiveQuery, TargetState};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;

use crate::admin::AdminApi;
use crate::admin::answer::ok;
use crate::admin::auth::Caller;
use crate::admin::body::JsonBody;
use crate::admin::error::{AdminAnswer, Failed, bad_parameter};
use crate::admin::params::Params;
use crate::fleet::Fleet;
use crate::fleet::carves::carve_notice;
use crate::fleet::live::PaceChange;

pub(super) async fn start(api: Data<AdminApi>, caller: Caller, request: JsonBody<NewLiveQuery>) -> AdminAnswer {
    let request = request.into_inner();
    let start = |fleet: Fleet, by| async move {
        let (live_query, groups) = fleet.live.start_in_groups(&by, &request).await?;
        let mut warnings = live_query.warnings.clone();
        warnings.extend(carve_notice(&live_query.query).map(str::to_owned));
        Ok(LiveQueryEnvelope { live_query, groups, warnings })
    };
    api.change(&caller, start).await
}

pub(super) async fn list(
    api: Data<AdminApi>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let mut params = Params::of(&request)?;
    let open_only = match params.text("status").as_deref() {
        None | Some("open") => true,
        Some("all") => false,
        Some(other) => return Err(bad_parameter(format!("unknown status {other}; known are open, all"))),
    };
    params.finish()?;
    let live_queries = api.fleet.live.list(&caller.0, open_only).await.map_err(Failed)?;
    Ok(ok(&LiveQueries { live_queries }))
}

pub(super) async fn by_id(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    Ok(ok(&envelope(api.fleet.live.get(&caller.0, *id).await?)))
}

// why: pausing and ending are the brakes of operators, cost little, and do not wait behind changes in the pool.
pub(super) async fn cancel(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    Ok(ok(&envelope(api.fleet.live.cancel(&caller.0, *id).await?)))
}

pub(super) async fn pause(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    change_pace(&api, &caller, *id, PaceChange::Pause).await
}

pub(super) async fn resume(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    change_pace(&api, &caller, *id, PaceChange::Resume).await
}

pub(super) async fn promote(api: Data<AdminApi>, caller: Caller, id: Path<i64>) -> AdminAnswer {
    change_pace(&api, &caller, *id, PaceChange::Promote).await
}

pub(super) async fn rate(api: Data<AdminApi>, caller: Caller, id: Path<i64>, rate: JsonBody<LiveRate>) -> AdminAnswer {
    change_pace(&api, &caller, *id, PaceChange::Rate(rate.rate)).await
}

async fn change_pace(api: &AdminApi, caller: &Caller, id: i64, change: PaceChange) -> AdminAnswer {
    Ok(ok(&envelope(api.fleet.live.change_pace(&caller.0, id, change).await?)))
}

fn envelope(live_query: LiveQuery) -> LiveQueryEnvelope {
    LiveQueryEnvelope { live_query, groups: Vec::new(), warnings: Vec::new() }
}

pub(super) async fn hosts(
    api: Data<AdminApi>,
    caller: Caller,
    id: Path<i64>,
    request: HttpRequest,
) -> Result<HttpResponse, actix_web::Error> {
    let mut params = Params::of(&request)?;
    let state = params.text("state").ok_or_else(|| bad_parameter("state is missing; give one, such as pending"))?;
    params.finish()?;
    let state = state_of(&state).map_err(|reason| bad_parameter(format!("state: {reason}")))?;
    let id = *id;
    Ok(api
        .read(&caller, move |fleet, principal| async move {
            Ok(LiveHosts { hosts: fleet.live.hosts_in(&principal, id, state).await? })
        })
        .await?)
}

fn state_of(word: &str) -> Result<TargetState, serde::de::value::Error> {
    TargetState::deserialize(word.into_deserializer())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_go_by_the_names_of_the_counts() {
        assert_eq!(state_of("denylisted"), Ok(TargetState::Denylisted));
        assert!(state_of("asleep").unwrap_err().to_string().contains("expected one of `pending`, `sent`, `answered`"));
    }
}
