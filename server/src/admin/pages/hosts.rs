//! The list of hosts. Its address holds what it is narrowed to, its order and where it begins.

use actix_web::web::Data;
use chrono::SecondsFormat;
use maud::{Markup, html};
use muster_api::rest::{FleetCount, HostView, LabelSummary};

use super::answer::{Page, PageAnswer, PageFailed};
use super::overview::download;
use super::parts::{ago, ago_or_never, count, cut, link, plural, shown, status_badge};
use super::visit::{Look, Visit};
use crate::admin::AdminApi;
use crate::admin::lists::{COLUMNS, HostFormat};
use crate::fleet::hosts::{HostFilter, HostOrder, HostState};
use crate::fleet::labels::Labels;
use crate::fleet::resource::Resource as _;
use crate::fleet::{Error, Fleet, Result};

/// Hosts of a page.
const ROWS: u64 = 50;

/// Most labels to choose from. All are found on the page of labels.
const MAX_LABELS: usize = 300;

/// Longest text that is looked for.
const MAX_TEXT: usize = 200;

const STATES: [(&str, &str, HostState); 4] = [
    ("online", "Online", HostState::Online),
    ("offline", "Offline", HostState::Offline),
    ("missing", "Not seen for 30 days", HostState::Missing),
    ("new", "New today", HostState::New),
];

/// An order of the list: its word in addresses, and what is shown of each host.
struct HostSort {
    word: &'static str,
    heading: &'static str,
    order: HostOrder,
    /// The latest first, if nothing else is asked for.
    is_descending: bool,
    value: fn(&HostView) -> String,
}

const SORTS: [HostSort; 4] = [
    HostSort {
        word: "hostname",
        heading: "Host",
        order: HostOrder::Hostname,
        is_descending: false,
        value: |host| host.hostname.clone(),
    },
    HostSort {
        word: "osquery_version",
        heading: "osquery",
        order: HostOrder::OsqueryVersion,
        is_descending: false,
        value: |host| host.osquery_version.clone(),
    },
    HostSort {
        word: "seen_time",
        heading: "Last seen",
        order: HostOrder::SeenTime,
        is_descending: true,
        value: |host| host.seen_time.to_rfc3339_opts(SecondsFormat::Micros, true),
    },
    HostSort {
        word: "enrolled",
        heading: "Enrolled",
        order: HostOrder::EnrolledAt,
        is_descending: true,
        value: |host| host.last_enrolled_at.to_rfc3339_opts(SecondsFormat::Micros, true),
    },
];

/// What an address asks for. A word that is not known is refused, so that no filter is passed over in silence.
#[derive(Clone)]
struct HostsAddress {
    text: String,
    status: String,
    label: String,
    platform: String,
    version: String,
    sort: String,
    /// `asc` or `desc`; empty for the usual direction of the sort.
    direction: String,
    /// Value and id of the host that the page begins behind.
    after: String,
    after_id: String,
}

impl HostsAddress {
    fn of(look: &Look) -> Self {
        let text = |name| look.parameter(name).unwrap_or_default();
        Self {
            text: text("query").trim().chars().take(MAX_TEXT).collect(),
            status: text("status"),
            label: text("label"),
            platform: text("platform"),
            version: text("osquery_version"),
            sort: text("sort"),
            direction: text("direction"),
            after: text("after"),
            after_id: text("after_id"),
        }
    }

    /// The address of this list on a page.
    fn link(&self, page: &str) -> String {
        let parameters = [
            ("query", &self.text),
            ("status", &self.status),
            ("label", &self.label),
            ("platform", &self.platform),
            ("osquery_version", &self.version),
            ("sort", &self.sort),
            ("direction", &self.direction),
            ("after", &self.after),
            ("after_id", &self.after_id),
        ];
        link(page, &parameters.map(|(name, value)| (name, value.as_str())))
    }

    /// The same list from its beginning.
    fn first(&self) -> Self {
        Self { after: String::new(), after_id: String::new(), ..self.clone() }
    }

