//! All parts of pages at one place, in both themes: for whoever changes them. Only in builds for development.

use actix_web::web::Data;
use chrono::{TimeDelta, Timelike as _};
use maud::{Markup, html};
use muster_api::rest::{HostStatus, Impact};

use super::answer::{Page, PageAnswer};
use super::overview::{download, legend};
use super::parts::{
    Bar, BarChart, ChartMark, ChartScale, CodeField, CodeLanguage, Icon, Tone, ago, badge, bytes, code_field, count,
    cpu_per_day, icon, impact_badge, meter, milliseconds, percent, shown, spark, status_badge,
};
use super::visit::Visit;
use crate::admin::AdminApi;
use crate::fleet::access::Permission;

/// Colours, each by the class that fills with it.
const COLOURS: [&str; 19] = [
    "ground",
    "surface",
    "raised",
    "sunken",
    "ink",
    "soft",
    "line",
    "strong-line",
    "accent",
    "accent-soft",
    "good",
    "good-soft",
    "attention",
    "attention-soft",
    "bad",
    "bad-soft",
    "unknown",
    "chart-1",
    "chart-2",
];

pub(super) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |_, visit| async move {
        visit.principal.may(Permission::ReadHosts)?;
        let main = html! {
            div.title {
                div {
                    p.crumb { a href="." { "A crumb" } " / what is above" }
                    h1 { "Style" }
                    p.state { "Tokens and parts of pages; the theme is switched under the name above." }
                }
                div.actions { (download("style", "Download")) a.button.danger href="style" { "Delete" } }
            }
            (tokens())
            (states())
            (numbers())
            div.grid { (chart(&visit)) (form(&visit)) }
            (table(&visit))
            div.grid {
                section.card.flush {
                    div.empty {
                        h2 { "Nothing is here yet" }
                        p { "What appears here, and the one command that makes it appear: " code { "fleetctl apply -f FILE" } "." }
                        p { a.button.primary href="style" { "Or a button" } }
                    }
                }
                section.card {
                    h2 { "What is told after a change" }
                    p.toast role="status" { "The host is asked for its details with its next check-in." }
                    p.toast.stale { "As of 12:00:00: the server does not answer." }
                    p.warning { "Something to look at." }
                    p.problem { "What happened, why, and what to do." }
                }
            }
        };
        Ok(Page::new("Style", main))
    })
    .await
}

fn tokens() -> Markup {
    html! {
        section.card {
            h2 { "Colours" }
            div.swatches { @for colour in COLOURS {
                div.swatch {
                    svg viewBox="0 0 28 28" aria-hidden="true" { rect width="28" height="28" fill={ "var(--" (colour) ")" } {} }
                    code { (colour) }
                }
            } }
            h2 { "Type" }
            p { "Text of 14 px. " strong { "Strong. " } span.muted { "Softer. " } span.small { "Small, 12 px. " } code { "code, 13 px" } }
            pre tabindex="0" { "SELECT name, version FROM os_version" }
            h2 { "Pictures" }
            p.row { @for picture in [Icon::Overview, Icon::Hosts, Icon::Queries, Icon::Packs, Icon::Labels, Icon::Live, Icon::Watchdog, Icon::Activity, Icon::Users, Icon::About, Icon::Search, Icon::Download] { (icon(picture)) } }
        }
    }
}

fn states() -> Markup {
    html! {
        section.card {
            h2 { "States: colour, shape and word" }
            p.row {
                (badge(Tone::Good, "Good")) (badge(Tone::Attention, "Attention")) (badge(Tone::Bad, "Bad")) (badge(Tone::Unknown, "Unknown"))
                (status_badge(HostStatus::Online)) (status_badge(HostStatus::Offline))
            }
            p.row {
                @for impact in [Impact::Undetermined, Impact::Minimal, Impact::Considerable, Impact::Excessive, Impact::Denylisted] {
                    (impact_badge(impact))
                }
            }
            div.chips {
                a.chip href="style" { "A chip" }
                a.chip href="style" aria-current="true" { span.muted { "label" } "chosen" span aria-hidden="true" { "×" } }
            }
            nav.tabs aria-label="Tabs" { a href="style" aria-current="page" { "One tab" } a href="style" { "Another" } }
            p { "Text of others: " (shown("<b>hostile</b> \u{202e}gnihton\u{200b}")) }
        }
    }
}

