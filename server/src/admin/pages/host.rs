//! One host: what it is, what its queries cost it, and why it runs them.

use actix_web::web::Data;
use chrono::{DateTime, Utc};
use maud::{Markup, html};
use muster_api::rest::{Denylisted, HostDetail, HostQueryCost, HostStatistics, HostStatus, HostView};

use super::answer::{Page, PageAnswer};
use super::forms::Posted;
use super::overview::{query_name, restart_line};
use super::packs::seconds;
use super::parts::{
    Tone, ago, ago_or_never, badge, bytes, count, cpu_per_day, cut, impact_badge, link, milliseconds, plural, shown,
    status_badge,
};
use super::visit::{PageId, Visit};
use crate::admin::AdminApi;
use crate::clock::Moment;
use crate::fleet::Error;
use crate::fleet::access::Permission;

/// Queries of the first page of a host.
const SHOWN: usize = 8;

/// Events of each kind on the first page of a host.
const EVENTS: usize = 10;

/// Characters of a config that are shown; REST gives all of it.
const MAX_CONFIG: usize = 60_000;

pub(super) async fn page(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        let (host, costs) = fleet.host_and_costs(&visit.principal, *id).await?;
        let stalled_since = match &costs {
            Some(costs) => costs.stalled_since,
            None => fleet.statistics.stalled_since(&visit.principal, *id).await?,
        };
        Ok(Page::new(title(&host.host), show(&visit, &host, costs.as_ref(), stalled_since)))
    })
    .await
}

/// Which scheduled queries the host runs, and why.
pub(super) async fn queries(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        let (host, explained, costs) = fleet.explained_costs(&visit.principal, *id).await?;
        let cost = |pack: &str, name: &str| costs.queries.iter().find(|cost| cost.pack == pack && cost.name == name);
        let runs = explained.schedule.iter().filter(|query| query.runs).count() as u64;
        let all = plural(explained.schedule.len() as u64, "scheduled query", "scheduled queries");
        let main = html! {
            (head(&visit, &host, "queries", &format!("Runs {} of {all}.", count(runs))))
            section.card.flush { div.scroll { table.page-table {
                thead { tr {
                    th { "Query" }
                    th { "Runs" }
                    th.wide-only { "Why" }
                    th.n.wide-only { "Every" }
                    th.wide-only { "Impact" }
                    th.n.wide-only { "CPU a run" } th.n.wide-only { "Runs so far" } th.wide-only { "Last run" }
                } }
                tbody { @for query in &explained.schedule { tr {
                    @let cost = cost(&query.pack, &query.name);
                    td.name { (query_name(&query.pack, &query.name)) }
                    td { @if query.runs { (badge(Tone::Good, "Yes")) } @else { (badge(Tone::Unknown, "No")) } }
                    td.wide-only {
                        @if query.runs && query.reason == "runs" { span.muted { "in its packs" } } @else {
                            (shown(&query.reason))
                        }
                    }
                    td.n.wide-only { (seconds(query.interval.into())) }
                    @match cost {
                        Some(cost) => (cost_cells(cost, visit.look.now)),
                        None => td.wide-only colspan="4" { @if query.runs { span.muted { "not told yet" } } },
                    }
                } } }
            } } }
        };
        Ok(Page::new(title(&host), main))
    })
    .await
}

/// The config as the agent receives it.
pub(super) async fn config(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        let (host, explained, _) = fleet.explained_costs(&visit.principal, *id).await?;
        let text = serde_json::to_string_pretty(&explained.config).map_err(|error| Error::Internal(Box::new(error)))?;
        let main = html! {
            (head(&visit, &host, "config", "The config as the agent receives it."))
            section.card {
                dl.facts { dt { "Config hash" } dd { code { (explained.config_hash) } } }
                pre tabindex="0" { (cut(&text, MAX_CONFIG)) }
            }
        };
        Ok(Page::new(title(&host), main))
    })
    .await
}

pub(super) async fn refetch(api: Data<AdminApi>, posted: Posted, id: PageId) -> PageAnswer {
    api.submit(posted.visit, move |fleet, visit| async move {
        fleet.hosts.refetch(&visit.principal, *id).await?;
        Ok(format!("/hosts/{id}?notice=refetch"))
    })
    .await
}

/// Asks whether to delete a host.
pub(super) async fn delete_page(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        visit.principal.may(Permission::WriteHosts)?;
        let (host, _) = fleet.host_and_costs(&visit.principal, *id).await?;
        let main = html! {
            div.card {
                h1 { "Delete 1 host?" }
                p {
                    (cut(&host.host.display_name, 120)) " and everything known of it is deleted. If its agent still runs, it enrolls again as a new host."
                }
                form.row action={ "hosts/" (id) "/delete" } method="post" {
                    (visit.form_key.field())
                    button.danger { "Delete 1 host" }
                    a.button href={ "hosts/" (id) } { "Keep it" }
                }
            }
        };
        Ok(Page::new("Delete a host", main))
    })
    .await
}

