//! One live query: how far it is, and what came back.

use actix_web::web::Data;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use maud::{Markup, html};
use muster_api::rest::{LiveCost, LiveCounts, LiveQuery, LiveStatus, Percentiles, TargetState};
use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use sha2::{Digest as _, Sha256};

use super::table::AnswerTable;
use super::{canary_line, live_status, progress_line, waits_for_canaries};
use crate::admin::AdminApi;
use crate::admin::pages::answer::{Page, PageAnswer};
use crate::admin::pages::assets::RESULTS;
use crate::admin::pages::forms::Posted;
use crate::admin::pages::overview::{download, number_of};
use crate::admin::pages::parts::{ago, bytes, count, cut, link, milliseconds, plural, shown, shown_start};
use crate::admin::pages::visit::{Glance, PageId, Visit};
use crate::fleet::access::Permission;
use crate::fleet::live::PaceChange;
use crate::fleet::{Error, Result};

/// Hosts in one state that are shown.
const HOSTS: usize = 500;

pub(in crate::admin::pages) async fn page(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        let query = fleet.live.get(&visit.principal, *id).await?;
        let table = AnswerTable::read(&fleet, &visit.principal, *id).await?;
        let title: String = query.query.chars().take(60).collect();
        Ok(Page::new(title, show(&visit, &query, &table)))
    })
    .await
}

/// The part of the page that renews itself until the query is over.
pub(in crate::admin::pages) async fn part(api: Data<AdminApi>, Glance(visit): Glance, id: PageId) -> PageAnswer {
    api.part(visit, move |fleet, visit| async move {
        let query = fleet.live.get(&visit.principal, *id).await?;
        Ok(progress(&visit, &query))
    })
    .await
}

// why: pausing and ending are the brakes of operators, cost little, and do not wait behind changes in the pool.
pub(in crate::admin::pages) async fn cancel(api: Data<AdminApi>, posted: Posted, id: PageId) -> PageAnswer {
    let ended = api.fleet.live.cancel(&posted.visit.principal, *id).await;
    back(posted, *id, ended)
}

pub(in crate::admin::pages) async fn pause(api: Data<AdminApi>, posted: Posted, id: PageId) -> PageAnswer {
    let changed = api.fleet.live.change_pace(&posted.visit.principal, *id, PaceChange::Pause).await;
    back(posted, *id, changed)
}

pub(in crate::admin::pages) async fn resume(api: Data<AdminApi>, posted: Posted, id: PageId) -> PageAnswer {
    let changed = api.fleet.live.change_pace(&posted.visit.principal, *id, PaceChange::Resume).await;
    back(posted, *id, changed)
}

pub(in crate::admin::pages) async fn promote(api: Data<AdminApi>, posted: Posted, id: PageId) -> PageAnswer {
    let changed = api.fleet.live.change_pace(&posted.visit.principal, *id, PaceChange::Promote).await;
    back(posted, *id, changed)
}

fn back(posted: Posted, id: i64, done: Result<LiveQuery>) -> PageAnswer {
    use crate::admin::pages::answer::{PageFailed, go_to};
    match done {
        Ok(_) => Ok(go_to(&posted.visit.look.prefix, &format!("/live/{id}")).finish()),
        Err(error) => Err(PageFailed::of(posted.visit, error)),
    }
}

/// The hosts in one state.
pub(in crate::admin::pages) async fn hosts(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        let word = visit.look.parameter("state").unwrap_or_default();
        let state: std::result::Result<TargetState, serde::de::value::Error> =
            TargetState::deserialize(word.as_str().into_deserializer());
        let state = state.map_err(|_| Error::invalid("state", format!("there is no state {word}")))?;
        let (hosts, all) = fleet.live.first_hosts_in(&visit.principal, *id, state, HOSTS).await?;
        let main = html! {
            div.title { div {
                p.crumb { a href="live" { "Live queries" } " / " a href={ "live/" (id) } { "Query " (id) } }
                h1 { (plural(all, "host", "hosts")) " " (word) }
            } }
            section.card {
                ul.plain-list {
                    @for host in &hosts {
                        li {
                            a href={ "hosts/" (host.id) } {
                                @if host.hostname.is_empty() { "host " (host.id) } @else { (cut(&host.hostname, 80)) }
                            }
                        }
                    }
                }
                @let more = all.saturating_sub(hosts.len() as u64);
                @if more > 0 {
                    p.muted {
                        "and " (count(more)) " more; " code { "fleetctl" }
                        " and REST list all"
                    }
                }
            }
        };
        Ok(Page::new(format!("Hosts {word}"), main))
    })
    .await
}

