//! What one scheduled query costs, over time and on whom.

use actix_web::web::Data;
use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};
use muster_api::rest::{CostPercentiles, QueryCostReport, RunCost};

use crate::admin::AdminApi;
use crate::admin::pages::answer::{Page, PageAnswer};
use crate::admin::pages::changes;
use crate::admin::pages::overview::legend;
use crate::admin::pages::packs::seconds;
use crate::admin::pages::parts::{
    Bar, BarChart, ChartScale, bytes, count, cpu_per_day, cut, impact_badge, link, milliseconds, plural, shown,
};
use crate::admin::pages::visit::Visit;
use crate::clock::Moment;
use crate::fleet::access::Permission;
use crate::fleet::schedule::{PlannedPack, ScheduledQuery};
use crate::fleet::statistics::QuerySpan;
use crate::fleet::{ActivityEntry, Error};

/// Spans of time: the word for it in addresses, what it is called, and its hours.
const SPANS: [(&str, &str, i64); 4] =
    [("day", "24 h", 24), ("", "48 h", 48), ("month", "30 days", 720), ("quarter", "90 days", 2160)];

/// Longest time that a part of the chart stands for, in seconds.
const LONGEST_PART: i64 = 86_400;

/// Changes that are listed.
const CHANGES: usize = 40;

/// What is charted: the word for it, its name, its values, and how one is told.
type ChartMeasure = (&'static str, &'static str, fn(&RunCost) -> Option<CostPercentiles>, fn(f64) -> String);

const MEASURES: [ChartMeasure; 4] = [
    ("", "CPU time", |cost| cost.cpu_time, milliseconds),
    ("wall", "Time", |cost| cost.wall_time, milliseconds),
    ("memory", "Memory", |cost| cost.memory, bytes),
    ("output", "Output", |cost| cost.output_size, bytes),
];

pub(in crate::admin::pages) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |fleet, visit| async move {
        let text = |name| visit.look.parameter(name).unwrap_or_default();
        let (pack, name) = (text("pack"), text("name"));
        if name.is_empty() {
            return Err(Error::NotFound { kind: "Scheduled query", key: "without a name".to_owned() });
        }
        fleet.check_scheduled_or_reported(&visit.principal, &pack, &name).await?;
        let (span_word, measure_word) = (text("span"), text("measure"));
        let span = SPANS.iter().find(|(word, ..)| *word == span_word).unwrap_or(&SPANS[1]);
        let measure = MEASURES.iter().find(|(word, ..)| *word == measure_word).unwrap_or(&MEASURES[0]);
        let part = ChartPart::read(&text("at"), &text("for"));
        let (from, to) = match part {
            Some(part) => (part.start, Some(part.start.plus_seconds(part.seconds - 1))),
            None => (visit.look.now.plus_seconds(-span.2 * 3600), None),
        };
        let wanted = QuerySpan { pack, name, from: Some(from), to, label_id: None };
        let report = fleet.statistics.query_report(&visit.principal, &wanted).await?;
        let changed = changes::since(&fleet, &visit, from).await?;
        let title: String = report.name.chars().take(80).collect();
        let changed: Vec<ActivityEntry> = match to {
            Some(to) => changed.into_iter().filter(|activity| activity.at <= to.to_utc()).collect(),
            None => changed,
        };
        let plan = fleet.schedule.plan();
        let scheduled = plan.pack_named(&report.pack).and_then(|pack| Some((pack, pack.query(&report.name)?)));
        let is_log = text("scale") == "log";
        let view = CostView { span: span.0, part, measure, is_log, changed: &changed, scheduled };
        Ok(Page::new(title, show(&visit, &report, &view)))
    })
    .await
}

/// The hour or day of a chart that was clicked.
#[derive(Debug, Clone, Copy)]
struct ChartPart {
    start: Moment,
    seconds: i64,
}

impl ChartPart {
    /// From the seconds in an address; `None` if these are none.
    fn read(start: &str, seconds: &str) -> Option<Self> {
        let start = DateTime::from_timestamp(start.parse().ok()?, 0)?;
        let seconds = seconds.parse().ok().filter(|seconds| (1..=LONGEST_PART).contains(seconds))?;
        Some(Self { start: Moment::NEVER.plus_seconds(start.timestamp().max(0)), seconds })
    }
}

