//! Packs, and the queries that each schedules.

use actix_web::web::Data;
use maud::{Markup, html};
use muster_api::rest::{FleetCosts, Impact, LabelSummary, Pack};

use super::answer::{Page, PageAnswer};
use super::history;
use super::overview::query_link;
use super::parts::{Tone, ago, badge, count, cpu_per_day, cut, impact_badge, link, of_run, plural};
use super::visit::{PageId, Visit};
use crate::admin::AdminApi;
use crate::fleet::changes::ObjectKind;
use crate::fleet::labels::Labels;
use crate::fleet::listing::{ListOrder, Listing};
use crate::fleet::packs::Packs;
use crate::fleet::resource::Resource as _;
use crate::fleet::schedule::ScheduledQuery;

/// Packs, or scheduled queries, of a page.
const ROWS: u64 = 100;

/// The page of a list that an address asks for, with one row more than is shown.
pub(super) fn listing(visit: &Visit) -> Listing {
    Listing {
        text: visit.look.parameter("query").unwrap_or_default(),
        order: ListOrder::Name,
        offset: visit.look.offset(),
        limit: Some(ROWS + 1),
        ..Listing::default()
    }
}

/// Takes away the row that says that there are more, and gives the links to the pages before and behind.
pub(super) fn paged<T>(rows: &mut Vec<T>, page: &str, listing: &Listing) -> Markup {
    let has_more = rows.len() as u64 > ROWS;
    rows.truncate(usize::try_from(ROWS).unwrap_or(usize::MAX));
    let address = |from: u64| {
        let from = if from == 0 { String::new() } else { from.to_string() };
        link(page, &[("query", &listing.text), ("from", &from)])
    };
    html! {
        @if has_more || listing.offset > 0 {
            div.more {
                @if listing.offset > 0 { a href=(address(listing.offset.saturating_sub(ROWS))) { "Before" } } @else {
                    span {}
                }
                @if has_more { a.button href=(address(listing.offset + ROWS)) { "Next " (ROWS) } }
            }
        }
    }
}

/// A form that narrows a list by name.
pub(super) fn name_filter(page: &str, text: &str) -> Markup {
    html! {
        form.row action=(page) method="get" {
            input type="search" name="query" value=(text) placeholder="Name" aria-label="Name";
            button { "Filter" }
        }
    }
}

pub(super) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |fleet, visit| async move {
        let listing = listing(&visit);
        let mut packs = Packs::of(&fleet).list(&visit.principal, &listing).await?;
        let more = paged(&mut packs, "packs", &listing);
        let main = html! {
            div.title { div { h1 { "Packs" } p.state { "Scheduled queries, and the labels whose hosts run them." } } }
            (name_filter("packs", &listing.text))
            section.card.flush {
                @if packs.is_empty() {
                    @if listing.text.is_empty() {
                        div.empty { h2 { "No pack yet" } p { "A pack schedules queries on the hosts of its labels. Apply one with " code { "fleetctl apply -f PACK.yml" } "." } }
                    } @else {
                        div.empty { h2 { "No pack has this name" } p { a.button href="packs" { "Look at all packs" } } }
                    }
                } @else { div.scroll { (table(&packs)) } (more) }
            }
        };
        Ok(Page::new("Packs", main))
    })
    .await
}

fn table(packs: &[Pack]) -> Markup {
    html! {
        table.page-table {
            thead {
                tr {
                    th { "Pack" }
                    th { "State" }
                    th.n { "Queries" }
                    th.n.wide-only { "Hosts" }
                    th.wide-only { "Platform" }
                    th.wide-only { "Description" }
                }
            }
            tbody { @for pack in packs { tr {
                td.name { a href={ "packs/" (pack.id) } { (cut(&pack.name, 80)) } }
                td { (pack_state(pack)) }
                td.n { (count(pack.query_count)) }
                td.n.wide-only { (count(pack.total_hosts_count)) }
                td.wide-only {
                    @if pack.platform.is_empty() { span.muted { "any" } } @else { (cut(&pack.platform, 40)) }
                }
                td.wide-only { (cut(&pack.description, 80)) }
            } } }
        }
    }
}

fn pack_state(pack: &Pack) -> Markup {
    if pack.disabled { badge(Tone::Unknown, "Disabled") } else { badge(Tone::Good, "Enabled") }
}