fn show(visit: &Visit, query: &LiveQuery, table: &AnswerTable) -> Markup {
    let id = query.id;
    let again = link("live", &[("sql", &query.query)]);
    html! {
        div.title {
            div {
                p.crumb { a href="live" { "Live queries" } }
                h1 { @match &query.query_name { Some(name) => (cut(name, 120)), None => { "Live query " (id) } } }
                p.state { "by " (shown(&query.author_email)) ", " (ago(query.created_at, visit.look.now)) }
            }
            div.actions {
                (download(&format!("live/{id}/results.csv"), "CSV"))
                (download(&format!("live/{id}/results.ndjson"), "JSON lines"))
                @if again.len() < 4_000 { a.button href=(again) { "Ask again" } }
            }
        }
        @for warning in &query.warnings { p.warning { (shown(warning)) } }
        section.card { pre tabindex="0" { (cut(&query.query, 20_000)) } }
        (progress(visit, query))
        (results(query, table))
    }
}

/// Segments of the bar, and what each stands for.
fn segments(counts: &LiveCounts) -> [(&'static str, u64); 4] {
    let other = counts.denylisted
        + counts.skipped
        + counts.suspect
        + counts.lost
        + counts.expired
        + counts.cancelled
        + counts.gone;
    [
        ("s-answered", counts.answered),
        ("s-failed", counts.failed),
        ("s-other", other),
        ("s-open", counts.pending + counts.sent),
    ]
}

fn progress(visit: &Visit, query: &LiveQuery) -> Markup {
    let (id, counts) = (query.id, &query.counts);
    let is_open = query.status == LiveStatus::Open;
    let may_promote = waits_for_canaries(query) && visit.may(Permission::RunLiveQueries);
    let renew = is_open.then(|| format!("live/{id}/part"));
    let all = number_of(counts.targets.max(1));
    let mut at = 0.0;
    let segments: Vec<(&str, f64, f64)> = segments(counts)
        .into_iter()
        .map(|(class, hosts)| {
            let (start, width) = (at, number_of(hosts) / all * 1000.0);
            at += width;
            (class, start, width)
        })
        .collect();
    html! {
        section.card #progress data-renew=[renew] data-every="2" {
            div.card-head { h2.row { (live_status(query)) } span { (progress_line(query)) } }
            svg.progress viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label=(progress_line(query)) {
                @for (class, start, width) in &segments {
                    rect class=(class) x=(format!("{start:.1}")) width=(format!("{width:.1}")) height="10" {}
                }
            }
            @if let Some(line) = canary_line(query) { p { (line) } }
            @if let Some(reason) = &query.stop_reason { p.warning { (shown(reason)) } }
            @if counts.results_lost > 0 {
                p.warning { "Answers of " (plural(counts.results_lost, "host", "hosts")) " could not be kept." }
            }
            div.row {
                div.chips { @for (word, hosts) in states(counts) { @if hosts > 0 {
                    a.chip href=(link(&format!("live/{id}/hosts"), &[("state", word)])) {
                        (word) span.muted { (count(hosts)) }
                    }
                } } }
            }
            @if let Some(cost) = &query.cost { (cost_table(cost)) }
            @if is_open {
                div.actions {
                    @for (action, word, class, is_shown) in [("cancel", "Cancel", "danger", true), ("pause", "Pause", "", !query.paused), ("resume", "Resume", "", query.paused), ("promote", "Let all hosts follow", "", may_promote)] {
                        @if is_shown {
                            form.inline action={ "live/" (id) "/" (action) } method="post" {
                                (visit.form_key.field()) button class=(class) { (word) }
                            }
                        }
                    }
                    span.muted {
                        "Until " (query.deadline.format("%Y-%m-%d %H:%M UTC")) @if query.rate > 0 {
                            ", " (plural(query.rate.into(), "host", "hosts")) " a second, given to " (count(query.given)) " so far"
                        }
                    }
                }
            }
        }
    }
}

