//! The overview: whether the fleet is healthy, and what is hurting it.

use std::sync::Arc;

use actix_web::web::Data;
use chrono::TimeDelta;
use maud::{Markup, html};
use muster_api::rest::{FleetCosts, FleetCount, FleetCounts, FleetQueryCost, LiveQuery, StalledHost, WorkerRestart};

use super::answer::{Page, PageAnswer};
use super::first_steps::{self, StepsDone, how_to_enroll};
use super::live::{live_status, progress_line};
use super::parts::{
    Bar, BarChart, ChartScale, Icon, Tone, ago, badge, count, cpu_per_day, cut, icon, impact_badge, link, meter,
    milliseconds, of_run, percent, plural, shown, spark, whole,
};
use super::visit::{Glance, Visit};
use super::{changes, lately};
use crate::admin::AdminApi;
use crate::clock::Moment;
use crate::fleet::access::Permission;
use crate::fleet::logs::{LogStream, SinkError};
use crate::fleet::statistics::QueryTrends;
use crate::fleet::{ActivityEntry, Fleet, Result};

/// Days of the chart.
const DAYS: i64 = 7;

/// Most queries, hosts and live queries of a list.
const SHOWN: usize = 6;

/// Most restarts that are counted of the last day.
const MAX_RESTARTS: u64 = 500;

const DAY_SECS: i64 = 24 * 3600;

/// Everything that the page tells.
struct FleetState {
    now: FleetCount,
    over_time: FleetCounts,
    stalled: Vec<StalledHost>,
    /// `None` for users who may not read packs.
    costs: Option<FleetBurden>,
    live: Vec<LiveQuery>,
    /// Of the days of the chart.
    changed: Vec<ActivityEntry>,
    has_packs: bool,
    /// Why a log takes no lines, if it takes none.
    logs: Vec<(&'static str, Option<SinkError>)>,
}

/// What queries do to hosts.
struct FleetBurden {
    costs: Arc<FleetCosts>,
    trends: Arc<QueryTrends>,
    /// Of the last day.
    restarts: Vec<WorkerRestart>,
}

pub(super) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |fleet, visit| async move {
        let state = read(&fleet, &visit).await?;
        Ok(Page::new("Overview", show(&visit, &state)))
    })
    .await
}

/// The part of the page that renews itself.
pub(super) async fn part(api: Data<AdminApi>, Glance(visit): Glance) -> PageAnswer {
    api.part(visit, |fleet, visit| async move {
        let state = read(&fleet, &visit).await?;
        Ok(content(&visit, &state))
    })
    .await
}

async fn read(fleet: &Fleet, visit: &Visit) -> Result<FleetState> {
    let by = &visit.principal;
    let from = visit.look.now.plus_seconds(-DAYS * DAY_SECS);
    let costs = match visit.may(Permission::ReadPacks) {
        false => None,
        true => {
            let day_ago = visit.look.now.plus_seconds(-DAY_SECS);
            let restarts = fleet.statistics.lately_restarted(by, day_ago, MAX_RESTARTS).await?;
            let costs = fleet.statistics.recent_fleet_costs(by).await?;
            Some(FleetBurden { costs, trends: fleet.statistics.recent_trends(by).await?, restarts })
        }
    };
    let sink = |name, stream| (name, fleet.logs.check(stream).err());
    Ok(FleetState {
        now: fleet.hosts.counts_now(by).await?,
        over_time: fleet.hosts.host_counts(by, Some(from), None).await?,
        stalled: fleet.statistics.stalled(by).await?.hosts,
        costs,
        live: fleet.live.latest(by, SHOWN as u64).await?,
        changed: changes::since(fleet, visit, from).await?,
        has_packs: !fleet.schedule.plan().packs.is_empty(),
        logs: vec![sink("Result log", LogStream::Result), sink("Status log", LogStream::Status)],
    })
}

fn total(count: &FleetCount) -> u64 {
    count.online + count.offline
}

