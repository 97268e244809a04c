//! Saved queries.

use actix_web::web::{Data, Path};
use maud::{Markup, html};
use muster_api::rest::Query;

use super::tabs;
use crate::admin::AdminApi;
use crate::admin::pages::answer::{Page, PageAnswer};
use crate::admin::pages::parts::{ago, count, cut, impact_badge, link, milliseconds, plural, shown};
use crate::admin::pages::visit::Visit;
use crate::fleet::access::Permission;
use crate::fleet::listing::{ListOrder, Listing};
use crate::fleet::queries::Queries;
use crate::fleet::resource::Resource as _;

/// Queries of a page.
const ROWS: u64 = 50;

/// Packs of a query in the list.
const PACKS: usize = 3;

pub(in crate::admin::pages) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |fleet, visit| async move {
        let text = visit.look.parameter("query").unwrap_or_default();
        let offset: u64 = visit.look.parameter("from").and_then(|from| from.parse().ok()).unwrap_or(0);
        let listing =
            Listing { text: text.clone(), order: ListOrder::Name, is_descending: false, offset, limit: Some(ROWS + 1) };
        let mut queries = Queries::of(&fleet).list_without_costs(&visit.principal, &listing).await?;
        let has_more = queries.len() as u64 > ROWS;
        queries.truncate(usize::try_from(ROWS).unwrap_or(usize::MAX));
        let address = |from: u64| {
            let from = if from == 0 { String::new() } else { from.to_string() };
            link("queries/saved", &[("query", &text), ("from", &from)])
        };
        let main = html! {
            div.title { div { h1 { "Queries" } p.state { "SQL with a name, which packs schedule and people run." } } }
            (tabs(&visit, "saved"))
            form.row action="queries/saved" method="get" {
                input type="search" name="query" value=(text) placeholder="Name" aria-label="Name";
                button { "Filter" }
            }
            section.card.flush {
                @if queries.is_empty() {
                    div.empty { h2 { "No saved query" } p { "Save one with " code { "fleetctl apply -f FILE" } "." } }
                } @else {
                    div.scroll { (table(&queries)) }
                    div.more {
                        @if offset > 0 { a href=(address(offset.saturating_sub(ROWS))) { "Before" } } @else { span {} }
                        @if has_more { a.button href=(address(offset + ROWS)) { "Next " (ROWS) } }
                    }
                }
            }
        };
        Ok(Page::new("Saved queries", main))
    })
    .await
}

fn table(queries: &[Query]) -> Markup {
    html! {
        table.page-table {
            thead { tr { th { "Query" } th.wide-only { "Description" } th { "Packs" } th.wide-only { "Observers" } } }
            tbody { @for query in queries { tr {
                td.name { a href={ "queries/" (query.id) } { (cut(&query.name, 80)) } }
                td.wide-only { (cut(&query.description, 120)) }
                td { div.chips {
                    @for pack in query.packs.iter().take(PACKS) {
                        a.chip href={ "packs/" (pack.id) } { (cut(&pack.name, 30)) }
                    }
                    @if query.packs.len() > PACKS { span.muted { "and " (query.packs.len() - PACKS) " more" } }
                } }
                td.wide-only { @if query.observer_can_run { "may run it" } @else { span.muted { "–" } } }
            } } }
        }
    }
}

/// One saved query.
pub(in crate::admin::pages) async fn query(api: Data<AdminApi>, visit: Visit, id: Path<i64>) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        let query = Queries::of(&fleet).by_id(&visit.principal, *id).await?;
        let may_run = query.observer_can_run || visit.may(Permission::RunLiveQueries);
        let author = if query.author_name.is_empty() { &query.author_email } else { &query.author_name };
        let main = html! {
            div.title {
                div {
                    p.crumb { a href="queries/saved" { "Saved queries" } }
                    h1 { (cut(&query.name, 200)) }
                    @if !query.description.is_empty() { p.state { (cut(&query.description, 1_000)) } }
                }
                @if may_run {
                    div.actions { a.button.primary href=(link("live", &[("saved", &query.name)])) { "Run now" } }
                }
            }
            section.card { h2 { "SQL" } pre { (cut(&query.query, 20_000)) } }
            div.grid {
                section.card {
                    h2 { "What it costs where it is scheduled" }
                    @match &query.stats {
                        None => p.muted { "No host has run it since yesterday." },
                        Some(stats) => dl.facts {
                            dt { "Impact" } dd { (impact_badge(stats.impact)) }
                            @if let (Some(p50), Some(p95)) = (stats.cpu_time_p50, stats.cpu_time_p95) {
                                dt { "CPU a run" }
                                dd { (milliseconds(p50)) " (p50), " (milliseconds(p95)) " (p95)" }
                            }
                            dt { "Runs" }
                            dd { (count(stats.total_executions)) " on " (plural(stats.hosts, "host", "hosts")) }
                            dt { "Denylisted" } dd { "on " (plural(stats.denylisted_hosts, "host", "hosts")) }
                        },
                    }
                }
                section.card {
                    dl.facts {
                        dt { "Author" } dd { @if author.is_empty() { span.muted { "gone" } } @else { (shown(author)) } }
                        dt { "Changed" } dd { (ago(query.updated_at, visit.look.now)) }
                        dt { "Saved" } dd { (ago(query.created_at, visit.look.now)) }
                        dt { "Observers" } dd { @if query.observer_can_run { "may run it" } @else { "may not run it" } }
                        @if !query.packs.is_empty() {
                            dt { "Packs" }
                            dd.chips {
                                @for pack in &query.packs {
                                    a.chip href={ "packs/" (pack.id) } { (cut(&pack.name, 60)) }
                                }
                            }
                        }
                    }
                }
            }
        };
        Ok(Page::new(query.name.chars().take(80).collect::<String>(), main))
    })
    .await
}
