//! Starting a live query as Fleet's clients do; they watch it through a socket, and it ends when they leave.

use actix_web::HttpResponse;
use actix_web::web::Data;
use muster_api::rest::{Campaign, CampaignEnvelope, CampaignMetrics, NewCampaign, Selected};

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::run;
use crate::admin::AdminApi;
use crate::admin::answer::ok;
use crate::admin::auth::Caller;
use crate::admin::body::JsonBody;
use crate::admin::error::{Failed, bad_parameter};
use crate::fleet::access::Principal;
use crate::fleet::live::{Ask, NO_HOSTS, Selection};
use crate::fleet::{self, Error};

/// Two operations share this address: with `query_ids` it waits for the answers.
pub(super) async fn run(
    api: Data<AdminApi>,
    caller: Caller,
    request: JsonBody<Value>,
) -> Result<HttpResponse, actix_web::Error> {
    if request.get("query_ids").is_some() {
        return Ok(run::wait(&api, &caller, &read(request.into_inner())?).await?);
    }
    let NewCampaign::<i64> { query, query_id, selected } = read(request.into_inner())?;
    let selection =
        check_selected(&selected).map(|()| Selection::Ids { hosts: selected.hosts, labels: selected.labels });
    answer(start(&api, &caller.0, query, query_id, selection).await)
}

pub(super) async fn run_by_names(
    api: Data<AdminApi>,
    caller: Caller,
    request: JsonBody<NewCampaign<String>>,
) -> Result<HttpResponse, actix_web::Error> {
    let NewCampaign { query, query_id, selected } = request.into_inner();
    let selection = check_selected(&selected)
        .map(|()| Selection::Names { hosts: given(selected.hosts), labels: given(selected.labels) });
    answer(start(&api, &caller.0, query, query_id, selection).await)
}

/// Without the empty names that Fleet's clients send for a flag that was not given.
fn given(mut names: Vec<String>) -> Vec<String> {
    names.retain(|name| !name.is_empty());
    names
}

fn read<T: DeserializeOwned>(body: Value) -> Result<T, actix_web::Error> {
    serde_json::from_value(body).map_err(|error| bad_parameter(error.to_string()))
}

/// Most hosts, and most labels, that a selection may name.
const MAX_SELECTED: usize = 100_000;

/// Refuses selections that are too long. Teams that are asked for must not be left out in silence.
pub(super) fn check_selected<T>(selected: &Selected<T>) -> fleet::Result<()> {
    for (path, count) in [("selected.hosts", selected.hosts.len()), ("selected.labels", selected.labels.len())] {
        if count > MAX_SELECTED {
            return Err(Error::invalid(
                path,
                format!("names more than {MAX_SELECTED}; select a label with these hosts"),
            ));
        }
    }
    if selected.teams.is_empty() {
        return Ok(());
    }
    Err(Error::invalid("selected.teams", "there are no teams here; use labels"))
}

async fn start(
    api: &AdminApi,
    principal: &Principal,
    query: Option<String>,
    query_id: Option<i64>,
    selection: fleet::Result<Selection>,
) -> fleet::Result<CampaignEnvelope> {
    // Ids begin at 1, and some clients write 0 for none.
    let query_id = query_id.filter(|id| *id != 0);
    let ask = match (query_id, &query) {
        (Some(id), _) => Ask::Numbered(id),
        (None, Some(sql)) => Ask::Sql(sql),
        (None, None) => return Err(Error::invalid("query", "cannot be empty; give query or query_id")),
    };
    let job = api.fleet.live.start_campaign(principal, ask, &selection?).await?;
    let tally = api.fleet.hosts.tally(job.targets()).await?;
    let campaign = Campaign {
        created_at: job.created_at.to_utc(),
        updated_at: job.created_at.to_utc(),
        metrics: CampaignMetrics {
            total_hosts: tally.total,
            online_hosts: tally.online,
            offline_hosts: tally.offline,
            missing_in_action_hosts: tally.missing,
            new_hosts: tally.new,
        },
        id: job.id,
        query_id: query_id.unwrap_or(0),
        status: 0,
        user_id: principal.user.id,
    };
    Ok(CampaignEnvelope { campaign, warnings: job.warnings.clone() })
}

/// Fleet's clients know 400 for a selection without hosts, not 422.
fn answer(outcome: fleet::Result<CampaignEnvelope>) -> Result<HttpResponse, actix_web::Error> {
    match outcome {
        Ok(started) => Ok(ok(&started)),
        Err(Error::Invalid(problems)) if problems.iter().any(|problem| problem.reason == NO_HOSTS) => {
            Err(bad_parameter(NO_HOSTS))
        }
        Err(error) => Err(Failed(error).into()),
    }
}