impl FleetBurden {
    fn denylisted(&self) -> impl Iterator<Item = &FleetQueryCost> {
        self.costs.queries.iter().filter(|query| query.denylisted_hosts > 0)
    }

    fn cpu_seconds_per_day(&self) -> f64 {
        self.costs.queries.iter().map(|query| query.cpu_seconds_per_day).sum()
    }

    fn restarts(&self) -> String {
        let restarts = self.restarts.len() as u64;
        if restarts == MAX_RESTARTS { format!("{}+", count(restarts)) } else { count(restarts) }
    }
}

fn show(visit: &Visit, state: &FleetState) -> Markup {
    if total(&state.now) == 0 {
        return first_host(visit);
    }
    content(visit, state)
}

/// What the page says before there is a host.
fn first_host(visit: &Visit) -> Markup {
    html! {
        div.title { div { h1 { "Overview" } p.state { "No host has enrolled yet." } } }
        div.card { h2 { "Enroll the first host" } (how_to_enroll(visit)) }
    }
}

/// One sentence that says how the fleet is.
fn sentence(state: &FleetState) -> String {
    let all = total(&state.now);
    let mut said = vec![format!("{} of {} online", count(state.now.online), plural(all, "host", "hosts"))];
    if let Some(burden) = &state.costs {
        let (queries, hosts) = (burden.denylisted().count() as u64, denylisted_hosts(burden));
        if queries > 1 {
            // A host may have denylisted several.
            said.push(format!(
                "{} denylisted, {} in all",
                plural(queries, "query", "queries"),
                plural(hosts, "case", "cases")
            ));
        } else if queries == 1 {
            let queries = plural(queries, "query", "queries");
            said.push(format!("{queries} denylisted on {}", plural(hosts, "host", "hosts")));
        }
    }
    if !state.stalled.is_empty() {
        said.push(format!("{} stalled", plural(state.stalled.len() as u64, "host", "hosts")));
    }
    format!("{}.", said.join("; "))
}

fn denylisted_hosts(burden: &FleetBurden) -> u64 {
    burden.denylisted().map(|query| query.denylisted_hosts).sum()
}

fn content(visit: &Visit, state: &FleetState) -> Markup {
    html! {
        div.stack #overview data-renew="overview/part" data-every="15" {
            div.title { div { h1 { "Overview" } p.state { (sentence(state)) } } }
            (first_steps::list(visit, steps_done(state)))
            (numbers(state))
            div.grid.wide-left {
                (hosts_over_time(visit, state))
                (by_kind(&state.now))
            }
            @if let Some(burden) = &state.costs { (expensive(burden)) }
            (lately::cards(visit, &state.changed, state.costs.as_ref().map(|burden| &burden.trends)))
            div.grid {
                (hurting(visit, state))
                div.stack { (live(visit, &state.live)) (health(visit, state)) }
            }
        }
    }
}

fn steps_done(state: &FleetState) -> StepsDone {
    StepsDone { has_hosts: total(&state.now) > 0, has_packs: state.has_packs, has_asked: !state.live.is_empty() }
}

/// A number, what it counts, and where to look at it.
fn number(tone: &str, address: &str, number: &str, what: &Markup) -> Markup {
    html! { a class={ "number " (tone) } href=(address) { b { (number) } span { (what) } } }
}

fn numbers(state: &FleetState) -> Markup {
    let word = |word: &str| html! { (word) };
    let now = &state.now;
    let stalled = state.stalled.len() as u64;
    html! {
        div.numbers {
            (number("", "hosts", &count(total(now)), &word("Hosts")))
            (number("", "hosts?status=online", &count(now.online), &badge(Tone::Good, "Online")))
            (number("", "hosts?status=offline", &count(now.offline), &badge(Tone::Unknown, "Offline")))
            (number("", "hosts?status=missing", &count(now.missing), &word("Not seen for 30 days")))
            (number(if stalled > 0 { "attention" } else { "" }, "watchdog#stalled", &count(stalled), &word("Stalled hosts")))
            @if let Some(burden) = &state.costs {
                @let denylisted = denylisted_hosts(burden);
                (number(if denylisted > 0 { "bad" } else { "" }, "watchdog", &count(denylisted), &word("Denylisted")))
                (number("", "watchdog#restarts", &burden.restarts(), &word("Worker restarts in 24 h")))
                (number("", "queries", &cpu_per_day(burden.cpu_seconds_per_day()), &word("Fleet cost a day")))
            }
        }
    }
}

