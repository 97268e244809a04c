//! Live queries: as jobs, and as the campaigns Fleet's clients know.

mod campaigns;
mod jobs;
mod results;
mod run;
mod session_end;
mod socket;
mod targets;

pub(super) use self::results::lines;
pub(super) use self::session_end::session_end;

use muster_api::rest::{
    CampaignEnvelope, FoundTargets, LiveAnswer, LiveHosts, LiveQueries, LiveQueryEnvelope, LiveRate, LiveRun,
    LiveRunDone, NewCampaign, NewLiveQuery, TargetCounts, TargetSearch, TargetState,
};
use schemars::SchemaGenerator;

use super::operation::{Needs, Operation, get, post};
use super::params::{Parameter, ParameterKind};
use crate::fleet::access::Permission::{ReadHosts, RunLiveQueries};

/// The operations of live queries.
pub(super) fn operations() -> Vec<Operation> {
    let status = ParameterKind::OneOf(vec!["open", "all"]);
    let state = ParameterKind::Typed(SchemaGenerator::subschema_for::<TargetState>);
    let state = Parameter { is_required: true, ..Parameter::new("state", state, "The state of the targets to list.") };
    let cursor = "Continue after the line with this cursor.";
    let follow = "Keep the response open until the live query is over.";
    let ad_hoc = "Observers may only run saved queries with `observer_can_run`.";
    let own = "Observers may only use their own live queries.";
    vec![
        post("/queries/run", Needs::Session, "Start a campaign on hosts and labels by id", campaigns::run)
            .note("With `query_ids` the same as `GET queries/run`. Observers may only run saved queries with `observer_can_run`.")
            .takes::<NewCampaign<i64>>()
            .gives::<CampaignEnvelope>(),
        get("/queries/run", Needs::Session, "Run saved queries and wait for the answers of online hosts", run::run)
            .note(ad_hoc)
            .takes::<LiveRun>()
            .gives::<LiveRunDone>(),
        post(
            "/queries/run_by_names",
            Needs::Session,
            "Start a campaign on hosts and labels by name",
            campaigns::run_by_names,
        )
        .note(ad_hoc)
        .takes::<NewCampaign<String>>()
        .gives::<CampaignEnvelope>(),
        post("/targets", ReadHosts, "Search for hosts and labels to select", targets::search)
            .takes::<TargetSearch>()
            .gives::<FoundTargets>(),
        post("/targets/count", ReadHosts, "Count the selected hosts", targets::count)
            .takes::<TargetSearch>()
            .gives::<TargetCounts>(),
        get("/status/live_query", Needs::Session, "Check that live queries work", targets::status),
        get("/status/result_store", Needs::Session, "Check that results of live queries are kept", targets::status),
        get("/results/websocket", Needs::Nothing, "Watch a campaign over a WebSocket", socket::plain)
            .note("The first message carries the token.")
            .opens_socket(),
        get("/results/info", Needs::Nothing, "Get the SockJS settings", socket::sock_js_info)
            .gives::<serde_json::Map<String, serde_json::Value>>(),
        get("/results/{server}/{session}/websocket", Needs::Nothing, "Watch a campaign over SockJS", socket::sock_js)
            .note("The first message carries the token.")
            .opens_socket(),
        get("/live_queries", Needs::Session, "List the latest live queries", jobs::list)
            .note(own)
            .parameters(vec![Parameter::new("status", status, "Whether to list all or, by default, only open ones.")])
            .gives::<LiveQueries>(),
        post("/live_queries", Needs::Session, "Start a live query", jobs::start)
            .note(ad_hoc)
            .takes::<NewLiveQuery>()
            .gives::<LiveQueryEnvelope>(),
        get("/live_queries/{id}", Needs::Session, "Get a live query with its counts", jobs::by_id)
            .note(own)
            .gives::<LiveQueryEnvelope>(),
        post("/live_queries/{id}/cancel", Needs::Session, "Cancel a live query", jobs::cancel)
            .note(own)
            .gives::<LiveQueryEnvelope>(),
        post("/live_queries/{id}/pause", Needs::Session, "Give a live query to no further hosts", jobs::pause)
            .note("Answers of hosts that have it still count. Observers may only use their own live queries.")
            .gives::<LiveQueryEnvelope>(),
        post("/live_queries/{id}/resume", Needs::Session, "Give a paused live query to hosts again", jobs::resume)
            .note(own)
            .gives::<LiveQueryEnvelope>(),
        post(
            "/live_queries/{id}/promote",
            RunLiveQueries,
            "Give a live query to the hosts that wait for its canaries",
            jobs::promote,
        )
        .note("A live query that is paused stays so.")
        .gives::<LiveQueryEnvelope>(),
        post("/live_queries/{id}/rate", Needs::Session, "Change how many hosts a second get a live query", jobs::rate)
            .note(own)
            .takes::<LiveRate>()
            .gives::<LiveQueryEnvelope>(),
        get("/live_queries/{id}/hosts", Needs::Session, "List the targets of a live query in one state", jobs::hosts)
            .note(own)
            .parameters(vec![state])
            .gives::<LiveHosts>(),
        get("/live_queries/{id}/results", Needs::Session, "Read the answers of a live query", results::results)
            .note(
                "Observers may only use their own live queries. If the session ends meanwhile, the last line has `error` alone.",
            )
            .parameters(vec![
                Parameter::new("cursor", ParameterKind::Number, cursor),
                Parameter::new("follow", ParameterKind::Switch, follow),
            ])
            .gives_lines::<LiveAnswer>(),
    ]
}
