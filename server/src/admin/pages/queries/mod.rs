//! What queries cost: scheduled ones by their cost, and saved ones.

mod cost;
mod edit;
mod saved;

pub(super) use self::cost::page as cost_page;
pub(super) use self::edit::{create, delete, delete_page, edit, edit_page, new_page};
pub(super) use self::saved::{page as saved_page, query as saved_query};

use actix_web::web::Data;
use maud::{Markup, html};
use muster_api::rest::FleetQueryCost;

use super::answer::{Page, PageAnswer};
use super::overview::cost_table_with_trends;
use super::parts::{count, cpu_per_day, link, plural};
use super::visit::Visit;
use crate::admin::AdminApi;
use crate::fleet::access::Permission;
use crate::fleet::names::has_part;

/// Queries of a page.
const ROWS: usize = 50;

/// An order of the list: its word in addresses, what it is called, and the value by which it goes, the highest first.
type CostSort = (&'static str, &'static str, fn(&FleetQueryCost) -> f64);

const SORTS: [CostSort; 4] = [
    ("", "CPU a day", |query| query.cpu_seconds_per_day),
    ("p95", "p95 a run", |query| query.cost.cpu_time.map_or(-1.0, |cpu| cpu.p95)),
    ("hosts", "Hosts", |query| super::overview::number_of(query.cost.hosts)),
    ("denylisted", "Denylisted", |query| super::overview::number_of(query.denylisted_hosts)),
];

/// Scheduled queries by what they cost the fleet; saved queries for users who may not read packs.
pub(super) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    if !visit.may(Permission::ReadPacks) {
        return saved::page(api, visit).await;
    }
    api.page(visit, |fleet, visit| async move {
        let costs = fleet.statistics.recent_fleet_costs(&visit.principal).await?;
        let trends = fleet.statistics.recent_trends(&visit.principal).await?;
        let text = visit.look.parameter("query").unwrap_or_default();
        let word = visit.look.parameter("sort").unwrap_or_default();
        let sort = SORTS.iter().find(|(known, ..)| *known == word).unwrap_or(&SORTS[0]);
        let start = usize::try_from(visit.look.offset()).unwrap_or(usize::MAX / 2);
        let has_text = |query: &&FleetQueryCost| {
            has_part(&query.name, &text) || has_part(&query.pack, &text)
        };
        let mut found: Vec<&FleetQueryCost> = costs.queries.iter().filter(has_text).collect();
        found.sort_by(|a, b| (sort.2)(b).total_cmp(&(sort.2)(a)));
        let per_day: f64 = costs.queries.iter().map(|query| query.cpu_seconds_per_day).sum();
        let denylisted = costs.queries.iter().filter(|query| query.denylisted_hosts > 0).count();
        let all = plural(costs.queries.len() as u64, "scheduled query", "scheduled queries");
        let state = match costs.queries.is_empty() {
            true => "What scheduled queries cost the fleet.".to_owned(),
            false => {
                format!("{all} cost the fleet {} a day. {} denylisted.", cpu_per_day(per_day), count(denylisted as u64))
            }
        };
        let address = |sort: &str, from: usize| {
            let from = if from == 0 { String::new() } else { from.to_string() };
            link("queries", &[("query", &text), ("sort", sort), ("from", &from)])
        };
        let main = html! {
            div.title { div { h1 { "Queries" } p.state { (state) } } }
            (tabs(&visit, ""))
            div.row {
                form.find action="queries" method="get" {
                    input type="search" name="query" value=(text) placeholder="Name of a query or pack" aria-label="Name";
                    input type="hidden" name="sort" value=(sort.0);
                    button { "Filter" }
                }
                div.chips {
                    span.muted.small { "Highest first:" }
                    @for (word, name, _) in &SORTS {
                        a.chip href=(address(word, 0)) aria-current=[(*word == sort.0).then_some("true")] { (name) }
                    }
                }
            }
            section.card.flush {
                @if found.is_empty() {
                    div.empty {
                        h2 { @if costs.queries.is_empty() { "No costs yet" } @else { "No query has this name" } }
                        @if costs.queries.is_empty() {
                            p {
                                "Each host tells once an hour what its scheduled queries cost. Queries stand here once one has."
                            }
                        }
                    }
                } @else {
                    div.scroll { (cost_table_with_trends(found.iter().skip(start).take(ROWS).copied(), &trends)) }
                    div.more {
                        @if start > 0 { a href=(address(sort.0, start.saturating_sub(ROWS))) { "Before" } } @else {
                            span.muted { "Today and yesterday (UTC)" }
                        }
                        @if found.len() > start + ROWS {
                            a.button href=(address(sort.0, start + ROWS)) { "Next " (ROWS) }
                        }
                    }
                }
            }
        };
        Ok(Page::new("Queries", main))
    })
    .await
}

/// The pages of queries.
fn tabs(visit: &Visit, page: &str) -> Markup {
    html! {
        @if visit.may(Permission::ReadPacks) {
            nav.tabs aria-label="Pages of queries" {
                @for (word, name, address) in [("", "Scheduled, by cost", "queries"), ("saved", "Saved", "queries/saved")] {
                    a href=(address) aria-current=[(word == page).then_some("page")] { (name) }
                }
            }
        }
    }
}
