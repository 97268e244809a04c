//! What this server is.

use actix_web::web::Data;
use maud::html;

use super::answer::{Page, PageAnswer};
use super::layout::role;
use super::overview::log_sink;
use super::parts::shown;
use super::visit::Visit;
use crate::admin::AdminApi;
use crate::fleet::access::Permission;
use crate::fleet::logs::LogStream;

pub(super) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    let starts = api.pages.prefix.to_string();
    api.page(visit, move |fleet, visit| async move {
        visit.principal.may(Permission::ReadHosts)?;
        let sinks = [("Result log", LogStream::Result), ("Status log", LogStream::Status)];
        let main = html! {
            div.title { div { h1 { "About" } p.state { "Muster, a management server for osquery." } } }
            div.grid {
                section.card {
                    h2 { "This node" }
                    dl.facts {
                        dt { "Version" } dd { (crate::VERSION) }
                        dt { "Id" } dd { code { (shown(fleet.node.id())) } }
                        dt { "Leader" }
                        dd {
                            @if fleet.node.is_leader() { "yes: it does what one node does for all" } @else {
                                "another node"
                            }
                        }
                        dt { "Cluster" }
                        dd {
                            @if fleet.node.is_clustered() { "one of several nodes that share Redis" } @else {
                                "a single node"
                            }
                        }
                        @for (name, stream) in sinks {
                            dt { (name) }
                            dd { (log_sink(&visit, fleet.logs.check(stream).as_ref().err())) }
                        }
                    }
                }
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
                        dt { code { "/" } } dd { "Find a host" }
                        dt { code { "g h" } }
                        dd { "Go to hosts; " code { "g" } " and the first letter of another page goes there" }
                    }
                }
            }
        };
        Ok(Page::new("About", main))
    })
    .await
}
