//! The list of hosts. Its address holds what it is narrowed to, its order and where it begins.

mod address;
mod bulk;
mod columns;

pub(super) use self::bulk::{ask, confirm_delete, delete, refetch};
pub(super) use self::columns::keep as keep_columns;

use actix_web::web::Data;
use maud::{Markup, html};
use muster_api::rest::{FleetCount, HostView, LabelSummary};

use self::address::{HostsAddress, STATES};
use self::columns::{picker, table};
use super::answer::{Page, PageAnswer, PageFailed};
use super::overview::download;
use super::parts::{count, cut, plural};
use super::visit::Visit;
use crate::admin::AdminApi;
use crate::admin::lists::{COLUMNS, HostFormat};
use crate::fleet::access::Permission;
use crate::fleet::hosts::HostFilter;
use crate::fleet::labels::Labels;
use crate::fleet::resource::Resource as _;
use crate::fleet::{Fleet, Result};

/// Hosts of a page.
const ROWS: u64 = 50;

/// Most labels to choose from. All are found on the page of labels.
const MAX_LABELS: usize = 300;

/// Longest text that is looked for.
const MAX_TEXT: usize = 200;

/// What the page tells.
struct HostPageRows {
    hosts: Vec<HostView>,
    /// Whether there are more behind these.
    has_more: bool,
    found: u64,
    labels: Vec<LabelSummary>,
    kinds: FleetCount,
}

pub(super) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |fleet, visit| async move {
        let address = HostsAddress::read(|name| visit.look.parameter(name).unwrap_or_default());
        let rows = read(&fleet, &visit, address.filter()?).await?;
        Ok(Page::new("Hosts", show(&visit, &address, &rows)?))
    })
    .await
}

/// The list as comma-separated values.
pub(super) async fn csv(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    let filter = match HostsAddress::read(|name| visit.look.parameter(name).unwrap_or_default()).first().filter() {
        Ok(filter) => filter,
        Err(error) => return Err(PageFailed::of(visit, error)),
    };
    let file = format!("Hosts {}.csv", visit.look.now.to_utc().format("%Y-%m-%d"));
    let (fleet, by) = (api.fleet.clone(), visit.principal.clone());
    let begin = move || async move { fleet.hosts.list(&by, &filter).await };
    let sent = api.lists.send_hosts(&visit.principal, HostFormat::Csv(COLUMNS.to_vec()), Some(file), begin).await;
    sent.map_err(|failed| PageFailed::of(visit, failed.0))
}

async fn read(fleet: &Fleet, visit: &Visit, filter: HostFilter) -> Result<HostPageRows> {
    let by = &visit.principal;
    let found = HostFilter { after: None, after_id: None, ..filter.clone() };
    let limited = HostFilter { limit: Some(ROWS + 1), ..filter };
    let mut hosts = fleet.hosts.list(by, &limited).await?.read().await?;
    let has_more = hosts.len() as u64 > ROWS;
    hosts.truncate(usize::try_from(ROWS).unwrap_or(usize::MAX));
    Ok(HostPageRows {
        hosts,
        has_more,
        found: fleet.hosts.count(by, &found).await?,
        labels: Labels::of(fleet).summary(by).await?,
        kinds: fleet.hosts.counts_now(by).await?,
    })
}

fn show(visit: &Visit, address: &HostsAddress, rows: &HostPageRows) -> Result<Markup> {
    let all = rows.kinds.online + rows.kinds.offline;
    let is_narrowed = rows.found != all;
    let state = if is_narrowed {
        format!("{} of {}", count(rows.found), plural(all, "host", "hosts"))
    } else {
        plural(all, "host", "hosts")
    };
    Ok(html! {
        div.title {
            div { h1 { "Hosts" } p.state { (state) } }
            div.actions {
                (picker(visit))
                (download(&address.first().link("hosts.csv"), "CSV"))
                (add_hosts(visit))
            }
        }
        (filters(address, rows))
        section.card.flush {
            @if rows.hosts.is_empty() {
                div.empty {
                    h2 { @if all == 0 { "No host has enrolled yet" } @else { "No host is like this" } }
                    @if all == 0 { p { "Hosts stand here once their agents have enrolled." } p { @if may_add(visit) { (add_hosts(visit)) } @else { "Ask a maintainer to add one." } } }
                    @else { p { "Take a filter away, or " a href="hosts" { "look at all hosts" } "." } }
                }
            } @else {
                (bulk::form(visit, address, rows, table(visit, address, &rows.hosts)?))
                @if rows.has_more || !address.after_id.is_empty() {
                    div.more {
                        @if address.after_id.is_empty() { span {} } @else {
                            a href=(address.first().link("hosts")) { "Back to the first" }
                        }
                        @if let Some(last) = rows.hosts.last().filter(|_| rows.has_more) {
                            @let after = (address.sort()?.value)(last);
                            @let next = HostsAddress { after, after_id: last.id.to_string(), ..address.clone() };
                            a.button href=(next.link("hosts")) { "Next " (ROWS) }
                        }
                    }
                }
            }
        }
    })
}