    fn sort(&self) -> Result<&'static HostSort> {
        let word = if self.sort.is_empty() { SORTS[0].word } else { &self.sort };
        let sort = SORTS.iter().find(|sort| sort.word == word);
        sort.ok_or_else(|| Error::invalid("sort", format!("hosts cannot be ordered by {word}")))
    }

    fn is_descending(&self) -> Result<bool> {
        match self.direction.as_str() {
            "" => Ok(self.sort()?.is_descending),
            "asc" => Ok(false),
            "desc" => Ok(true),
            other => Err(Error::invalid("direction", format!("there is no direction {other}"))),
        }
    }

    fn filter(&self) -> Result<HostFilter> {
        let sort = self.sort()?;
        let state = STATES.iter().find(|(word, ..)| *word == self.status);
        if !self.status.is_empty() && state.is_none() {
            return Err(Error::invalid("status", format!("there is no status {}", self.status)));
        }
        let number = |name: &str, text: &str| match text {
            "" => Ok(None),
            text => text.parse::<i64>().map(Some).map_err(|_| Error::invalid(name, format!("{text} is no id"))),
        };
        let after_id = number("after_id", &self.after_id)?;
        let no_value = || Error::invalid("after", "the address does not say where the page begins".to_owned());
        let after = after_id.map(|_| sort.order.value(&self.after).ok_or_else(no_value)).transpose()?;
        let word = |text: &String| (!text.is_empty()).then(|| text.clone());
        Ok(HostFilter {
            text: self.text.clone(),
            label_id: number("label", &self.label)?,
            state: state.map(|(.., state)| *state),
            platform: word(&self.platform),
            osquery_version: word(&self.version),
            after,
            after_id,
            offset: 0,
            limit: None,
            order: sort.order,
            is_descending: self.is_descending()?,
        })
    }
}

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
        let address = HostsAddress::of(&visit.look);
        let rows = read(&fleet, &visit, address.filter()?).await?;
        Ok(Page::new("Hosts", show(&visit, &address, &rows)?))
    })
    .await
}

/// The list as comma-separated values.
pub(super) async fn csv(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    let filter = match HostsAddress::of(&visit.look).first().filter() {
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
            div.actions { (download(&address.first().link("hosts.csv"), "CSV")) }
        }
        (filters(address, rows))
        section.card.flush {
            @if rows.hosts.is_empty() {
                div.empty {
                    h2 { @if all == 0 { "No host has enrolled yet" } @else { "No host is like this" } }
                    @if all == 0 { p { "The " a href="." { "overview" } " says how a host enrolls." } }
                    @else { p { "Take a filter away, or " a href="hosts" { "look at all hosts" } "." } }
                }
            } @else {
                (table(visit, address, &rows.hosts)?)
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

/// The heading of a column that the list can be ordered by.
fn heading(address: &HostsAddress, sort: &HostSort) -> Result<Markup> {
    let (is_current, is_descending) = (address.sort()?.word == sort.word, address.is_descending()?);
    let turned = if is_current { !is_descending } else { sort.is_descending };
    let direction = if turned { "desc" } else { "asc" };
    let other = HostsAddress { sort: sort.word.to_owned(), direction: direction.to_owned(), ..address.first() };
    let (aria, arrow) = match (is_current, is_descending) {
        (false, _) => (None, ""),
        (true, false) => (Some("ascending"), " ↑"),
        (true, true) => (Some("descending"), " ↓"),
    };
    let class = if sort.word == "hostname" { "" } else { "wide-only" };
    Ok(html! { th class=(class) aria-sort=[aria] { a href=(other.link("hosts")) { (sort.heading) (arrow) } } })
}

fn table(visit: &Visit, address: &HostsAddress, hosts: &[HostView]) -> Result<Markup> {
    let now = visit.look.now;
    let [name, version, seen, enrolled] = &SORTS;
    Ok(html! {
        table.page-table {
            thead { tr {
                (heading(address, name)?)
                th { "Status" } th.wide-only { "System" }
                (heading(address, version)?)
                th.wide-only { "Address" }
                (heading(address, seen)?) (heading(address, enrolled)?)
            } }
            tbody { @for host in hosts { tr {
                td.name {
                    a href={ "hosts/" (host.id) } {
                        @if host.hostname.is_empty() { "(no name)" } @else { (cut(&host.hostname, 80)) }
                    }
                }
                td { (status_badge(host.status)) }
                td.wide-only { (cut(&host.os_version, 40)) }
                td.wide-only { (cut(&host.osquery_version, 20)) }
                td.wide-only { (shown(&host.primary_ip)) }
                td.wide-only { (ago_or_never(host.seen_time, now)) }
                td.wide-only { (ago(host.last_enrolled_at, now)) }
            } } }
        }
    })
}