/// How the page is looked at.
struct CostView<'a> {
    span: &'a str,
    /// The part of the span that is shown alone.
    part: Option<ChartPart>,
    measure: &'a ChartMeasure,
    /// Whether small values are seen beside large ones.
    is_log: bool,
    /// Changes in the span.
    changed: &'a [ActivityEntry],
    /// The query as a pack schedules it now.
    scheduled: Option<(&'a PlannedPack, &'a ScheduledQuery)>,
}

fn show(visit: &Visit, report: &QueryCostReport, view: &CostView<'_>) -> Markup {
    let CostView { span, part, measure, is_log, changed, scheduled } = *view;
    let scaled = |measure: &str, is_log: bool| {
        let look = LookAddress { span, measure, is_log };
        match part {
            Some(part) => look.part(report, part.start.seconds(), part.seconds),
            None => look.whole(report),
        }
    };
    let whole = |span: &str| LookAddress { span, measure: measure.0, is_log }.whole(report);
    html! {
        div.title {
            div {
                p.crumb {
                    a href="queries" { "Queries" }
                    @if let Some((pack, _)) = scheduled { " / " a href={ "packs/" (pack.id) } { (cut(&report.pack, 60)) } }
                    @else if !report.pack.is_empty() { " / " (cut(&report.pack, 60)) }
                }
                h1 { (cut(&report.name, 200)) }
                p.state.row {
                    (impact_badge(report.impact))
                    span { (sentence(report)) }
                }
            }
            div.actions {
                @if let Some((_, query)) = scheduled { @if visit.may(Permission::RunLiveQueries) {
                    a.button.primary href=(link("live", &[("sql", &query.sql)])) { "Run now" }
                } }
                @if report.denylisted_hosts > 0 {
                    a.button.danger href=(link("watchdog", &[("pack", &report.pack), ("name", &report.name)])) {
                        "Denylisted on " (plural(report.denylisted_hosts, "host", "hosts"))
                    }
                }
            }
        }
        div.row {
            div.chips {
                @for (word, name, ..) in &SPANS {
                    a.chip href=(whole(word)) aria-current=[(part.is_none() && *word == span).then_some("true")] { (name) }
                }
                @if let Some(part) = part {
                    a.chip aria-current="true" href=(whole(span)) title="Show all of the time again" {
                        (part_name(part)) span aria-hidden="true" { "×" }
                    }
                }
            }
            div.chips { @for (word, name, ..) in &MEASURES {
                a.chip href=(scaled(word, is_log)) aria-current=[(*word == measure.0).then_some("true")] { (name) }
            } }
            div.chips { @for (is_this, name) in [(false, "Linear"), (true, "Logarithmic")] {
                a.chip href=(scaled(measure.0, is_this)) aria-current=[(is_this == is_log).then_some("true")] { (name) }
            } }
        }
        section.card {
            div.card-head {
                h2 { (measure.1) " of a run" }
                (legend(&[("k1", "p50"), ("k2", "p95"), ("k3", "p99"), ("k-mark", "Change of what hosts run")]))
            }
            @if report.buckets.is_empty() {
                p.muted { "No host has run it in this time, or none has told yet: each does once an hour." }
            } @else { (chart(report, view)) (table(report, view)) }
            @if !changed.is_empty() {
                details.data { summary { "Show the changes meanwhile" } (changes::list(visit, changed, CHANGES)) }
            }
        }
        @if let Some((pack, query)) = scheduled { (schedule(pack, query)) }
        div.grid {
            section.card { h2 { "A run" } (percentiles(&report.total)) }
            (worst(report))
        }
        (groups(report))
    }
}

/// What hosts are given, and how often they run it.
fn schedule(pack: &PlannedPack, query: &ScheduledQuery) -> Markup {
    html! {
        section.card {
            div.card-head {
                h2 { "SQL" }
                a href=(link("queries/saved", &[("query", &query.name)])) { "Saved queries of this name" }
            }
            pre tabindex="0" { (cut(&query.sql, 20_000)) }
            p.muted {
                "Every " (seconds(query.interval_secs)) ", as the pack " a href={ "packs/" (pack.id) } { (cut(&pack.name, 60)) } " schedules it"
                @if pack.is_disabled { ", which is disabled" } "."
            }
        }
    }
}

