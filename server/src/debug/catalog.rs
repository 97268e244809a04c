//! The items, and the list of them.

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpResponse, Route};
use serde::Serialize;

use super::DebugApi;
use super::caller::{DebugCaller, NODE_HEADER};
use super::refusal::{DebugAnswer, Refusal};
use super::{database, redis};

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

/// Adds them.
pub(super) fn routes(services: &mut ServiceConfig) {
    for item in ITEMS {
        services.route(&format!("/{}", item.path), (item.route)());
    }
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
