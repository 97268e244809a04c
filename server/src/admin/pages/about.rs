//! What this server is: its nodes, what it stands on, how its periodic tasks went, and which limits have bitten.

use std::collections::BTreeMap;

use actix_web::web::Data;
use maud::{Markup, html};

use super::answer::{Page, PageAnswer};
use super::layout::{keys, role};
use super::overview::log_sink;
use super::parts::{Tone, ago, badge, cut, milliseconds, plural, shown, whole};
use super::visit::Visit;
use crate::admin::AdminApi;
use crate::fleet::access::Permission;
use crate::fleet::logs::LogStream;
use crate::fleet::{Fleet, ServerParts, TaskRun};

/// Metrics that the page shows.
const LIMITS: &str = "muster_limit_hits_total";
const REDIS_IS_UP: &str = "muster_redis_up";

/// What users who may read the config learn besides.
struct ServerInside {
    parts: ServerParts,
    /// Whether Redis answered the last command; `None` without Redis.
    redis_is_up: Option<bool>,
    tasks: Vec<(&'static str, TaskRun)>,
    /// How often each limit has refused or cut something since this node was started.
    limits: BTreeMap<String, f64>,
}

pub(super) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    let (starts, metrics) = (api.pages.prefix.to_string(), api.metrics.clone());
    api.page(visit, move |fleet, visit| async move {
        visit.principal.may(Permission::ReadHosts)?;
        let inside = match visit.may(Permission::ReadConfig) {
            false => None,
            true => {
                let parts = fleet.server_parts(&visit.principal).await?;
                let redis_is_up = metrics.values(REDIS_IS_UP).into_values().next().map(|up| up > 0.0);
                let tasks = fleet.task_runs.latest();
                Some(ServerInside { parts, redis_is_up, tasks, limits: metrics.values(LIMITS) })
            }
        };
        let state = match &inside {
            None => "Muster, a management server for osquery.".to_owned(),
            Some(inside) => sentence(inside),
        };
        let main = html! {
            div.title { div { h1 { "About" } p.state { (state) } } }
            div.grid {
                (node(&fleet, &visit))
                (programs(&visit, &starts))
            }
            @if let Some(inside) = &inside {
                div.grid {
                    (nodes(&fleet, &visit, inside))
                    (limits(inside))
                }
                (tasks(&visit, inside))
            }
        };
        Ok(Page::new("About", main))
    })
    .await
}

/// One sentence that says how the server is.
fn sentence(inside: &ServerInside) -> String {
    let failed = inside.tasks.iter().filter(|(_, run)| run.failure.is_some()).count() as u64;
    let limits = inside.limits.values().filter(|hits| **hits > 0.0).count() as u64;
    let nodes = plural(inside.parts.nodes.len() as u64, "node", "nodes");
    let tasks = match failed {
        0 => "every task went well".to_owned(),
        failed => format!("{} failed", plural(failed, "task", "tasks")),
    };
    let limits = match limits {
        0 => "no limit was reached".to_owned(),
        limits => format!("{} reached", plural(limits, "limit was", "limits were")),
    };
    let versions = match has_other_version(inside) {
        true => " of different versions",
        false => "",
    };
    format!("Muster {}: {nodes}{versions}; {tasks}; {limits}.", crate::VERSION)
}

/// Whether a node runs another version than this one, as during an upgrade, or one that does not say which.
fn has_other_version(inside: &ServerInside) -> bool {
    inside.parts.nodes.iter().any(|node| node.version.as_deref() != Some(crate::VERSION))
}

fn node(fleet: &Fleet, visit: &Visit) -> Markup {
    let sinks = [("Result log", LogStream::Result), ("Status log", LogStream::Status)];
    html! {
        section.card {
            h2 { "This node" }
            dl.facts {
                dt { "Version" } dd { (crate::VERSION) }
                dt { "Id" } dd { code { (shown(fleet.node.id())) } }
                dt { "Leader" }
                dd { @if fleet.node.is_leader() { "yes: it does what one node does for all" } @else { "another node" } }
                dt { "Cluster" }
                dd {
                    @if fleet.node.is_clustered() { "one of several nodes that share Redis" } @else { "a single node" }
                }
                @for (name, stream) in sinks {
                    dt { (name) }
                    dd { (log_sink(visit, fleet.logs.check(stream).as_ref().err())) }
                }
            }
        }
    }
}

