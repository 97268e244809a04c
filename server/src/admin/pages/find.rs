//! Finding a page, a host, a query, a pack or a label by a part of its name: a page, and the part of it that the command
//! palette shows.

use actix_web::web::Data;
use maud::{Markup, html};

use super::answer::{Page, PageAnswer};
use super::layout::pages_with;
use super::overview::query_link;
use super::parts::cut;
use super::visit::{Glance, Visit};
use crate::admin::AdminApi;
use crate::fleet::access::Permission;
use crate::fleet::hosts::HostFilter;
use crate::fleet::names::has_part;
use crate::fleet::queries::Queries;
use crate::fleet::resource::Resource as _;
use crate::fleet::{Fleet, Result};

/// Most finds of each kind.
const EACH: usize = 6;

/// Longest text that is looked for, in characters.
const MAX_TEXT: usize = 200;

/// Characters of a name that are shown.
const NAME: usize = 80;

/// Something that was found.
struct Find {
    address: String,
    name: String,
    /// What else tells it from others of the name.
    beside: String,
}

/// Finds of a kind, and what the kind is called.
type FoundKind = (&'static str, Vec<Find>);

pub(super) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |fleet, visit| async move {
        let text = text(&visit);
        let found = find(&fleet, &visit, &text).await?;
        let main = html! {
            div.title { div { h1 { "Find" } p.state { "Pages, hosts, queries, packs and labels by a part of their name." } } }
            form.row action="find" method="get" role="search" {
                input type="search" name="query" value=(text) placeholder="Part of a name" aria-label="Part of a name" maxlength=(MAX_TEXT);
                button { "Find" }
            }
            section.card { (show(&found)) }
        };
        Ok(Page::new("Find", main))
    })
    .await
}

/// What the command palette shows.
pub(super) async fn part(api: Data<AdminApi>, Glance(visit): Glance) -> PageAnswer {
    api.part(visit, |fleet, visit| async move {
        let found = find(&fleet, &visit, &text(&visit)).await?;
        Ok(show(&found))
    })
    .await
}

fn text(visit: &Visit) -> String {
    let text = visit.look.parameter("query").unwrap_or_default();
    text.trim().chars().take(MAX_TEXT).collect()
}

fn show(found: &[FoundKind]) -> Markup {
    html! {
        div.found {
            @if found.iter().all(|(_, finds)| finds.is_empty()) {
                p.muted { "Nothing has such a name. Hosts are also found by UUID, serial number and address." }
            }
            @for (kind, finds) in found.iter().filter(|(_, finds)| !finds.is_empty()) {
                section aria-label=(kind) {
                    h2.small.muted { (kind) }
                    ul { @for find in finds { li {
                        a href=(find.address) {
                            (cut(&find.name, NAME)) @if !find.beside.is_empty() { " " span.muted.small { (cut(&find.beside, NAME)) } }
                        }
                    } } }
                }
            }
        }
    }
}

/// What the visitor may see of it, bounded: hosts from the directory, packs and labels from the plan, and saved queries with one
/// statement.
async fn find(fleet: &Fleet, visit: &Visit, text: &str) -> Result<Vec<FoundKind>> {
    visit.principal.may(Permission::ReadHosts)?;
    let pages = pages_with(visit, text).into_iter().map(|(address, word)| find_of(address, word, ""));
    let mut found = vec![("Pages", pages.take(12).collect())];
    if text.is_empty() {
        return Ok(found);
    }
    found.push(("Hosts", hosts(fleet, visit, text).await?));
    let has_text = |name: &str| has_part(name, text);
    let plan = fleet.schedule.plan();
    if visit.may(Permission::ReadPacks) {
        let scheduled = plan.packs.iter().flat_map(|pack| pack.queries.iter().map(move |query| (pack, query)));
        let scheduled = scheduled.filter(|(_, query)| has_text(&query.name));
        let scheduled =
            scheduled.map(|(pack, query)| find_of(&query_link(&pack.name, &query.name), &query.name, &pack.name));
        found.push(("Scheduled queries, with what they cost", scheduled.take(EACH).collect()));
    }
    if visit.may(Permission::ReadQueries) {
        let saved = Queries::of(fleet).with_part(&visit.principal, text, EACH as u64).await?;
        let saved = saved.into_iter().map(|(id, name)| find_of(&format!("queries/{id}"), &name, ""));
        found.push(("Saved queries", saved.collect()));
    }
    if visit.may(Permission::ReadPacks) {
        let packs = plan.packs.iter().filter(|pack| has_text(&pack.name));
        let packs = packs.map(|pack| find_of(&format!("packs/{}", pack.id), &pack.name, ""));
        found.push(("Packs", packs.take(EACH).collect()));
    }
    if visit.may(Permission::ReadLabels) {
        let labels = plan.labels().filter(|(_, name)| has_text(name));
        let labels = labels.map(|(id, name)| find_of(&format!("hosts?label={id}"), name, ""));
        found.push(("Hosts of a label", labels.take(EACH).collect()));
    }
    Ok(found)
}

fn find_of(address: &str, name: &str, beside: &str) -> Find {
    Find { address: address.to_owned(), name: name.to_owned(), beside: beside.to_owned() }
}

async fn hosts(fleet: &Fleet, visit: &Visit, text: &str) -> Result<Vec<Find>> {
    let filter = HostFilter { text: text.to_owned(), limit: Some(EACH as u64), ..HostFilter::default() };
    let found = fleet.hosts.list(&visit.principal, &filter).await?.read().await?;
    let shown = found.into_iter().map(|host| {
        let name = if host.hostname.is_empty() { "(no name)" } else { &host.hostname };
        find_of(&format!("hosts/{}", host.id), name, &host.primary_ip)
    });
    Ok(shown.collect())
}