fn hosts_over_time(visit: &Visit, state: &FleetState) -> Markup {
    let counts = &state.over_time.counts;
    let bars = counts.iter().map(|at| Bar {
        start: at.start,
        tops: vec![number_of(total(at)), number_of(at.online)],
        title: format!("{}: {} online of {}", at.start.format("%-d %b %H:%M UTC"), count(at.online), count(total(at))),
        // Which hosts these were is not kept.
        opens: Some("hosts?status=online".to_owned()),
    });
    // The last bar is as wide as the others.
    let to = state.over_time.to + TimeDelta::hours(1);
    // A new server shows a day, not a week of nothing.
    let first = counts.first().map_or(to, |at| at.start);
    let from = state.over_time.from.max(first.min(to - TimeDelta::hours(24)));
    let marks = changes::marks(&state.changed);
    let chart = BarChart {
        about: "Hosts online, and all hosts, over time",
        from,
        to,
        bucket: 3600,
        layers: &["area-4", "area-2"],
        bars: bars.collect(),
        axis: whole,
        scale: ChartScale::Linear,
        is_wide: false,
        marks: &marks,
    };
    let mut keys = vec![("k2", "Online"), ("k4", "All")];
    // Others get no marks.
    if visit.may(Permission::ReadActivities) {
        keys.push(("k-mark", "Change of what hosts run"));
    }
    html! {
        section.card {
            div.card-head {
                h2 { "Hosts over time" }
                (legend(&keys))
            }
            @if counts.is_empty() { p.muted { "Hosts are counted every two minutes; what there was an hour or a week ago stands here then." } }
            (chart.draw())
            details.data {
                summary { "Show as a table" }
                div.scroll { table {
                    thead {
                        tr { th { "Hour (UTC)" } th.n { "Online" } th.n { "Offline" } th.n { "Not seen for 30 days" } }
                    }
                    tbody { @for at in counts.iter().rev().take(48) { tr {
                        td { (at.start.format("%Y-%m-%d %H:%M")) }
                        td.n { (count(at.online)) } td.n { (count(at.offline)) } td.n { (count(at.missing)) }
                    } } }
                } }
                p.small.muted {
                    "Hosts now: " a href="hosts?status=online" { "online" } ", " a href="hosts?status=offline" { "offline" }
                    ", " a href="hosts?status=missing" { "not seen for 30 days" } "."
                }
            }
        }
    }
}

/// What the colours of a chart stand for.
pub(super) fn legend(keys: &[(&str, &str)]) -> Markup {
    html! {
        div.legend {
            @for (class, word) in keys {
                span {
                    svg viewBox="0 0 10 10" aria-hidden="true" { rect class=(class) width="10" height="10" rx="2" {} }
                    (word)
                }
            }
        }
    }
}

fn by_kind(now: &FleetCount) -> Markup {
    let bars = |kinds: &std::collections::BTreeMap<String, u64>, parameter: &'static str| {
        let mut kinds: Vec<(&String, u64)> = kinds.iter().map(|(kind, hosts)| (kind, *hosts)).collect();
        kinds.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        let all = total(now).max(1);
        html! {
            ul.bars { @for (kind, hosts) in kinds.iter().take(SHOWN) { li {
                @if kind.is_empty() { span.muted { "Unknown and others" } }
                @else { a href=(link("hosts", &[(parameter, kind)])) { (cut(kind, 40)) } }
                span.muted { (count(*hosts)) }
                (meter(number_of(*hosts) / number_of(all), ""))
            } } }
            @if kinds.len() > SHOWN { p.small.muted { "and " (kinds.len() - SHOWN) " more" } }
        }
    };
    html! {
        section.card {
            h2 { "Platforms" }
            (bars(&now.platforms, "platform"))
            h2 { "Versions of osquery" }
            (bars(&now.osquery_versions, "osquery_version"))
        }
    }
}