fn programs(visit: &Visit, starts: &str) -> Markup {
    html! {
        section.card {
            h2 { "For programs" }
            dl.facts {
                dt { "REST" }
                dd { a href="api/v1/fleet/openapi.json" { "Description (OpenAPI)" } ", with a bearer token" }
                dt { "Metrics" } dd { a href="metrics" { "Prometheus" } }
                dt { "Readiness" } dd { a href="readyz" { code { (starts) "/readyz" } } }
                dt { "You are" }
                dd { (shown(&visit.principal.user.email)) ", " (role(visit.principal.user.global_role)) }
            }
            h2 { "Keys" }
            dl.facts {
                dt { code { "Ctrl K" } } dd { "Go to a page, host, query, pack or label" }
                dt { code { "/" } } dd { "Find a host" }
                @for (key, word) in keys(visit) { dt { code { "g " (key) } } dd { (word) } }
            }
        }
    }
}

fn nodes(fleet: &Fleet, visit: &Visit, inside: &ServerInside) -> Markup {
    html! {
        section.card {
            h2 { "Nodes and what they stand on" }
            dl.facts {
                dt { "Database" } dd { (cut(&inside.parts.database, 120)) }
                dt { "Redis" }
                dd { @match inside.redis_is_up {
                    None => "not used: one node keeps live queries in files",
                    Some(true) => (badge(Tone::Good, "Answers")),
                    Some(false) => (badge(Tone::Bad, "Does not answer")),
                } }
            }
            @if inside.parts.nodes.is_empty() {
                p.muted { "No node has told yet that it is alive: each does within a minute of its start." }
            } @else {
                div.scroll { table {
                    thead { tr { th { "Node" } th { "Version" } th { "Leader" } th { "Last heard of" } } }
                    tbody { @for node in &inside.parts.nodes { tr {
                        td { code { (cut(&node.id, 60)) } @if node.id == fleet.node.id() { " " span.muted { "this node" } } }
                        td { (version(node.version.as_deref())) }
                        td { @if node.is_leader { "yes" } @else { span.muted { "–" } } }
                        td { @match node.alive_at {
                            Some(at) => (ago(at.to_utc(), visit.look.now)),
                            None => span.muted { "an older version does not say" },
                        } }
                    } } }
                } }
                @if has_other_version(inside) {
                    p.warning { "Nodes run different versions: finish the upgrade soon. What is new works once all nodes know it." }
                }
            }
        }
    }
}

/// The version of a node, marked if it is not that of this one.
fn version(version: Option<&str>) -> Markup {
    html! {
        @match version {
            Some(crate::VERSION) => (crate::VERSION),
            Some(other) => { (cut(other, 40)) " " (badge(Tone::Attention, "Differs")) },
            None => (badge(Tone::Attention, "Older")),
        }
    }
}

fn limits(inside: &ServerInside) -> Markup {
    let reached = inside.limits.iter().filter(|(_, hits)| **hits > 0.0);
    let mut reached: Vec<(&String, f64)> = reached.map(|(limit, hits)| (limit, *hits)).collect();
    reached.sort_by(|one, other| other.1.total_cmp(&one.1));
    html! {
        section.card {
            h2 { "Limits that were reached" }
            @if reached.is_empty() {
                p.muted { "None on this node since it was started. A limit that refuses or cuts something counts here, and in the metrics." }
            } @else {
                div.scroll { table {
                    thead { tr { th { "Limit" } th.n { "Times" } } }
                    tbody { @for (limit, hits) in reached { tr {
                        td { code { (cut(limit, 80)) } }
                        td.n { (whole(hits)) }
                    } } }
                } }
            }
        }
    }
}

fn tasks(visit: &Visit, inside: &ServerInside) -> Markup {
    html! {
        section.card.flush {
            div.card-head { h2 { "Periodic tasks of this node" } span.muted { "The leader does some of them for all nodes" } }
            @if inside.tasks.is_empty() {
                div.empty { p { "No task has run yet: the first do within seconds of the start." } }
            } @else {
                div.scroll { table.page-table {
                    thead { tr { th { "Task" } th { "Outcome" } th { "Last run" } th.n.wide-only { "Took" } } }
                    tbody { @for (task, run) in &inside.tasks { tr {
                        td { (task.replace('_', " ")) }
                        td { @match &run.failure {
                            None => (badge(Tone::Good, "Done")),
                            Some(failure) => { (badge(Tone::Bad, "Failed")) " " span.muted { (cut(failure, 300)) } },
                        } }
                        td { (ago(run.ended_at.to_utc(), visit.look.now)) }
                        td.n.wide-only { (milliseconds(run.took.as_secs_f64() * 1000.0)) }
                    } } }
                } }
            }
        }
    }
}
