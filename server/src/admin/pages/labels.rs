//! Labels, each with its hosts.

use actix_web::web::Data;
use maud::html;
use muster_api::spec::{LabelMembership, LabelType};

use super::answer::{Page, PageAnswer};
use super::packs::{listing, name_filter, paged};
use super::parts::{count, cut};
use super::visit::Visit;
use crate::admin::AdminApi;
use crate::fleet::labels::Labels;
use crate::fleet::resource::Resource as _;

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
                    div.empty { h2 { "No label has this name" } }
                } @else {
                    div.scroll { table.page-table {
                        thead { tr { th { "Label" } th { "Kind" } th.n { "Hosts" } th.wide-only { "Decided by" } } }
                        tbody { @for label in &labels { tr {
                            td.name {
                                a href={ "hosts?label=" (label.id) } { (cut(&label.name, 80)) }
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

fn kind(label_type: LabelType, membership: LabelMembership) -> &'static str {
    match (label_type, membership) {
        (LabelType::Builtin, _) => "Built-in",
        (LabelType::Regular, LabelMembership::Dynamic) => "Dynamic",
        (LabelType::Regular, LabelMembership::Manual) => "Manual",
    }
}