pub(super) async fn delete(api: Data<AdminApi>, posted: Posted, id: PageId) -> PageAnswer {
    api.submit(posted.visit, move |fleet, visit| async move {
        match fleet.delete_hosts(&visit.principal, &[*id]).await? {
            0 => Err(Error::no_such("Host", *id)),
            _ => Ok("/hosts?notice=deleted".to_owned()),
        }
    })
    .await
}

fn title(host: &HostView) -> String {
    let name = if host.display_name.is_empty() { "(no name)" } else { &host.display_name };
    name.chars().take(80).collect()
}

/// The name of a host, how it is, and its pages.
fn head(visit: &Visit, host: &HostView, page: &str, state: &str) -> Markup {
    let base = format!("hosts/{}", host.id);
    let may_explain = visit.may(Permission::ReadPacks) && visit.may(Permission::ReadConfig);
    html! {
        div.title {
            div {
                p.crumb { a href="hosts" { "Hosts" } }
                h1 { (cut(&title(host), 80)) }
                p.state.row {
                    (status_badge(host.status)) span { "seen " (ago_or_never(host.seen_time, visit.look.now)) }
                    span { (shown(state)) }
                }
            }
            div.actions {
                a.button href=(link("live", &[("host_id", &host.id.to_string())])) { "Run a live query" }
                @if visit.may(Permission::WriteHosts) {
                    form.inline action={ (base) "/refetch" } method="post" {
                        (visit.form_key.field()) button { "Refetch" }
                    }
                    a.button.danger href={ (base) "/delete" } { "Delete" }
                }
            }
        }
        @if may_explain {
            nav.tabs aria-label="Pages of this host" {
                @for (word, name, address) in [("", "Host", base.clone()), ("queries", "Queries", format!("{base}/queries")), ("config", "Config", format!("{base}/config"))] {
                    a href=(address) aria-current=[(word == page).then_some("page")] { (name) }
                }
            }
        }
    }
}

fn show(
    visit: &Visit,
    detail: &HostDetail,
    costs: Option<&HostStatistics>,
    stalled_since: Option<DateTime<Utc>>,
) -> Markup {
    let (host, now) = (&detail.host, visit.look.now);
    html! {
        (head(visit, host, "", if host.refetch_requested { "details are asked for" } else { "" }))
        @if let Some(warning) = &detail.clone_warning { p.warning { (shown(warning)) } }
        @if let Some(since) = stalled_since.filter(|_| host.status == HostStatus::Online) {
            p.warning {
                "Stalled: the agent checks in, and none of its scheduled queries has run since " (ago(since, now)) "."
            }
        }
        div.grid {
            (vitals(host, now))
            div.stack { (membership(visit, detail)) (parked(detail, now)) }
        }
        @if let Some(costs) = costs {
            (burden(host, costs, now))
            div.grid { (denylist(&costs.denylist, now)) (restarts(costs, now)) }
        }
    }
}

fn vitals(host: &HostView, now: Moment) -> Markup {
    let fact = |name: &str, value: &str| html! { @if !value.is_empty() { dt { (name) } dd { (cut(value, 300)) } } };
    let hours = host.uptime / 3_600_000_000_000;
    let uptime = if hours < 48 {
        plural(hours.max(0).unsigned_abs(), "hour", "hours")
    } else {
        plural((hours / 24).unsigned_abs(), "day", "days")
    };
    #[expect(clippy::cast_precision_loss, reason = "below 2^52")]
    let memory = host.memory as f64;
    html! {
        section.card {
            h2 { "Vitals" }
            dl.facts {
                (fact("Host name", &host.hostname))
                (fact("Computer name", &host.computer_name))
                (fact("System", &host.os_version))
                (fact("Platform", &host.platform))
                (fact("osquery", &host.osquery_version))
                @if host.uptime > 0 { dt { "Up for" } dd { (uptime) } }
                @if host.memory > 0 { dt { "Memory" } dd { (bytes(memory)) } }
                (fact("Processor", &host.cpu_brand))
                @if host.cpu_logical_cores > 0 {
                    dt { "Cores" }
                    dd { (host.cpu_physical_cores) " physical, " (host.cpu_logical_cores) " logical" }
                }
                (fact("Model", format!("{} {}", host.hardware_vendor, host.hardware_model).trim()))
                (fact("Serial number", &host.hardware_serial))
                (fact("UUID", &host.uuid))
                (fact("Address", &host.primary_ip))
                (fact("MAC", &host.primary_mac))
                @if host.gigs_disk_space_available > 0.0 {
                    dt { "Free disk" }
                    dd {
                        (format!("{:.0}", host.gigs_disk_space_available)) " GB (" (format!("{:.0}", host.percent_disk_space_available)) " %)"
                    }
                }
                dt { "Enrolled" }
                dd {
                    (ago(host.last_enrolled_at, now)) @if !host.enroll_secret_name.is_empty() {
                        " with the secret " (cut(&host.enroll_secret_name, 60))
                    }
                }
                dt { "Details" } dd { (ago_or_never(host.detail_updated_at, now)) }
                dt { "Polls" }
                dd {
                    "live queries every " (host.distributed_interval) " s, config every " (host.config_tls_refresh) " s, sends logs every " (host.logger_tls_period) " s"
                }
            }
        }
    }
}