/// What of a query is looked at, for the address.
#[derive(Debug, Clone, Copy)]
struct LookAddress<'a> {
    span: &'a str,
    measure: &'a str,
    is_log: bool,
}

impl LookAddress<'_> {
    fn whole(self, report: &QueryCostReport) -> String {
        self.link(report, "", "")
    }

    /// With so many seconds from this one on alone.
    fn part(self, report: &QueryCostReport, start: i64, seconds: i64) -> String {
        self.link(report, &start.to_string(), &seconds.to_string())
    }

    fn link(self, report: &QueryCostReport, at: &str, seconds: &str) -> String {
        let scale = if self.is_log { "log" } else { "" };
        let names = [("pack", report.pack.as_str()), ("name", &report.name)];
        let look = [("span", self.span), ("measure", self.measure), ("scale", scale), ("at", at), ("for", seconds)];
        link("queries/cost", &[&names[..], &look].concat())
    }
}

/// The address of a bar: its hosts, and if it is a day its hours. `None` if nothing else is shown already.
fn behind(report: &QueryCostReport, view: &CostView<'_>, start: DateTime<Utc>) -> Option<String> {
    let look = LookAddress { span: view.span, measure: view.measure.0, is_log: view.is_log };
    let seconds = bucket(report, view);
    let is_shown = view.part.is_some_and(|part| part.seconds == seconds);
    (!is_shown).then(|| look.part(report, start.timestamp(), seconds))
}

fn part_name(part: ChartPart) -> String {
    let start = part.start.to_utc();
    if part.seconds > 3600 { start.format("%-d %b").to_string() } else { start.format("%-d %b %H:%M UTC").to_string() }
}

fn sentence(report: &QueryCostReport) -> String {
    let total = &report.total;
    let p95 = total.cpu_time.map_or_else(String::new, |cpu| format!("p95 {} CPU a run · ", milliseconds(cpu.p95)));
    let runs = plural(total.executions, "run", "runs");
    format!(
        "{p95}{} a day · {runs} on {}",
        cpu_per_day(report.cpu_seconds_per_day),
        plural(total.hosts, "host", "hosts")
    )
}

/// Seconds that a bar stands for: an hour, or a day if the span is longer than is told by hour, or a day whose hours are not
/// kept any more.
fn bucket(report: &QueryCostReport, view: &CostView<'_>) -> i64 {
    let is_by_day = match view.part {
        Some(part) => part.seconds > 3600 && report.buckets.iter().all(|at| is_midnight(at.start)),
        // The page was asked for a moment before the report was made.
        None => report.to - report.from >= TimeDelta::hours(49),
    };
    if is_by_day { 86_400 } else { 3600 }
}

fn is_midnight(at: DateTime<Utc>) -> bool {
    at.timestamp().rem_euclid(86_400) == 0
}

fn when(start: DateTime<Utc>, bucket: i64) -> String {
    let format = if bucket == 3600 { "%-d %b %H:%M UTC" } else { "%-d %b" };
    start.format(format).to_string()
}

fn chart(report: &QueryCostReport, view: &CostView<'_>) -> Markup {
    let (_, name, value, print) = view.measure;
    let marks = changes::marks(view.changed);
    let bucket = bucket(report, view);
    let bars = report.buckets.iter().filter_map(|at| {
        let of_run = value(&at.cost)?;
        let title = format!(
            "{}: p50 {}, p95 {}, p99 {}; {} on {}",
            when(at.start, bucket),
            print(of_run.p50),
            print(of_run.p95),
            print(of_run.p99),
            plural(at.cost.executions, "run", "runs"),
            plural(at.cost.hosts, "host", "hosts"),
        );
        let opens = behind(report, view, at.start);
        Some(Bar { start: at.start, tops: vec![of_run.p99, of_run.p95, of_run.p50], title, opens })
    });
    let about = format!("{name} of a run over time: percentiles 50, 95 and 99");
    // Whole hours and days, those that the span touches.
    let start = report.from.timestamp().div_euclid(bucket) * bucket;
    let end = (report.to.timestamp().div_euclid(bucket) + 1) * bucket;
    let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    let chart = BarChart {
        about: &about,
        from: at(start),
        to: at(end),
        bucket,
        layers: &["area-3", "area-2", "area-1"],
        bars: bars.collect(),
        axis: *print,
        scale: if view.is_log { ChartScale::Log } else { ChartScale::Linear },
        is_wide: true,
        marks: &marks,
    };
    chart.draw()
}

