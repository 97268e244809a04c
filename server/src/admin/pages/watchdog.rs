//! What agents have stopped, whose workers were replaced, and which hosts stand still.

use actix_web::web::Data;
use maud::{Markup, html};
use muster_api::rest::{Denylisted, StalledHost, WorkerRestart};

use super::answer::{Page, PageAnswer};
use super::overview::{query_name, restart_line};
use super::parts::{Tone, ago, badge, cut, link, plural};
use super::visit::Visit;
use crate::admin::AdminApi;
use crate::fleet::access::Permission;
use crate::fleet::statistics::DenylistFilter;

/// Rows of a page of what is denylisted.
const ROWS: u64 = 50;

/// Restarts that are shown.
const RESTARTS: u64 = 30;

/// Hosts that stand still and are shown.
const STALLED: usize = 50;

/// What an address asks for.
struct WatchdogAddress {
    pack: String,
    name: String,
    with_lifted: bool,
    page: u64,
}

impl WatchdogAddress {
    fn of(visit: &Visit) -> Self {
        let text = |name| visit.look.parameter(name).unwrap_or_default();
        Self {
            pack: text("pack"),
            name: text("name"),
            with_lifted: text("lifted") == "true",
            page: text("page").parse().unwrap_or(0).min(100_000),
        }
    }

    fn link(&self, page: u64, with_lifted: bool) -> String {
        let page = if page == 0 { String::new() } else { page.to_string() };
        let lifted = if with_lifted { "true" } else { "" };
        link("watchdog", &[("pack", &self.pack), ("name", &self.name), ("lifted", lifted), ("page", &page)])
    }
}

pub(super) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |fleet, visit| async move {
        let (by, address) = (&visit.principal, WatchdogAddress::of(&visit));
        let stalled = fleet.statistics.stalled(by).await?.hosts;
        let events = match visit.may(Permission::ReadPacks) {
            false => None,
            true => {
                let filter = DenylistFilter {
                    host_id: None,
                    query: (!address.name.is_empty()).then(|| (address.pack.clone(), address.name.clone())),
                    with_released: address.with_lifted,
                };
                let denylist = fleet.statistics.denylist(by, &filter, address.page * ROWS, ROWS + 1).await?.denylist;
                Some((denylist, fleet.statistics.restarts(by, 0, RESTARTS).await?.restarts))
            }
        };
        let main = html! {
            div.title { div {
                h1 { "Watchdog" }
                p.state {
                    @if events.is_some() {
                        "Queries that have stopped the worker of an agent, workers that were replaced, and hosts that run nothing."
                    } @else { "Hosts that check in and run nothing." }
                }
            } }
            @if let Some((denylist, restarts)) = &events {
                (denylist_table(&visit, &address, denylist))
                (restart_list(&visit, restarts))
            }
            (stalled_table(&visit, &stalled))
        };
        Ok(Page::new("Watchdog", main))
    })
    .await
}

fn denylist_table(visit: &Visit, address: &WatchdogAddress, events: &[Denylisted]) -> Markup {
    let rows = usize::try_from(ROWS).unwrap_or(usize::MAX);
    let all = WatchdogAddress { pack: String::new(), name: String::new(), ..*address };
    html! {
        section.card.flush {
            div.card-head {
                h2 { "Denylisted queries" }
                @if !address.name.is_empty() {
                    a.chip aria-current="true" href=(all.link(0, address.with_lifted)) {
                        (cut(&address.name, 60)) span aria-hidden="true" { "×" }
                    }
                }
                a.chip href=(address.link(0, !address.with_lifted)) aria-current=[address.with_lifted.then_some("true")] {
                    "With those lifted"
                }
            }
            @if events.is_empty() {
                div.empty {
                    h2 { "No query is denylisted" }
                    p {
                        "An agent refuses a query for a day after it has stopped the worker. Such queries stand here, with the hosts."
                    }
                }
            } @else {
                div.scroll { table.page-table {
                    thead { tr { th { "Query" } th { "Host" } th { "State" } th.wide-only { "Since" } } }
                    tbody { @for event in events.iter().take(rows) { tr {
                        td.name { (query_name(&event.pack, &event.name)) }
                        td {
                            a href={ "hosts/" (event.host_id) } {
                                @if event.hostname.is_empty() { "host " (event.host_id) } @else {
                                    (cut(&event.hostname, 60))
                                }
                            }
                        }
                        td { @match event.until {
                            None => (badge(Tone::Bad, "Denylisted")),
                            Some(until) => { (badge(Tone::Unknown, "Lifted")) " " (ago(until, visit.look.now)) },
                        } }
                        td.wide-only { (ago(event.since, visit.look.now)) }
                    } } }
                } }
                div.more {
                    @if address.page > 0 { a href=(address.link(address.page - 1, address.with_lifted)) { "Newer" } } @else {
                        span {}
                    }
                    @if events.len() > rows {
                        a.button href=(address.link(address.page + 1, address.with_lifted)) { "Older" }
                    }
                }
            }
        }
    }
}

fn restart_list(visit: &Visit, restarts: &[WorkerRestart]) -> Markup {
    html! {
        section.card #restarts {
            h2 { "Workers that were replaced" }
            @if restarts.is_empty() { p.muted { "No worker was replaced while Muster looked." } }
            @for restart in restarts { (restart_line(restart, visit.look.now)) }
        }
    }
}

fn stalled_table(visit: &Visit, hosts: &[StalledHost]) -> Markup {
    html! {
        section.card.flush #stalled {
            div.card-head { h2 { "Stalled hosts" } span.muted { (plural(hosts.len() as u64, "host", "hosts")) } }
            @if hosts.is_empty() {
                div.empty { p { "Every host that checks in runs its scheduled queries." } }
            } @else {
                div.scroll { table {
                    thead { tr { th { "Host" } th { "No query has run since" } } }
                    tbody { @for host in hosts.iter().take(STALLED) { tr {
                        td.name { a href={ "hosts/" (host.host_id) } { (cut(&host.hostname, 80)) } }
                        td { (ago(host.since, visit.look.now)) }
                    } } }
                } }
                @if hosts.len() > STALLED { div.more { span.muted { "and " (hosts.len() - STALLED) " more" } } }
            }
        }
    }
}
