//! The table of hosts, and which of its columns are shown.

use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};
use muster_api::rest::HostView;

use super::address::{HostSort, HostsAddress, SORTS};
use crate::admin::pages::answer::go_to;
use crate::admin::pages::cookie::{Cookie, HOST_COLUMNS, set_cookie};
use crate::admin::pages::forms::Posted;
use crate::admin::pages::parts::{ago, ago_or_never, bytes, cut, shown, status_badge};
use crate::admin::pages::sign_in::own_or_home;
use crate::admin::pages::visit::{Look, Visit};
use crate::clock::Moment;
use crate::fleet::Result;

/// Seconds for which a browser remembers the columns.
const KEPT_FOR: u32 = 365 * 24 * 3600;

/// What a cookie says if no column was chosen.
const NONE: &str = "none";

/// A column beside the name.
struct HostColumn {
    /// As in cookies.
    word: &'static str,
    heading: &'static str,
    /// The order by which the list can go.
    sort: Option<&'static HostSort>,
    is_usual: bool,
    is_number: bool,
    cell: fn(&HostView, Moment) -> Markup,
}

const fn column(word: &'static str, heading: &'static str, cell: fn(&HostView, Moment) -> Markup) -> HostColumn {
    HostColumn { word, heading, sort: None, is_usual: false, is_number: false, cell }
}

const fn usual(column: HostColumn) -> HostColumn {
    HostColumn { is_usual: true, ..column }
}

const fn sorted(sort: &'static HostSort, column: HostColumn) -> HostColumn {
    HostColumn { sort: Some(sort), ..column }
}

/// Orders of the list, behind that by name.
static SORTED: [HostSort; 4] = SORTS;

static COLUMNS: [HostColumn; 13] = [
    usual(column("status", "Status", |host, _| status_badge(host.status))),
    usual(column("system", "System", |host, _| cut(&host.os_version, 40))),
    column("platform", "Platform", |host, _| cut(&host.platform, 40)),
    usual(sorted(&SORTED[1], column("osquery", "osquery", |host, _| cut(&host.osquery_version, 20)))),
    usual(column("address", "Address", |host, _| shown(&host.primary_ip))),
    column("uuid", "UUID", |host, _| cut(&host.uuid, 40)),
    column("serial", "Serial number", |host, _| cut(&host.hardware_serial, 40)),
    column("model", "Model", |host, _| cut(&host.hardware_model, 40)),
    HostColumn { is_number: true, ..column("memory", "Memory", |host, _| memory(host)) },
    column("secret", "Enroll secret", |host, _| cut(&host.enroll_secret_name, 40)),
    column("details", "Details", |host, now| ago_or_never(host.detail_updated_at, now)),
    usual(sorted(&SORTED[2], column("seen", "Last seen", |host, now| ago_or_never(host.seen_time, now)))),
    usual(sorted(&SORTED[3], column("enrolled", "Enrolled", |host, now| ago(host.last_enrolled_at, now)))),
];

fn memory(host: &HostView) -> Markup {
    #[expect(clippy::cast_precision_loss, reason = "below 2^52")]
    let size = host.memory as f64;
    html! { @if host.memory > 0 { (bytes(size)) } @else { span.muted { "–" } } }
}

/// The columns that the reader has chosen, or the usual ones.
fn chosen(look: &Look) -> Vec<&'static HostColumn> {
    let words: Vec<&str> = look.host_columns.split('.').collect();
    let is_chosen = |column: &&HostColumn| match look.host_columns.as_str() {
        "" => column.is_usual,
        _ => words.contains(&column.word),
    };
    COLUMNS.iter().filter(is_chosen).collect()
}

/// Chooses columns.
pub(super) fn picker(visit: &Visit) -> Markup {
    let chosen = chosen(&visit.look);
    let is_chosen = |column: &HostColumn| chosen.iter().any(|other| other.word == column.word);
    html! {
        details.picker {
            summary.button { "Columns" }
            form.popup.stack action="hosts/columns" method="post" {
                (visit.form_key.field())
                input type="hidden" name="back" value=(visit.look.address);
                @for column in &COLUMNS {
                    label.check {
                        input type="checkbox" name="column" value=(column.word) checked[is_chosen(column)]; (column.heading)
                    }
                }
                button.primary { "Show these" }
            }
        }
    }
}

/// Keeps the chosen columns in the browser, and goes back.
pub(in crate::admin::pages) async fn keep(request: HttpRequest, posted: Posted) -> HttpResponse {
    let words = posted.fields.all("column");
    let known: Vec<&str> =
        COLUMNS.iter().map(|column| column.word).filter(|word| words.iter().any(|chosen| chosen == word)).collect();
    let value = if known.is_empty() { NONE.to_owned() } else { known.join(".") };
    let mut response = go_to(&posted.visit.look.prefix, own_or_home(posted.fields.text("back")));
    set_cookie(&mut response, &request, &Cookie { name: HOST_COLUMNS, value: &value, max_age: Some(KEPT_FOR) });
    response.finish()
}

/// A heading; one that the list can be ordered by turns its direction.
fn heading(address: &HostsAddress, class: &str, name: &str, sort: Option<&HostSort>) -> Result<Markup> {
    let Some(sort) = sort else { return Ok(html! { th class=(class) { (name) } }) };
    let (is_current, is_descending) = (address.sort()?.word == sort.word, address.is_descending()?);
    let turned = if is_current { !is_descending } else { sort.is_descending };
    let direction = if turned { "desc" } else { "asc" };
    let other = HostsAddress { sort: sort.word.to_owned(), direction: direction.to_owned(), ..address.first() };
    let (aria, arrow) = match (is_current, is_descending) {
        (false, _) => (None, ""),
        (true, false) => (Some("ascending"), " ↑"),
        (true, true) => (Some("descending"), " ↓"),
    };
    Ok(html! { th class=(class) aria-sort=[aria] { a href=(other.link("hosts")) { (name) (arrow) } } })
}

/// The name as people know a host by.
fn name(host: &HostView) -> &str {
    if host.hostname.is_empty() { "(no name)" } else { &host.hostname }
}

pub(super) fn table(visit: &Visit, address: &HostsAddress, hosts: &[HostView]) -> Result<Markup> {
    let (now, columns) = (visit.look.now, chosen(&visit.look));
    // On a narrow screen, the name and one more.
    let class = |position: usize, column: &HostColumn| match (position, column.is_number) {
        (0, false) => "",
        (0, true) => "n",
        (_, false) => "wide-only",
        (_, true) => "n wide-only",
    };
    let headings: Vec<Markup> = columns
        .iter()
        .enumerate()
        .map(|(position, column)| heading(address, class(position, column), column.heading, column.sort))
        .collect::<Result<_>>()?;
    Ok(html! {
        table.page-table {
            thead { tr {
                th.pick { input type="checkbox" data-pick-all hidden aria-label="Select all hosts on this page"; }
                (heading(address, "", SORTED[0].heading, Some(&SORTED[0]))?)
                @for heading in &headings { (heading) }
            } }
            tbody { @for host in hosts { tr {
                td.pick {
                    input type="checkbox" name="host" value=(host.id) aria-label={ "Select " (cut_plain(name(host))) };
                }
                td.name { a href={ "hosts/" (host.id) } { (cut(name(host), 80)) } }
                @for (position, column) in columns.iter().enumerate() {
                    td class=(class(position, column)) { ((column.cell)(host, now)) }
                }
            } } }
        }
    })
}

/// A name where nothing can mark a part of it.
fn cut_plain(name: &str) -> String {
    crate::admin::pages::parts::visible(&name.chars().take(80).collect::<String>())
}
