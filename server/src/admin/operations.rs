//! All operations of the REST API but those of live queries, as data: the router, the OpenAPI document and the test of the
//! roles read this table. Paths are matched in this order.

use muster_api::rest::{
    AgentConfig, Applied, AppliedSpecs, Apply, ApplyPlanEnvelope, ApprovalEnvelope, ApprovalList, CarveBlockData,
    CarveBlockDigest, CarveEnvelope, CarveList, ChangePassword, Deleted, Denylist, DocumentsStatus, Explained,
    FleetCosts, FleetCounts, FleetSchema, GlobalSchedule, GlobalScheduleDocument, HostCount, HostEnvelope, HostList,
    HostSearch, HostStatistics, HostSummary, HostView, HostsToDelete, LabelEnvelope, LabelInput, LabelList,
    LabelSummaries, LoggedIn, Login, Me, NewPlan, NewUser, OptionsSpec, PackEnvelope, PackInput, PackList, PlanList,
    QueryCostReport, QueryEnvelope, QueryIds, QueryInput, QueryList, RolloutEnvelope, RolloutList, ScheduledEnvelope,
    ScheduledInput, ScheduledQueries, SecretsSpec, SetUp, SetUpDone, ShownPlanEnvelope, SpecByName, SpecList,
    StalledHosts, Translation, UserEdit, UserEnvelope, UserList, UserRoles, Version, WorkerRestarts,
};
use muster_api::spec::{LabelSpec, PackSpec, QueryDocument, QuerySpec};
use serde_json::{Map, Value};

use super::operation::{Needs, Operation, delete, get, patch, post};
use super::params::{apply_parameters, list_parameters};
use super::resource::{self, by_id, create, delete_named, edit, list};
use super::{
    account, apply, approvals, carves, delete_hosts, explain, hosts, labels, openapi, queries, report, rollouts,
    scheduled, schema, specs, statistics, users,
};
use crate::fleet::access::Permission::{
    ManageUsers, ReadCarves, ReadConfig, ReadHosts, ReadLabels, ReadPacks, ReadQueries, ReadSecrets, RunLiveQueries,
    TakeCarves, WriteConfig, WriteHosts, WriteSchedule, WriteSecrets,
};
use crate::fleet::access::Users;
use crate::fleet::labels::Labels;
use crate::fleet::packs::Packs;
use crate::fleet::queries::Queries;

/// The bases of [`set_up`].
pub(super) const SET_UP_BASES: [&str; 2] = ["/api/v1", "/api"];

/// The operation that stands outside the common bases.
pub(super) fn set_up() -> Operation {
    post("/setup", Needs::Nothing, "Create the first administrator and log in", account::set_up)
        .note("Works once: afterwards the answer is 404.")
        .takes::<SetUp>()
        .gives::<SetUpDone>()
}