/// The address of the page of a scheduled query.
pub(super) fn query_link(pack: &str, name: &str) -> String {
    link("queries/cost", &[("pack", pack), ("name", name)])
}

/// A scheduled query by its names.
pub(super) fn query_name(pack: &str, name: &str) -> Markup {
    html! {
        a href=(query_link(pack, name)) { (cut(name, 80)) }
        @if !pack.is_empty() { " " span.muted.small { (cut(pack, 40)) } }
    }
}

fn expensive(burden: &FleetBurden) -> Markup {
    let queries = &burden.costs.queries;
    html! {
        section.card.flush {
            div.card-head { h2 { "Most expensive queries" } a href="queries" { "All queries" } }
            @if queries.is_empty() {
                div.empty { p { "No host has told yet what its queries cost: each does once an hour." } }
            } @else {
                div.scroll { (cost_table_with_trends(queries.iter().take(SHOWN), &burden.trends)) }
            }
        }
    }
}

/// What scheduled queries cost, a row for each.
pub(super) fn cost_table<'a>(queries: impl Iterator<Item = &'a FleetQueryCost>) -> Markup {
    costs(queries, None)
}

/// As [`cost_table`], with how the cost of each has moved.
pub(super) fn cost_table_with_trends<'a>(
    queries: impl Iterator<Item = &'a FleetQueryCost>,
    trends: &QueryTrends,
) -> Markup {
    costs(queries, Some(trends))
}

fn costs<'a>(queries: impl Iterator<Item = &'a FleetQueryCost>, trends: Option<&QueryTrends>) -> Markup {
    html! {
        table {
            thead { tr {
                th { "Query" } th { "Impact" }
                @if trends.is_none() { th.n.wide-only { "p50 CPU a run" } }
                th.n.wide-only { "p95 CPU a run" }
                @if trends.is_some() { th.wide-only { "p95 in 24 h" } }
                th.n { "CPU a day" }
                th.wide-only { "Part of all" }
                th.n.wide-only { "Hosts" }
                th.n.wide-only { "Denylisted on" }
            } }
            tbody { @for query in queries { tr {
                td.name { (query_name(&query.pack, &query.name)) }
                td { (impact_badge(query.impact)) }
                @if trends.is_none() { td.n.wide-only { (of_run(query.cost.cpu_time, |cpu| cpu.p50)) } }
                td.n.wide-only { (of_run(query.cost.cpu_time, |cpu| cpu.p95)) }
                @if let Some(trends) = trends {
                    td.wide-only {
                        @match trends.of(&query.pack, &query.name) {
                            Some(trend) => (spark(trend, "p95 CPU a run in the last 24 hours", milliseconds)),
                            None => span.muted { "–" },
                        }
                    }
                }
                td.n { (cpu_per_day(query.cpu_seconds_per_day)) }
                td.wide-only { div.split { (meter(query.share, "")) span.n.muted { (percent(query.share)) } } }
                td.n.wide-only { (count(query.cost.hosts)) }
                td.n.wide-only {
                    @if query.denylisted_hosts > 0 {
                        a href=(link("watchdog", &[("pack", &query.pack), ("name", &query.name)])) {
                            (plural(query.denylisted_hosts, "host", "hosts"))
                        }
                    } @else { span.muted { "–" } }
                }
            } } }
        }
    }
}

