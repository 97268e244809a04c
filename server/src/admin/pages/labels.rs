//! Labels, each with its hosts.

use actix_web::web::Data;
use maud::html;
use muster_api::spec::{LabelMembership, LabelType};

use super::answer::{Page, PageAnswer};
use super::history;
use super::packs::{listing, name_filter, paged};
use super::parts::{ago, count, cut, link, plural};
use super::visit::{PageId, Visit};
use crate::admin::AdminApi;
use crate::fleet::access::Permission;
use crate::fleet::changes::ObjectKind;
use crate::fleet::labels::Labels;
use crate::fleet::resource::Resource as _;

/// Packs of a label that are named.
const PACKS: usize = 50;

pub(super) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |fleet, visit| async move {
        let listing = listing(&visit);
        let mut labels = Labels::of(&fleet).list(&visit.principal, &listing).await?;
        let more = paged(&mut labels, "labels", &listing);
        let main = html! {
            div.title {
                div { h1 { "Labels" } p.state { "Sets of hosts, which packs and live queries are targeted at." } }
            }
            (name_filter("labels", &listing.text))
            section.card.flush {
                @if labels.is_empty() {
                    div.empty { h2 { "No label has this name" } p { a.button href="labels" { "Look at all labels" } } }
                } @else {
                    div.scroll { table.page-table {
                        thead { tr { th { "Label" } th { "Kind" } th.n { "Hosts" } th.wide-only { "Decided by" } } }
                        tbody { @for label in &labels { tr {
                            td.name {
                                a href={ "labels/" (label.id) } { (cut(&label.name, 80)) }
                                @if !label.description.is_empty() {
                                    br; span.muted.small { (cut(&label.description, 100)) }
                                }
                            }
                            td { (kind(label.label_type, label.label_membership_type)) }
                            td.n { a href={ "hosts?label=" (label.id) } { (count(label.count)) } }
                            td.wide-only {
                                @if label.query.is_empty() { span.muted { "–" } } @else {
                                    code { (cut(&label.query, 120)) }
                                }
                            }
                        } } }
                    } }
                    (more)
                }
            }
        };
        Ok(Page::new("Labels", main))
    })
    .await
}

/// One label: how hosts join it, which packs are targeted at it, and its history.
pub(super) async fn label(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        let labels = Labels::of(&fleet);
        let label = labels.by_id(&visit.principal, *id).await?;
        let packs = match visit.may(Permission::ReadPacks) {
            true => labels.targeted_by(&visit.principal, *id).await?,
            false => Vec::new(),
        };
        let history = history::latest(&fleet, &visit, (ObjectKind::Label, *id)).await?;
        let main = html! {
            div.title {
                div {
                    p.crumb { a href="labels" { "Labels" } }
                    h1 { (cut(&label.name, 200)) }
                    p.state {
                        (kind(label.label_type, label.label_membership_type)) ", "
                        a href={ "hosts?label=" (id) } { (plural(label.count, "host", "hosts")) }
                    }
                    @if !label.description.is_empty() { p.muted { (cut(&label.description, 1_000)) } }
                }
                div.actions { a.button href={ "hosts?label=" (id) } { "Show hosts" } }
            }
            @if !label.query.is_empty() {
                section.card { h2 { "A host is in it while this returns a row" } pre { (cut(&label.query, 20_000)) } }
            }
            section.card {
                dl.facts {
                    dt { "Platform" }
                    dd { @if label.platform.is_empty() { "any" } @else { (cut(&label.platform, 80)) } }
                    dt { "Changed" } dd { (ago(label.updated_at, visit.look.now)) }
                    @if visit.may(Permission::ReadPacks) {
                        dt { "Packs" }
                        dd {
                            @if packs.is_empty() { span.muted { "none is targeted at it" } }
                            div.chips { @for pack in packs.iter().take(PACKS) {
                                a.chip href=(link("packs", &[("query", pack)])) { (cut(pack, 60)) }
                            } }
                        }
                    }
                }
            }
            (history)
        };
        Ok(Page::new(label.name.chars().take(80).collect::<String>(), main))
    })
    .await
}

fn kind(label_type: LabelType, membership: LabelMembership) -> &'static str {
    match (label_type, membership) {
        (LabelType::Builtin, _) => "Built-in",
        (LabelType::Regular, LabelMembership::Dynamic) => "Dynamic",
        (LabelType::Regular, LabelMembership::Manual) => "Manual",
    }
}