fn numbers() -> Markup {
    html! {
        div.numbers {
            a.number href="style" { b { (count(500_000)) } span { "Hosts" } }
            a.number.attention href="style" { b { (count(3)) } span { "Stalled hosts" } }
            a.number.bad href="style" { b { (count(14)) } span { "Denylisted" } }
            a.number href="style" { b { (cpu_per_day(46_800.0)) } span { "Fleet cost a day" } }
        }
    }
}

fn chart(visit: &Visit) -> Markup {
    let to = visit.look.now.to_utc();
    let from = to - TimeDelta::hours(24);
    let bars = (0..24).map(|hour| {
        let start = from + TimeDelta::hours(hour);
        let top = 40.0 + f64::from((start.hour() * 7) % 11) * 9.0;
        Bar { start, tops: vec![top * 3.0, top * 2.0, top], title: format!("p50 {top} ms"), opens: None }
    });
    let marks = [ChartMark { at: to - TimeDelta::hours(9), title: "Ada applied documents (3 changes)".to_owned() }];
    let chart = BarChart {
        about: "An example of a chart",
        from,
        to,
        bucket: 3600,
        layers: &["area-3", "area-2", "area-1"],
        bars: bars.collect(),
        axis: milliseconds,
        scale: ChartScale::Linear,
        is_wide: true,
        marks: &marks,
    };
    html! {
        section.card {
            div.card-head {
                h2 { "A chart" }
                (legend(&[("k1", "p50"), ("k2", "p95"), ("k3", "p99"), ("k-mark", "Change")]))
            }
            (chart.draw())
            details.data { summary { "Show as a table" } div.scroll { table { thead { tr { th { "Hour" } th.n { "p50" } } } tbody { tr { td { "12:00" } td.n { "40 ms" } } } } } }
        }
    }
}

fn form(visit: &Visit) -> Markup {
    html! {
        section.card {
            h2 { "A form" }
            form.stack action="style" method="get" {
                label { "Name" input name="name" value="processes"; span.hint { "What it is called" } }
                label { "Name" input name="other" value=""; span.problem { "a name is needed" } }
                label { "Platform" select name="platform" { option { "linux" } option { "darwin" } } }
                (code_field(&CodeField {
                    language: CodeLanguage::Sql,
                    name: "sql",
                    label: "SQL",
                    rows: 3,
                    example: "SELECT 1",
                    text: "SELECT pid FROM processes WHERE name = 'x' -- all of them",
                    problem: Some("\"x\" is too short"),
                }))
                label.check { input type="checkbox" name="all" value="true" checked; "All hosts" }
                div.row { button.primary { "Run query" } button { "Save" } button.danger { "Delete" } button disabled { "Not now" } }
            }
            p.muted { "Changed " (ago(visit.look.now.to_utc() - TimeDelta::minutes(4), visit.look.now)) }
        }
    }
}

fn table(visit: &Visit) -> Markup {
    let now = visit.look.now;
    html! {
        section.card.flush {
            div.card-head { h2 { "A table" } a href="style" { "All of it" } }
            div.scroll { table {
                thead { tr { th aria-sort="ascending" { a href="style" { "Query ↑" } } th { "Impact" } th { "p95 in 24 h" } th.n { "CPU a day" } th { "Part of all" } th.n.wide-only { "Memory" } th.wide-only { "When" } } }
                tbody { @for (name, impact, part) in [("processes", Impact::Minimal, 0.04), ("file hashes", Impact::Excessive, 0.9)] { tr {
                    td.name { a href="style" { (name) } " " span.muted.small { "monitoring" } }
                    td { (impact_badge(impact)) }
                    td { (spark(&[Some(1.0), Some(3.0), None, Some(2.0), Some(6.0)], "An example", milliseconds)) }
                    td.n { (cpu_per_day(part * 90_000.0)) }
                    td { div.split { (meter(part, "")) span.n.muted { (percent(part)) } } }
                    td.n.wide-only { (bytes(3_400_000.0)) }
                    td.wide-only { (ago(now.to_utc() - TimeDelta::hours(3), now)) }
                } } }
            } }
            div.more { a href="style" { "Before" } a.button href="style" { "Next 50" } }
        }
    }
}