/// What agents have stopped, and hosts that stand still.
fn hurting(visit: &Visit, state: &FleetState) -> Markup {
    let now = visit.look.now;
    html! {
        section.card {
            div.card-head { h2 { "What hurts" } a href="watchdog" { "Watchdog" } }
            @if let Some(burden) = &state.costs {
                @for query in burden.denylisted().take(SHOWN) {
                    div.split {
                        div { (query_name(&query.pack, &query.name)) }
                        a.nowrap href=(link("watchdog", &[("pack", &query.pack), ("name", &query.name)])) {
                            (badge(Tone::Bad, &format!("Denylisted on {}", plural(query.denylisted_hosts, "host", "hosts"))))
                        }
                    }
                }
                @for restart in burden.restarts.iter().take(SHOWN) { (restart_line(restart, now)) }
            }
            @for host in state.stalled.iter().take(SHOWN) {
                div.split {
                    a href={ "hosts/" (host.host_id) } { (cut(&host.hostname, 60)) }
                    span.nowrap {
                        (badge(Tone::Attention, "Stalled")) " " span.muted { "since " (ago(host.since, now)) }
                    }
                }
            }
            @let is_calm = state.costs.as_ref().is_none_or(|burden| burden.denylisted().count() == 0 && burden.restarts.is_empty());
            @if is_calm && state.stalled.is_empty() {
                p.muted {
                    @if state.costs.is_some() {
                        "No query is denylisted, no worker was restarted within a day, and no host is stalled."
                    } @else { "No host is stalled." }
                }
            }
        }
    }
}

/// A worker that was replaced, and what was running then.
pub(super) fn restart_line(restart: &WorkerRestart, now: Moment) -> Markup {
    html! {
        div.split {
            div {
                a href={ "hosts/" (restart.host_id) } { (cut(&restart.hostname, 60)) }
                @for suspect in &restart.suspects {
                    " " span.muted { "ran" }
                    " " (query_name(&suspect.pack, &suspect.name))
                }
            }
            span.nowrap { (badge(Tone::Attention, "Worker restarted")) " " span.muted { (ago(restart.seen_at, now)) } }
        }
    }
}

fn live(visit: &Visit, all: &[LiveQuery]) -> Markup {
    html! {
        section.card {
            div.card-head { h2 { "Live queries" } a href="live" { "Run a live query" } }
            @if all.is_empty() {
                p.muted {
                    @if visit.may(Permission::RunLiveQueries) { "Nobody has asked the fleet anything yet." }
                    @else { "You have not asked the fleet anything yet." }
                }
            }
            ul.plain-list { @for query in all { li {
                div.split {
                    a href={ "live/" (query.id) } { code { (cut(&query.query, 60)) } }
                    (live_status(query))
                }
                p.small.muted { (progress_line(query)) " · " (ago(query.created_at, visit.look.now)) }
            } } }
        }
    }
}

fn health(visit: &Visit, state: &FleetState) -> Markup {
    html! {
        section.card {
            h2 { "This server" }
            dl.facts {
                @for (name, error) in &state.logs {
                    dt { (name) }
                    dd { (log_sink(visit, error.as_ref())) }
                }
                dt { "Version" }
                dd { a href="about" { (crate::VERSION) } }
            }
        }
    }
}

/// Whether a log takes lines. Why it takes none may tell addresses and paths, so only those learn it who may read the config.
pub(super) fn log_sink(visit: &Visit, error: Option<&SinkError>) -> Markup {
    html! {
        @match error {
            None => (badge(Tone::Good, "Takes lines")),
            Some(error) => {
                (badge(Tone::Bad, "Takes none"))
                @if visit.may(Permission::ReadConfig) { " " (shown(&error.to_string())) }
            },
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "below 2^52")]
pub(super) fn number_of(count: u64) -> f64 {
    count as f64
}

/// An arrow for a link that downloads.
pub(super) fn download(address: &str, word: &str) -> Markup {
    html! { a.button href=(address) { (icon(Icon::Download)) (word) } }
}