/// Whether a user may learn what a machine needs to become a host.
fn may_add(visit: &Visit) -> bool {
    visit.may(Permission::ReadSecrets)
}

fn add_hosts(visit: &Visit) -> Markup {
    html! { @if may_add(visit) { a.button.primary href="hosts/add" { "Add hosts" } } }
}

fn filters(address: &HostsAddress, rows: &HostPageRows) -> Markup {
    let first = address.first();
    let labels = rows.labels.iter().enumerate();
    let labels = labels.filter(|(number, label)| *number < MAX_LABELS || label.id.to_string() == address.label);
    let option =
        |value: &str, chosen: &str, text: Markup| html! { option value=(value) selected[value == chosen] { (text) } };
    html! {
        form.row action="hosts" method="get" {
            input type="search" name="query" value=(address.text) placeholder="Name, UUID, serial or address" aria-label="Text" maxlength=(MAX_TEXT);
            select name="label" aria-label="Label" {
                option value="" { "Any label" }
                @for (_, label) in labels { (option(&label.id.to_string(), &address.label, cut(&label.name, 60))) }
            }
            select name="platform" aria-label="Platform" {
                option value="" { "Any platform" }
                @for platform in rows.kinds.platforms.keys().filter(|platform| !platform.is_empty()) {
                    (option(platform, &address.platform, cut(platform, 40)))
                }
            }
            select name="osquery_version" aria-label="Version of osquery" {
                option value="" { "Any osquery" }
                @for version in rows.kinds.osquery_versions.keys().filter(|version| !version.is_empty()) {
                    (option(version, &address.version, cut(version, 40)))
                }
            }
            input type="hidden" name="status" value=(address.status);
            input type="hidden" name="sort" value=(address.sort);
            input type="hidden" name="direction" value=(address.direction);
            button { "Filter" }
        }
        div.chips {
            @let everything = HostsAddress { status: String::new(), ..first.clone() };
            a.chip href=(everything.link("hosts")) aria-current=[address.status.is_empty().then_some("true")] {
                "Any status"
            }
            @for (word, shown, _) in STATES {
                @let narrowed = HostsAddress { status: word.to_owned(), ..first.clone() };
                a.chip href=(narrowed.link("hosts")) aria-current=[(address.status == word).then_some("true")] {
                    (shown)
                }
            }
            @for (what, value, without) in chosen(&first, rows) {
                a.chip aria-current="true" href=(without.link("hosts")) title="Take this filter away" {
                    span.muted { (what) } (cut(&value, 40)) span aria-hidden="true" { "×" }
                }
            }
        }
    }
}

/// Filters that are chosen, and the address without each of them.
fn chosen(first: &HostsAddress, rows: &HostPageRows) -> Vec<(&'static str, String, HostsAddress)> {
    let mut chosen = Vec::new();
    let label = rows.labels.iter().find(|label| label.id.to_string() == first.label).map(|label| label.name.clone());
    let label = label.unwrap_or_else(|| first.label.clone());
    for (what, value, without) in [
        ("text", first.text.clone(), HostsAddress { text: String::new(), ..first.clone() }),
        ("label", label, HostsAddress { label: String::new(), ..first.clone() }),
        ("platform", first.platform.clone(), HostsAddress { platform: String::new(), ..first.clone() }),
        ("osquery", first.version.clone(), HostsAddress { version: String::new(), ..first.clone() }),
    ] {
        if !value.is_empty() {
            chosen.push((what, value, without));
        }
    }
    chosen
}