/// What the query has cost the hosts that have told.
fn cost_table(cost: &LiveCost) -> Markup {
    let row = |name: &str, of_host: Percentiles, print: fn(f64) -> String| {
        html! { tr { td { (name) } td.n { (print(of_host.p50)) } td.n { (print(of_host.p95)) } td.n { (print(of_host.max)) } } }
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="Cost on hosts" { table.cost {
            thead { tr {
                th { "Cost on a host, of " (plural(cost.hosts, "host", "hosts")) } th.n { "p50" } th.n { "p95" } th.n { "most" }
            } }
            tbody {
                (row("CPU time", cost.cpu_time_ms, milliseconds))
                (row("Time", cost.wall_time_ms, milliseconds))
                (row("Memory", cost.memory_bytes, bytes))
            }
        } }
    }
}

fn states(counts: &LiveCounts) -> [(&'static str, u64); 11] {
    [
        ("pending", counts.pending),
        ("sent", counts.sent),
        ("answered", counts.answered),
        ("failed", counts.failed),
        ("denylisted", counts.denylisted),
        ("skipped", counts.skipped),
        ("suspect", counts.suspect),
        ("lost", counts.lost),
        ("expired", counts.expired),
        ("cancelled", counts.cancelled),
        ("gone", counts.gone),
    ]
}

fn results(query: &LiveQuery, table: &AnswerTable) -> Markup {
    let is_open = query.status == LiveStatus::Open;
    // The columns that were put away are remembered by what was asked.
    let asked = URL_SAFE_NO_PAD.encode(&Sha256::digest(&query.query)[..9]);
    html! {
        section.card.flush #results data-module=(RESULTS.address()) data-stream={ "live/" (query.id) "/stream" }
            data-remember=(asked) {
            div.card-head {
                h2 { "Answers" }
                span.muted {
                    span data-rows=(table.rows.len()) { (plural(table.rows.len() as u64, "row", "rows")) }
                    " here"
                    span data-more {
                        @if table.has_more { ", the first; the exports have all" }
                        @else if table.lacks_columns { ", without some columns; the exports have all" }
                    }
                }
            }
            div.scroll tabindex="0" role="region" aria-label="Answers" { table.page-table {
                thead {
                    tr { th { "Host" } @for column in &table.columns { th data-column=(column) { (cut(column, 60)) } } }
                }
                tbody { @for row in &table.rows { tr {
                    td.name { a href={ "hosts/" (row.host_id) } { (cut(&row.hostname, 60)) } }
                    @for column in 0..table.columns.len() {
                        td { @if let Some(cell) = row.cells.get(column) { (shown_start(&cell.start, cell.more)) } }
                    }
                } } }
            } }
            @if table.rows.is_empty() {
                div.empty data-empty="true" { p {
                    @if is_open {
                        "No answer yet. " noscript { "Load the page again to see answers that have come meanwhile." }
                    }
                    @else { "No host has answered with rows." }
                } }
            }
        }
        section.card #failures hidden[table.failures.is_empty()] {
                h2 { "Hosts that could not answer" }
                ul.plain-list { @for host in &table.failures { li {
                    a href={ "hosts/" (host.host_id) } { (cut(&host.hostname, 60)) } " "
                    span.muted { (shown_start(&host.reason.start, host.reason.more)) }
                } } }
        }
    }
}
