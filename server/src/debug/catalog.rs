//! The items, and the list of them.

use std::fmt::Write as _;

use actix_web::dev::ServiceResponse;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Route};
use serde::Serialize;

use super::caller::{DebugCaller, NODE_HEADER};
use super::refusal::{DebugAnswer, Refusal};
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
    Item {
        path: "requests",
        shows: "requests and tasks under way, and what each waits for",
        route: activity::requests,
    },
    Item { path: "waits", shows: "how long was waited for what, and pools", route: activity::waits },
    Item { path: "pprof/goroutine", shows: "requests as text", route: activity::requests_text },
    Item { path: "pprof/block", shows: "waits as text", route: activity::waits_text },
    Item { path: "pprof/mutex", shows: "waits as text", route: activity::waits_text },
    Item {
        path: "pprof/trace",
        shows: "requests, tasks and waits of some seconds, for a trace viewer",
        route: activity::trace,
    },
    Item { path: "errors", shows: "warnings and errors, grouped", route: logs::errors },
    Item { path: "logs", shows: "the latest lines of the log", route: logs::latest },
    Item { path: "log-level", shows: "which lines are logged", route: logs::level },
    Item {
        path: "db/locks",
        shows: "statements that wait for row locks, and who holds them",
        route: || web::get().to(database::locks),
    },
    Item {
        path: "db/innodb-status",
        shows: "InnoDB's status, without values",
        route: || web::get().to(database::innodb_status),
    },
    Item {
        path: "db/process-list",
        shows: "connections to the database",
        route: || web::get().to(database::process_list),
    },
    Item {
        path: "db/statements",
        shows: "statements that take most time",
        route: || web::get().to(database::statements),
    },
    Item {
        path: "db/settings",
        shows: "the database's version, settings and figures",
        route: || web::get().to(database::settings),
    },
    Item { path: "db/tables", shows: "rows and bytes of each table", route: || web::get().to(database::tables) },
    Item { path: "redis/info", shows: "INFO of each Redis", route: || web::get().to(redis::info) },
    Item {
        path: "redis/slowlog",
        shows: "slow commands of Redis, without arguments",
        route: || web::get().to(redis::slow_log),
    },
    Item { path: "redis/streams", shows: "keys of Muster in Redis by kind", route: || web::get().to(redis::streams) },
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
    Err(Refusal::NotHere("profiles name their functions; addresses are not looked up".to_owned()))
}

async fn no_such_item(_: DebugCaller) -> DebugAnswer {
    Err(Refusal::BadParameter("no such item; GET /debug/ lists them".to_owned()))
}