/// One pack: what it schedules is as this node serves it, and costs are those of the fleet.
pub(super) async fn pack(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        let by = &visit.principal;
        let pack = Packs::of(&fleet).by_id(by, *id).await?;
        let costs = fleet.statistics.recent_fleet_costs(by).await?;
        let labels = Labels::of(&fleet).summary(by).await?;
        let targets = [&pack.label_ids, &pack.label_ids_include_all, &pack.label_ids_exclude_any]
            .map(|ids| labels.iter().filter(|label| ids.contains(&label.id)).collect::<Vec<&LabelSummary>>());
        let plan = fleet.schedule.plan();
        let planned = plan.packs.iter().find(|planned| planned.id == *id);
        let mut scheduled: Vec<&ScheduledQuery> = planned.map(|planned| planned.queries.iter().collect()).unwrap_or_default();
        let listing = listing(&visit);
        let (start, rows) = (usize::try_from(listing.offset).unwrap_or(usize::MAX), usize::try_from(ROWS).unwrap_or(usize::MAX));
        scheduled = scheduled.into_iter().skip(start).take(rows + 1).collect();
        let more = paged(&mut scheduled, &format!("packs/{id}"), &listing);
        let history = history::latest(&fleet, &visit, (ObjectKind::Pack, *id)).await?;
        let main = html! {
            div.title { div {
                p.crumb { a href="packs" { "Packs" } }
                h1 { (cut(&pack.name, 200)) }
                p.state.row {
                    (pack_state(&pack)) span {
                        (plural(pack.query_count, "query", "queries")) " on " (plural(pack.total_hosts_count, "host", "hosts"))
                    }
                }
                @if !pack.description.is_empty() { p.muted { (cut(&pack.description, 1_000)) } }
            } }
            section.card {
                (target_lists(&targets))
                p.muted { "Changed " (ago(pack.updated_at, visit.look.now)) }
            }
            section.card.flush {
                @if scheduled.is_empty() { div.empty { p { "This pack schedules nothing." } } }
                @else { div.scroll { (schedule_table(&pack, &scheduled, &costs)) } (more) }
            }
            (history)
        };
        Ok(Page::new(pack.name.chars().take(80).collect::<String>(), main))
    })
    .await
}

/// Which hosts run a pack: in any of the first labels, in all of the second, in none of the third.
fn target_lists(targets: &[Vec<&LabelSummary>; 3]) -> Markup {
    let [any, all, excluded] = targets;
    let chips = |labels: &[&LabelSummary]| {
        html! { div.chips { @for label in labels { a.chip href={ "labels/" (label.id) } { (cut(&label.name, 60)) } } } }
    };
    html! {
        @if !any.is_empty() || targets.iter().all(Vec::is_empty) {
            h2 { "Runs on hosts in" }
            @if any.is_empty() { p.muted { "No label: no host runs this pack." } }
            (chips(any))
        }
        @if !all.is_empty() {
            h2 { @if any.is_empty() { "Runs on hosts in all of" } @else { "And in all of" } }
            (chips(all))
        }
        @if !excluded.is_empty() {
            h2 { @if any.is_empty() && all.is_empty() { "Runs on all hosts but those in" } @else { "But in none of" } }
            (chips(excluded))
            p.muted { "A host gets the pack once it is known whether it is in one of these." }
        }
    }
}

fn schedule_table(pack: &Pack, scheduled: &[&ScheduledQuery], costs: &FleetCosts) -> Markup {
    let cost = |name: &str| costs.queries.iter().find(|query| query.pack == pack.name && query.name == name);
    html! {
        table.page-table {
            thead {
                tr {
                    th { "Query" }
                    th { "Impact" }
                    th.n.wide-only { "p95 CPU a run" }
                    th.n.wide-only { "CPU a day" }
                    th.n.wide-only { "Hosts" }
                    th.n { "Every" }
                    th.wide-only { "Narrowed to" }
                }
            }
            tbody { @for query in scheduled { tr {
                td.name { a href=(query_link(&pack.name, &query.name)) { (cut(&query.name, 80)) } }
                @match cost(&query.name) {
                    None => { td { (impact_badge(Impact::Undetermined)) } td.n.wide-only { "–" } td.n.wide-only { "–" } td.n.wide-only { "–" } },
                    Some(cost) => {
                        td {
                            (impact_badge(cost.impact)) @if cost.denylisted_hosts > 0 {
                                " " (badge(Tone::Bad, &format!("Denylisted on {}", count(cost.denylisted_hosts))))
                            }
                        }
                        td.n.wide-only { (of_run(cost.cost.cpu_time, |cpu| cpu.p95)) }
                        td.n.wide-only { (cpu_per_day(cost.cpu_seconds_per_day)) }
                        td.n.wide-only { (count(cost.cost.hosts)) }
                    },
                }
                td.n { (seconds(query.interval_secs)) }
                td.wide-only { div.chips {
                    @if !query.platform.is_empty() { span.chip { (cut(&query.platform, 40)) } }
                    @if !query.version.is_empty() { span.chip { "osquery " (cut(&query.version, 20)) } }
                    @if let Some(shard) = query.shard { span.chip { (shard) " % of hosts" } }
                } }
            } } }
        }
    }
}

/// An interval.
pub(super) fn seconds(seconds: i64) -> String {
    match seconds {
        s if s < 120 => format!("{s} s"),
        s if s < 7_200 => format!("{} min", s / 60),
        s => format!("{} h", s / 3600),
    }
}
