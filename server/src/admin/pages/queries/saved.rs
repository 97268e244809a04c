//! Saved queries.

use actix_web::web::Data;
use maud::{Markup, html};
use muster_api::rest::{FleetQueryCost, Query};

use super::tabs;
use crate::admin::AdminApi;
use crate::admin::pages::answer::{Page, PageAnswer};
use crate::admin::pages::history;
use crate::admin::pages::overview::cost_table;
use crate::admin::pages::parts::{ago, cut, link, shown};
use crate::admin::pages::visit::{PageId, Visit};
use crate::fleet::access::Permission;
use crate::fleet::changes::ObjectKind;
use crate::fleet::listing::{ListOrder, Listing};
use crate::fleet::queries::Queries;
use crate::fleet::resource::Resource as _;

/// Queries of a page.
const ROWS: u64 = 50;

/// Schedules of a query on its page.
const SCHEDULES: usize = 50;

/// Packs of a query in the list.
const PACKS: usize = 3;

pub(in crate::admin::pages) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |fleet, visit| async move {
        let text = visit.look.parameter("query").unwrap_or_default();
        let offset = visit.look.offset();
        let (order, limit) = (ListOrder::Name, Some(ROWS + 1));
        let listing = Listing { text: text.clone(), order, offset, limit, ..Listing::default() };
        let mut queries = Queries::of(&fleet).list_without_costs(&visit.principal, &listing).await?;
        let has_more = queries.len() as u64 > ROWS;
        queries.truncate(usize::try_from(ROWS).unwrap_or(usize::MAX));
        let address = |from: u64| {
            let from = if from == 0 { String::new() } else { from.to_string() };
            link("queries/saved", &[("query", &text), ("from", &from)])
        };
        let main = html! {
            div.title {
                div { h1 { "Queries" } p.state { "SQL with a name, which packs schedule and people run." } }
                @if visit.may(Permission::WriteSchedule) {
                    div.actions { a.button.primary href="queries/new" { "New query" } }
                }
            }
            (tabs(&visit, "saved"))
            form.find action="queries/saved" method="get" {
                input type="search" name="query" value=(text) placeholder="Name" aria-label="Name";
                button { "Filter" }
            }
            section.card.flush {
                @if queries.is_empty() {
                    div.empty { h2 { "No saved query" } p { "Save one here, or with " code { "fleetctl apply -f FILE" } "." } }
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

/// One saved query, and what it costs where it is scheduled.
pub(in crate::admin::pages) async fn query(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        let (query, schedules) = Queries::of(&fleet).with_schedules(&visit.principal, *id).await?;
        let costs = match schedules.is_empty() {
            true => None,
            false => Some(fleet.statistics.recent_fleet_costs(&visit.principal).await?),
        };
        let is_its_own =
            |cost: &&FleetQueryCost| schedules.iter().any(|(pack, name)| *pack == cost.pack && *name == cost.name);
        let costs: Vec<&FleetQueryCost> =
            costs.iter().flat_map(|costs| &costs.queries).filter(is_its_own).take(SCHEDULES).collect();
        let history = history::latest(&fleet, &visit, (ObjectKind::Query, *id)).await?;
        let warnings = Queries::of(&fleet).guard_says(&visit.principal, &query).await;
        let main = html! {
            (head(&visit, &query))
            @for warning in &warnings { p.warning { (shown(&warning.reason)) } }
            section.card { h2 { "SQL" } pre tabindex="0" { (cut(&query.query, 20_000)) } }
            @if visit.may(Permission::ReadPacks) {
                section.card.flush {
                    div.card-head { h2 { "What it costs where it is scheduled" } }
                    @if costs.is_empty() { div.empty { p { "No host has run it since yesterday." } } }
                    @else { div.scroll { (cost_table(costs.into_iter())) } }
                }
            }
            (facts(&visit, &query))
            (history)
        };
        Ok(Page::new(query.name.chars().take(80).collect::<String>(), main))
    })
    .await
}

fn head(visit: &Visit, query: &Query) -> Markup {
    let is_closed = visit.why_closed(Permission::RunLiveQueries).is_some();
    let may_run = !is_closed && (query.observer_can_run || visit.has(Permission::RunLiveQueries));
    html! {
        div.title {
            div {
                p.crumb { a href="queries/saved" { "Saved queries" } }
                h1 { (cut(&query.name, 200)) }
                @if !query.description.is_empty() { p.state { (cut(&query.description, 1_000)) } }
            }
            div.actions {
                @if may_run { a.button.primary href=(link("live", &[("saved", &query.name)])) { "Run now" } }
                @if visit.may(Permission::WriteSchedule) {
                    a.button href={ "queries/" (query.id) "/edit" } { "Edit" }
                    a.button.danger href={ "queries/" (query.id) "/delete" } { "Delete" }
                }
            }
        }
    }
}

fn facts(visit: &Visit, query: &Query) -> Markup {
    let author = if query.author_name.is_empty() { &query.author_email } else { &query.author_name };
    html! {
        section.card {
            dl.facts {
                dt { "Author" }
                dd { @if author.is_empty() { span.muted { "gone" } } @else { (shown(author)) } }
                dt { "Changed" }
                dd { (ago(query.updated_at, visit.look.now)) }
                dt { "Saved" }
                dd { (ago(query.created_at, visit.look.now)) }
                dt { "Observers" }
                dd { @if query.observer_can_run { "may run it" } @else { "may not run it" } }
                @if !query.packs.is_empty() {
                    dt { "Packs" }
                    dd.chips {
                        @for pack in &query.packs { a.chip href={ "packs/" (pack.id) } { (cut(&pack.name, 60)) } }
                    }
                }
            }
        }
    }
}
