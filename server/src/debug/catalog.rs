//! The items, and the list of them.

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Route};
use serde::Serialize;

use super::caller::{DebugCaller, NODE_HEADER};
use super::refusal::{DebugAnswer, Refusal};
use super::{DebugApi, activity, logs};

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
];

/// Adds them.
pub(super) fn routes(services: &mut ServiceConfig) {
    for item in ITEMS {
        services.route(&format!("/{}", item.path), (item.route)());
    }
    services.route("/log-level", logs::change_level());
    for list in ["", "/"] {
        services.route(list, web::get().to(list_items));
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
    let node = api.fleet.node.id();
    Ok(HttpResponse::Ok().insert_header((NODE_HEADER, node)).json(Catalog { node, items: ITEMS }))
}

async fn no_such_item(_: DebugCaller) -> DebugAnswer {
    Err(Refusal::BadParameter("no such item; GET /debug/ lists them".to_owned()))
}