fn table(report: &QueryCostReport, view: &CostView<'_>) -> Markup {
    let (_, _, value, print) = view.measure;
    html! {
        details.data {
            summary { "Show as a table" }
            div.scroll { table {
                thead {
                    tr {
                        th { "From (UTC)" }
                        th.n { "p50" }
                        th.n { "p95" }
                        th.n { "p99" }
                        th.n { "Runs" }
                        th.n { "Hosts" }
                    }
                }
                tbody { @for at in report.buckets.iter().rev() { tr {
                    @let start = at.start.format("%Y-%m-%d %H:%M");
                    td { @match behind(report, view, at.start) { Some(address) => a href=(address) { (start) }, None => (start) } }
                    @match value(&at.cost) {
                        Some(of_run) => { td.n { (print(of_run.p50)) } td.n { (print(of_run.p95)) } td.n { (print(of_run.p99)) } },
                        None => td colspan="3" { span.muted { "–" } },
                    }
                    td.n { (count(at.cost.executions)) } td.n { (count(at.cost.hosts)) }
                } } }
            } }
        }
    }
}

fn percentiles(cost: &RunCost) -> Markup {
    let row = |name: &str, of_run: Option<CostPercentiles>, print: fn(f64) -> String| {
        html! {
            tr { td { (name) } @match of_run {
                Some(of_run) => { td.n { (print(of_run.p50)) } td.n { (print(of_run.p95)) } td.n { (print(of_run.p99)) } },
                None => td.n colspan="3" { span.muted { "–" } },
            } }
        }
    };
    html! {
        div.scroll { table {
            thead { tr { th {} th.n { "p50" } th.n { "p95" } th.n { "p99" } } }
            tbody {
                (row("CPU time", cost.cpu_time, milliseconds))
                (row("User time", cost.user_time, milliseconds))
                (row("System time", cost.system_time, milliseconds))
                (row("Time", cost.wall_time, milliseconds))
                (row("Memory", cost.memory, bytes))
                (row("Output", cost.output_size, bytes))
            }
        } }
    }
}

fn worst(report: &QueryCostReport) -> Markup {
    html! {
        section.card {
            h2 { "Worst hosts" }
            p.muted.small { "The dearest mean of each between two of its reports." }
            @if report.worst_hosts.is_empty() { p.muted { "No host has run it in this time." } }
            @else { div.scroll { table {
                thead { tr { th { "Host" } th.n { "CPU a run" } th.n { "Mean of" } } }
                tbody { @for host in &report.worst_hosts { tr {
                    td.name {
                        a href={ "hosts/" (host.host_id) } {
                            @if host.hostname.is_empty() { "host " (host.host_id) } @else { (cut(&host.hostname, 60)) }
                        }
                    }
                    td.n { (milliseconds(host.cpu_time)) } td.n { (plural(host.executions, "run", "runs")) }
                } } }
            } } }
        }
    }
}

fn groups(report: &QueryCostReport) -> Markup {
    html! {
        @if !report.groups.is_empty() {
            section.card.flush {
                div.card-head { h2 { "By platform and version" } }
                div.scroll { table {
                    thead {
                        tr {
                            th { "Platform" }
                            th { "osquery" }
                            th.n { "p50 CPU" }
                            th.n { "p95 CPU" }
                            th.n.wide-only { "Runs" }
                            th.n.wide-only { "Hosts" }
                            th.n.wide-only { "CPU in all" }
                        }
                    }
                    tbody { @for group in &report.groups { tr {
                        td {
                            @if group.platform.is_empty() { span.muted { "others" } } @else {
                                a href=(link("hosts", &[("platform", &group.platform)])) { (cut(&group.platform, 40)) }
                            }
                        }
                        td { (shown(&group.osquery_version)) }
                        @match group.cost.cpu_time {
                            Some(cpu) => { td.n { (milliseconds(cpu.p50)) } td.n { (milliseconds(cpu.p95)) } },
                            None => { td.n { "–" } td.n { "–" } },
                        }
                        td.n.wide-only { (count(group.cost.executions)) } td.n.wide-only { (count(group.cost.hosts)) }
                        td.n.wide-only { (cpu_per_day(group.cost.cpu_seconds)) }
                    } } }
                } }
            }
        }
    }
}
