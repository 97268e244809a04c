//! The items, and the list of them.

use std::fmt::Write as _;

use actix_web::dev::ServiceResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Route};
use serde::Serialize;

use super::caller::{DebugCaller, NODE_HEADER};
use super::refusal::{DebugAnswer, DebugRefusal};
use super::{
    DebugApi, activity, command_line, cpu_profile, database, heap, logs, node_state, redis, runtime, settings, threads,
};

/// An item that can be asked for.
#[derive(Debug, Serialize)]
pub(super) struct Item {
    /// Below `/debug/`.
    path: &'static str,
    /// What it shows.
    shows: &'static str,
    #[serde(skip)]
    route: fn() -> Route,
}

/// All items. One file per subject has the handlers.
const ITEMS: &[Item] = &[
    item(
        "pprof/profile",
        "CPU profile (?seconds=30, up to 120): gzipped protobuf for go tool pprof and other readers",
        || web::get().to(cpu_profile::profile),
    ),
    item("flamegraph", "CPU profile (?seconds=10, up to 120) as a picture (SVG)", || {
        web::get().to(cpu_profile::flame_graph)
    }),
    item("pprof/heap", "memory in use, by the stacks that allocated it: gzipped protobuf", || {
        web::get().to(heap::heap)
    }),
    item("pprof/allocs", "the same: what was freed is not noted", || web::get().to(heap::allocs)),
    item("threads", "threads: state, CPU time and what each waits in", || web::get().to(threads::list)),
    item("pprof/threadcreate", "the same as text", || web::get().to(threads::text)),
    item("pprof/cmdline", "arguments of the process, separated by NUL, without secrets", || {
        web::get().to(command_line::cmdline)
    }),
    item("pprof/symbol", "nothing: profiles name their functions", || web::to(no_symbols)),
    item("runtime", "version, start, memory, open files, CPU time and threads of the process", || {
        web::get().to(runtime::runtime)
    }),
    item("config", "all settings with the values in effect, without secrets", || web::get().to(settings::settings)),
    item("migrations", "how the schema of the database compares to this version", || {
        web::get().to(node_state::migrations)
    }),
    item("state", "sizes of what this node holds in memory, with their bounds", || web::get().to(node_state::figures)),
    item("nodes", "the nodes over this database", || web::get().to(node_state::nodes)),
    item("metrics", "the metrics in Prometheus' text format", || web::get().to(node_state::metrics)),
    item("db/locks", "statements that wait for row locks, and who holds them", || web::get().to(database::locks)),
    item("db/innodb-status", "InnoDB's status, without values", || web::get().to(database::innodb_status)),
    item("db/process-list", "connections to the database", || web::get().to(database::process_list)),
    item("db/statements", "statements that take most time", || web::get().to(database::statements)),
    item("db/settings", "the database's version, settings and figures", || web::get().to(database::settings)),
    item("db/tables", "rows and bytes of each table", || web::get().to(database::tables)),
    item("redis/info", "INFO of each Redis", || web::get().to(redis::info)),
    item("redis/slowlog", "slow commands of Redis, without arguments", || web::get().to(redis::slow_log)),
    item("redis/streams", "keys of Muster in Redis by kind", || web::get().to(redis::streams)),
    item("requests", "requests and tasks under way, and what each waits for", activity::requests),
    item("waits", "how long was waited for what, and pools", activity::waits),
    item("pprof/goroutine", "requests as text", activity::requests_text),
    item("pprof/block", "waits as text", activity::waits_text),
    item("pprof/mutex", "waits as text", activity::waits_text),
    item("pprof/trace", "requests, tasks and waits of some seconds, for a trace viewer", activity::trace),
    item("errors", "warnings and errors, grouped", logs::errors),
    item("logs", "the latest lines of the log", logs::latest),
    item("log-level", "which lines are logged", logs::level),
];

const fn item(path: &'static str, shows: &'static str, route: fn() -> Route) -> Item {
    Item { path, shows, route }
}

/// Names in an answer the node that gives it.
pub(super) fn with_node<B>(mut answer: ServiceResponse<B>) -> ServiceResponse<B> {
    let node = answer.request().app_data::<Data<DebugApi>>().map(|api| HeaderValue::from_str(api.fleet.node.id()));
    if let Some(Ok(node)) = node {
        answer.headers_mut().insert(HeaderName::from_static(NODE_HEADER), node);
    }
    answer
}

/// Adds them.
pub(super) fn routes(services: &mut ServiceConfig) {
    for item in ITEMS {
        services.route(&format!("/{}", item.path), (item.route)());
    }
    services.route("/log-level", logs::change_level());
    for list in ["", "/"] {
        services.route(list, web::get().to(list_items));
    }
    for list in ["/pprof", "/pprof/"] {
        services.route(list, web::get().to(list_profiles));
    }
    services.default_service(web::to(no_such_item));
}

/// The items, and which node answers.
async fn list_items(_: DebugCaller, api: Data<DebugApi>) -> DebugAnswer {
    #[derive(Serialize)]
    struct Catalog<'a> {
        node: &'a str,
        items: &'static [Item],
    }
    Ok(HttpResponse::Ok().json(Catalog { node: api.fleet.node.id(), items: ITEMS }))
}

/// The items that Go's tools look for, as text.
async fn list_profiles(_: DebugCaller) -> DebugAnswer {
    let mut text = String::from("/debug/pprof/\n\n");
    for (name, shows) in ITEMS.iter().filter_map(|item| Some((item.path.strip_prefix("pprof/")?, item.shows))) {
        let _ = writeln!(text, "{name:14} {shows}");
    }
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text))
}

/// Go's tools ask for names of addresses, which profiles have already.
async fn no_symbols(_: DebugCaller) -> DebugAnswer {
    Err(DebugRefusal::NotHere("profiles name their functions; addresses are not looked up".to_owned()))
}

async fn no_such_item(_: DebugCaller) -> DebugAnswer {
    Err(DebugRefusal::BadParameter("no such item; GET /debug/ lists them".to_owned()))
}