fn membership(visit: &Visit, detail: &HostDetail) -> Markup {
    let may_read_packs = visit.may(Permission::ReadPacks);
    html! {
        section.card {
            h2 { "Labels" }
            @if detail.labels.is_empty() { p.muted { "In no label." } }
            div.chips {
                @for label in &detail.labels { a.chip href={ "hosts?label=" (label.id) } { (cut(&label.name, 60)) } }
            }
            h2 { "Packs" }
            @if detail.packs.is_empty() { p.muted { "No pack is targeted at its labels." } }
            div.chips {
                @for pack in &detail.packs {
                    // A pack that is new in a rollout has no page yet.
                    @if may_read_packs && pack.id > 0 { a.chip href={ "packs/" (pack.id) } { (cut(&pack.name, 60)) } }
                    @else { span.chip { (cut(&pack.name, 60)) } }
                }
            }
        }
    }
}

fn parked(detail: &HostDetail, now: Moment) -> Markup {
    html! {
        @if !detail.parked_queries.is_empty() {
            section.card {
                h2 { "Parked questions" }
                p.muted { "Not asked of this host any more. A refetch asks them again." }
                ul.plain-list { @for parked in &detail.parked_queries {
                    li {
                        strong { (cut(&parked.name, 80)) }
                        " " (ago(parked.parked_at, now)) br; span.muted { (cut(&parked.reason, 300)) }
                    }
                } }
            }
        }
    }
}

/// The cells of a row that tell what a query costs this host.
fn cost_cells(cost: &HostQueryCost, now: Moment) -> Markup {
    html! {
        td.wide-only { (impact_badge(cost.impact)) }
        td.n.wide-only { @if let Some(cpu) = cost.cpu_time { (milliseconds(cpu)) } @else { span.muted { "–" } } }
        td.n.wide-only { (count(cost.executions)) }
        td.wide-only { @if let Some(last) = cost.last_executed { (ago(last, now)) } @else { span.muted { "never" } } }
    }
}

fn burden(host: &HostView, costs: &HostStatistics, now: Moment) -> Markup {
    let cpu: f64 = costs.queries.iter().map(|query| query.cpu_seconds).sum();
    html! {
        section.card.flush {
            div.card-head {
                h2 { "What its queries cost" }
                @if let Some(at) = costs.sampled_at {
                    span.muted { (cpu_per_day(cpu)) " since its counters began, told " (ago(at, now)) }
                }
                a href={ "hosts/" (host.id) "/queries" } { "All, and why" }
            }
            @if costs.queries.is_empty() {
                div.empty { p { "This host has not told yet what its queries cost. Each host does once an hour." } }
            } @else {
                div.scroll { table {
                    thead {
                        tr {
                            th { "Query" }
                            th { "Impact" }
                            th.n { "CPU a run" }
                            th.n.wide-only { "Time a run" }
                            th.n.wide-only { "Runs" }
                            th.n.wide-only { "CPU so far" }
                            th.wide-only { "Last run" }
                        }
                    }
                    tbody { @for query in costs.queries.iter().take(SHOWN) { tr {
                        td.name { (query_name(&query.pack, &query.name)) }
                        td { (impact_badge(query.impact)) }
                        td.n { @if let Some(cpu) = query.cpu_time { (milliseconds(cpu)) } @else { span.muted { "–" } } }
                        td.n.wide-only {
                            @if let Some(wall) = query.wall_time { (milliseconds(wall)) } @else { span.muted { "–" } }
                        }
                        td.n.wide-only { (count(query.executions)) }
                        td.n.wide-only { (cpu_per_day(query.cpu_seconds)) }
                        td.wide-only {
                            @if let Some(last) = query.last_executed { (ago(last, now)) } @else {
                                span.muted { "never" }
                            }
                        }
                    } } }
                } }
            }
        }
    }
}

fn denylist(events: &[Denylisted], now: Moment) -> Markup {
    html! {
        section.card {
            h2 { "Denylisted" }
            @if events.is_empty() { p.muted { "No query has stopped the worker here." } }
            ul.plain-list { @for event in events.iter().take(EVENTS) { li.split {
                div { (query_name(&event.pack, &event.name)) }
                span.nowrap {
                    @match event.until {
                        None => { (badge(Tone::Bad, "Denylisted")) " " span.muted { (ago(event.since, now)) } },
                        Some(until) => { (badge(Tone::Unknown, "Lifted")) " " span.muted { (ago(until, now)) } },
                    }
                }
            } } }
        }
    }
}

fn restarts(costs: &HostStatistics, now: Moment) -> Markup {
    html! {
        section.card {
            h2 { "Worker restarts" }
            @if costs.restarts.is_empty() {
                p.muted { "The worker of this agent was not replaced while Muster looked." }
            }
            @for restart in costs.restarts.iter().take(EVENTS) { (restart_line(restart, now)) }
        }
    }
}