/// The operations below every base but those of live queries.
pub(super) fn operations() -> Vec<Operation> {
    [
        account(),
        documents(),
        user_operations(),
        host_operations(),
        label_operations(),
        query_operations(),
        packs_and_schedules(),
        statistics(),
        schema_operations(),
        carve_operations(),
        approval_operations(),
        rollout_operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn account() -> Vec<Operation> {
    vec![
        get("/openapi.json", Needs::Nothing, "Get this description of the API", openapi::serve)
            .gives::<Map<String, Value>>(),
        post("/login", Needs::Nothing, "Log in", account::log_in)
            .note("The number of logins per minute is limited.")
            .takes::<Login>()
            .gives::<LoggedIn>(),
        post("/logout", Needs::Session, "End the session of the request", account::log_out),
        get("/me", Needs::Session, "Get the caller's own account", account::me).gives::<Me>(),
        post("/change_password", Needs::Session, "Change the caller's own password", users::change_password)
            .note("Ends the caller's other sessions. Passwords have 12 to 128 characters, a digit and a symbol.")
            .takes::<ChangePassword>(),
        post(
            "/translate",
            Needs::Session,
            "Find the ids of users, labels and hosts by their names",
            account::translate,
        )
        .note("Only administrators find users.")
        .takes::<Translation>()
        .gives::<Translation>(),
        get("/version", Needs::Session, "Get the version of the server", account::version).gives::<Version>(),
    ]
}

fn documents() -> Vec<Operation> {
    vec![
        get("/config", Needs::Session, "Get the configuration", specs::config)
            .note("Observers get only `org_info`.")
            .gives::<Map<String, Value>>(),
        patch("/config", WriteConfig, "Change parts of the configuration", apply::patch_config)
            .note("`agent_options` are replaced as a whole.")
            .parameters(apply_parameters())
            .takes::<Map<String, Value>>()
            .gives::<Map<String, Value>>(),
        post("/spec/apply", WriteSchedule, "Apply documents, all or none", apply::apply)
            .note(
                "Documents of the kinds `config`, `options`, `enroll_secret` and `user_roles` need the role admin, and so does \
                 `delete_unnamed`.",
            )
            .parameters(apply_parameters())
            .takes::<Apply>()
            .gives::<Applied>(),
        post("/spec/plan", WriteSchedule, "Keep what an apply would change, to apply it later by its id", apply::plan)
            .note(
                "It expires after 24 hours; of all plans 100 are kept. Documents of the kinds `config`, `options`, `enroll_secret` \
                 and `user_roles` need the role admin.",
            )
            .takes::<NewPlan>()
            .gives::<ApplyPlanEnvelope>(),
        get("/spec/plans", WriteSchedule, "List the plans that can be applied", apply::plans).gives::<PlanList>(),
        get("/spec/plans/{id}", WriteSchedule, "Get a plan as it was shown, and whether it is still good", apply::shown_plan)
            .note("Plans of documents that the caller may not apply are not shown.")
            .gives::<ShownPlanEnvelope>(),
        post("/spec/delete", WriteSchedule, "Delete the objects that documents name, all or none", apply::delete)
            .note("Only the kinds `query`, `pack` and `label` are deleted. Of a spec only the name is read.")
            .parameters(apply_parameters())
            .takes::<Apply>()
            .gives::<Applied>(),
        get("/documents/status", ReadConfig, "Get whether documents come from a folder, and how that goes", specs::documents)
            .gives::<DocumentsStatus>(),
        get("/spec/queries", ReadQueries, "Get the specs of all queries", specs::queries)
            .gives::<SpecList<QuerySpec>>(),
        post("/spec/queries", WriteSchedule, "Apply specs of queries", apply::queries)
            .parameters(apply_parameters())
            .takes::<SpecList<QueryDocument>>()
            .gives::<AppliedSpecs>(),
        get("/spec/queries/{name}", ReadQueries, "Get the spec of a query", specs::query)
            .gives::<SpecByName<QuerySpec>>(),
        get("/spec/packs", ReadPacks, "Get the specs of all packs", specs::packs).gives::<SpecList<PackSpec>>(),
        post("/spec/packs", WriteSchedule, "Apply specs of packs", apply::packs)
            .parameters(apply_parameters())
            .takes::<SpecList<PackSpec>>()
            .gives::<AppliedSpecs>(),
        get("/spec/packs/{name}", ReadPacks, "Get the spec of a pack", specs::pack).gives::<SpecByName<PackSpec>>(),
        get("/spec/labels", ReadLabels, "Get the specs of all labels", specs::labels).gives::<SpecList<LabelSpec>>(),
        post("/spec/labels", WriteSchedule, "Apply specs of labels", apply::labels)
            .parameters(apply_parameters())
            .takes::<SpecList<LabelSpec>>()
            .gives::<AppliedSpecs>(),
        get("/spec/labels/{name}", ReadLabels, "Get the spec of a label", specs::label)
            .gives::<SpecByName<LabelSpec>>(),
        get("/spec/global_schedule", ReadPacks, "Get the global schedule", specs::global_schedule)
            .gives::<GlobalScheduleDocument>(),
        post("/spec/global_schedule", WriteSchedule, "Replace the global schedule", apply::global_schedule)
            .note("The same as applying a document of the kind `global_schedule`.")
            .takes::<GlobalScheduleDocument>()
            .gives::<AppliedSpecs>(),
        get("/spec/enroll_secret", ReadSecrets, "Get the enroll secrets", specs::enroll_secret).gives::<SecretsSpec>(),
        get("/spec/osquery_options", ReadConfig, "Get the agent options", specs::options).gives::<OptionsSpec>(),
        post("/spec/osquery_options", WriteConfig, "Replace the agent options", apply::options)
            .note("The same as applying a document of the kind `options`.")
            .parameters(apply_parameters())
            .takes::<OptionsSpec>(),
        post("/spec/enroll_secret", WriteSecrets, "Replace the enroll secrets", apply::enroll_secret)
            .parameters(apply_parameters())
            .takes::<SecretsSpec>()
            .gives::<AppliedSpecs>(),
    ]
}

fn user_operations() -> Vec<Operation> {
    vec![
        get("/users", ManageUsers, "List users", list::<Users>).parameters(list_parameters()).gives::<UserList>(),
        post("/users/admin", ManageUsers, "Create a user", create::<Users>).takes::<NewUser>().gives::<UserEnvelope>(),
        get("/users/roles/spec", ManageUsers, "Get the roles of all users", users::roles).gives::<UserRoles>(),
        post("/users/roles/spec", ManageUsers, "Change the roles of users", apply::user_roles)
            .parameters(apply_parameters())
            .takes::<UserRoles>()
            .gives::<AppliedSpecs>(),
        get("/users/{id}", ManageUsers, "Get a user", by_id::<Users>).gives::<UserEnvelope>(),
        patch("/users/{id}", ManageUsers, "Change a user", edit::<Users>)
            .note("A new password ends the user's sessions. The last administrator keeps that role.")
            .takes::<UserEdit>()
            .gives::<UserEnvelope>(),
        delete("/users/{id}", ManageUsers, "Delete a user and end the user's sessions", resource::delete::<Users>)
            .note("The last administrator cannot be deleted."),
    ]
}

fn host_operations() -> Vec<Operation> {
    vec![
        get("/hosts", ReadHosts, "List hosts", hosts::list).parameters(hosts::parameters()).gives::<HostList>(),
        get("/hosts/count", ReadHosts, "Count hosts", hosts::count)
            .parameters(hosts::parameters())
            .gives::<HostCount>(),
        get("/hosts/report", ReadHosts, "Export hosts", report::report)
            .note("Cells that a spreadsheet could take for a formula begin with an apostrophe.")
            .parameters(report::parameters())
            .exports::<HostView>(),
        get("/host_summary", ReadHosts, "Count hosts by status and platform", hosts::summary)
            .note("Of the hosts that the filters find; pages and orders change nothing. `low_disk_space` is counted beside the others.")
            .parameters(hosts::parameters())
            .gives::<HostSummary>(),
        post("/hosts/search", ReadHosts, "Find the first hosts of a text", hosts::search)
            .note("Ten hosts at most.")
            .takes::<HostSearch>()
            .gives::<HostList>(),
        post("/hosts/delete", WriteHosts, "Delete several hosts, by ids or by filters", delete_hosts::delete_many)
            .note("With `dry_run` the answer is the number of hosts that would be deleted (`count`). An agent that is still running enrolls again as a new host.")
            .takes::<HostsToDelete>(),
        get("/hosts/identifier/{word}", ReadHosts, "Get a host by identifier, UUID or name", hosts::by_name)
            .gives::<HostEnvelope>(),
        get(
            "/hosts/identifier/{word}/config",
            ReadPacks,
            "Get the config of a host, and which queries it runs, by identifier, UUID or name",
            explain::by_name,
        )
        .gives::<Explained>(),
        get("/hosts/{id}", ReadHosts, "Get a host with its labels and packs", hosts::by_id).gives::<HostEnvelope>(),
        get("/hosts/{id}/config", ReadPacks, "Get the config of a host, and which queries it runs", explain::by_id)
            .gives::<Explained>(),
        get("/agent_config", ReadPacks, "Get what hosts of a platform and labels are served", explain::of_labels)
            .note("Labels that follow from the platform are added. The config of one host is at hosts/{id}/config.")
            .parameters(explain::label_parameters())
            .gives::<AgentConfig>(),
        get("/hosts/{id}/statistics", ReadPacks, "Get what scheduled queries cost a host", statistics::of_host)
            .gives::<HostStatistics>(),
        delete("/hosts/{id}", WriteHosts, "Delete a host", hosts::delete)
            .note("An agent that is still running enrolls again as a new host."),
        post("/hosts/{id}/refetch", WriteHosts, "Refetch all details of a host at its next check-in", hosts::refetch),
    ]
}

fn carve_operations() -> Vec<Operation> {
    vec![
        get("/carves", ReadCarves, "List carves", carves::list)
            .note("Without a page, 10,000 at most.")
            .parameters(carves::parameters())
            .gives::<CarveList>(),
        get("/carves/{id}", ReadCarves, "Get a carve", carves::by_id).gives::<CarveEnvelope>(),
        get("/carves/{id}/block/{block}", TakeCarves, "Get a block of a carve", carves::block)
            .note("Blocks are counted from 0. They are there before the carve is complete.")
            .gives::<CarveBlockData>(),
        get("/carves/{id}/contents", TakeCarves, "Download the contents of a complete carve", carves::contents)
            .note("The bytes that the agent has sent. The header `Range` asks for a part, with the status 206.")
            .gives_file(),
        get("/carves/{id}/blocks", TakeCarves, "Get the digests of the blocks of a complete carve", carves::blocks)
            .note("One JSON object per line. With them a client finds out how much of a file it may go on after.")
            .parameters(carves::block_parameters())
            .gives_lines::<CarveBlockDigest>(),
        delete("/carves/{id}", TakeCarves, "Delete a carve and its contents", carves::delete),
    ]
}

fn approval_operations() -> Vec<Operation> {
    let own = "Nobody decides on a request of their own.";
    vec![
        get("/approvals", RunLiveQueries, "List requests for a second person that still count", approvals::list)
            .note("A rule of the table guard asks for one.")
            .gives::<ApprovalList>(),
        post("/approvals/{key}/grant", RunLiveQueries, "Grant the request of another user", approvals::grant)
            .note(own)
            .gives::<ApprovalEnvelope>(),
        post("/approvals/{key}/deny", RunLiveQueries, "Deny the request of another user", approvals::deny)
            .note(own)
            .gives::<ApprovalEnvelope>(),
    ]
}

fn label_operations() -> Vec<Operation> {
    vec![
        get("/labels", ReadLabels, "List labels", list::<Labels>).parameters(list_parameters()).gives::<LabelList>(),
        post("/labels", WriteSchedule, "Create a dynamic label", create::<Labels>)
            .takes::<LabelInput>()
            .gives::<LabelEnvelope>(),
        get("/labels/summary", ReadLabels, "List all labels without queries and counts", labels::summary)
            .gives::<LabelSummaries>(),
        delete("/labels/id/{id}", WriteSchedule, "Delete a label by id", resource::delete::<Labels>)
            .note("Labels that a pack targets and built-in labels cannot be deleted."),
        get("/labels/{id}/hosts", ReadLabels, "List the hosts of a label", labels::hosts)
            .parameters(hosts::parameters_within_label())
            .gives::<HostList>(),
        get("/labels/{id}", ReadLabels, "Get a label", by_id::<Labels>).gives::<LabelEnvelope>(),
        patch("/labels/{id}", WriteSchedule, "Change the name or description of a label", edit::<Labels>)
            .note("Built-in labels cannot be changed.")
            .takes::<LabelInput>()
            .gives::<LabelEnvelope>(),
        delete("/labels/{name}", WriteSchedule, "Delete a label by name", delete_named::<Labels>),
    ]
}

fn query_operations() -> Vec<Operation> {
    vec![
        get("/queries", ReadQueries, "List saved queries", list::<Queries>)
            .parameters(list_parameters())
            .gives::<QueryList>(),
        post("/queries", WriteSchedule, "Save a query", create::<Queries>)
            .takes::<QueryInput>()
            .gives::<QueryEnvelope>(),
        post("/queries/delete", WriteSchedule, "Delete several saved queries, all or none", queries::delete_many)
            .takes::<QueryIds>()
            .gives::<Deleted>(),
        delete("/queries/id/{id}", WriteSchedule, "Delete a saved query by id", resource::delete::<Queries>)
            .note("A query that a pack schedules cannot be deleted."),
        get("/queries/{id}", ReadQueries, "Get a saved query", by_id::<Queries>).gives::<QueryEnvelope>(),
        patch("/queries/{id}", WriteSchedule, "Change a saved query", edit::<Queries>)
            .takes::<QueryInput>()
            .gives::<QueryEnvelope>(),
        delete("/queries/{name}", WriteSchedule, "Delete a saved query by name", delete_named::<Queries>),
    ]
}

fn packs_and_schedules() -> Vec<Operation> {
    vec![
        get("/packs", ReadPacks, "List packs", list::<Packs>).parameters(list_parameters()).gives::<PackList>(),
        post("/packs", WriteSchedule, "Create a pack without queries", create::<Packs>)
            .takes::<PackInput>()
            .gives::<PackEnvelope>(),
        post("/packs/schedule", WriteSchedule, "Schedule a query in a pack", scheduled::add)
            .takes::<ScheduledInput>()
            .gives::<ScheduledEnvelope>(),
        delete("/packs/id/{id}", WriteSchedule, "Delete a pack and its schedule by id", resource::delete::<Packs>)
            .note("The saved queries stay."),
        get("/packs/{id}/scheduled", ReadPacks, "List the scheduled queries of a pack", scheduled::of_pack)
            .parameters(list_parameters())
            .gives::<ScheduledQueries>(),
        get("/packs/{id}", ReadPacks, "Get a pack", by_id::<Packs>).gives::<PackEnvelope>(),
        patch("/packs/{id}", WriteSchedule, "Change a pack", edit::<Packs>)
            .takes::<PackInput>()
            .gives::<PackEnvelope>(),
        delete("/packs/{name}", WriteSchedule, "Delete a pack and its schedule by name", delete_named::<Packs>),
        get("/schedule", ReadPacks, "List the global schedule", scheduled::global)
            .note("The same as `GET global/schedule`.")
            .parameters(list_parameters())
            .gives::<GlobalSchedule>(),
        post("/schedule", WriteSchedule, "Schedule a query in a pack, or on all hosts", scheduled::add_anywhere)
            .note("With `pack_id` the same as `POST packs/schedule`, without it as `POST global/schedule`.")
            .takes::<ScheduledInput>()
            .gives::<ScheduledEnvelope>(),
        get("/schedule/{id}", ReadPacks, "Get a scheduled query", scheduled::by_id).gives::<ScheduledEnvelope>(),
        patch("/schedule/{id}", WriteSchedule, "Change a scheduled query", scheduled::edit)
            .takes::<ScheduledInput>()
            .gives::<ScheduledEnvelope>(),
        delete("/schedule/{id}", WriteSchedule, "Remove a query from its schedule", scheduled::delete),
        get("/global/schedule", ReadPacks, "List the global schedule", scheduled::global)
            .note("All hosts run the global schedule; agents see it as the pack `Global`.")
            .parameters(list_parameters())
            .gives::<GlobalSchedule>(),
        post("/global/schedule", WriteSchedule, "Schedule a query on all hosts", scheduled::add_global)
            .takes::<ScheduledInput>()
            .gives::<ScheduledEnvelope>(),
        patch("/global/schedule/{id}", WriteSchedule, "Change a query of the global schedule", scheduled::edit_global)
            .takes::<ScheduledInput>()
            .gives::<ScheduledEnvelope>(),
        delete(
            "/global/schedule/{id}",
            WriteSchedule,
            "Remove a query from the global schedule",
            scheduled::delete_global,
        ),
    ]
}

fn rollout_operations() -> Vec<Operation> {
    vec![
        get("/rollouts", ReadPacks, "List rollouts", rollouts::list)
            .note("The latest 200, the newest first, without gates and decisions. A rollout begins with a document of this kind.")
            .gives::<RolloutList>(),
        get("/rollouts/{name}", ReadPacks, "Get how far a rollout is", rollouts::status)
            .note("The latest of this name, with its gates as they are now, and what was decided.")
            .gives::<RolloutEnvelope>(),
        post("/rollouts/{name}/pause", WriteSchedule, "Stay in the stage that a rollout is in", rollouts::pause)
            .note("Its gates are watched all the same. Rollouts of options need the role admin, here and below.")
            .gives::<RolloutEnvelope>(),
        post("/rollouts/{name}/resume", WriteSchedule, "Go on with a rollout that is paused", rollouts::resume)
            .gives::<RolloutEnvelope>(),
        post("/rollouts/{name}/promote", WriteSchedule, "Begin the next stage of a rollout now", rollouts::promote)
            .note("From the last stage on, the change is made. Nothing is waited for; the gates of the next stage are watched.")
            .gives::<RolloutEnvelope>(),
        post("/rollouts/{name}/abort", WriteSchedule, "Serve all hosts the old version again", rollouts::abort)
            .gives::<RolloutEnvelope>(),
    ]
}

fn statistics() -> Vec<Operation> {
    vec![
        get("/statistics/queries", ReadPacks, "List what scheduled queries cost the fleet", statistics::queries)
            .note("Today and yesterday (UTC), those that cost most first.")
            .gives::<FleetCosts>(),
        get("/statistics/query", ReadPacks, "Get what a scheduled query costs over time", statistics::query)
            .note("By hour for spans of two days at most, otherwise by day. Percentiles are within two percent.")
            .parameters(statistics::query_parameters())
            .gives::<QueryCostReport>(),
        get(
            "/statistics/denylist",
            ReadPacks,
            "List the scheduled queries that agents do not run",
            statistics::denylist,
        )
        .note("Agents refuse a query for a day after it has stopped their worker.")
        .parameters(statistics::denylist_parameters())
        .gives::<Denylist>(),
        get("/statistics/restarts", ReadPacks, "List the workers of agents that were replaced", statistics::restarts)
            .note("Without those of hosts that were restarted themselves.")
            .parameters(statistics::event_parameters())
            .gives::<WorkerRestarts>(),
        get(
            "/statistics/stalled",
            ReadHosts,
            "List hosts that check in and run no scheduled query",
            statistics::stalled,
        )
        .gives::<StalledHosts>(),
        get("/statistics/hosts", ReadHosts, "Get how many hosts there were over time", statistics::hosts)
            .note("By hour for the last week, otherwise by day.")
            .parameters(statistics::span_parameters())
            .gives::<FleetCounts>(),
    ]
}

fn schema_operations() -> Vec<Operation> {
    vec![
        get("/schema", ReadQueries, "List the tables and columns that agents have", schema::of_fleet)
            .note("A few hosts of each platform and version of osquery are asked. Labels and hosts need the rights to read these.")
            .parameters(schema::parameters())
            .gives::<FleetSchema>(),
    ]
}
