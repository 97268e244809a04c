//! What changed lately, beside what got worse.

use std::sync::Arc;

use maud::{Markup, html};

use super::changes;
use super::overview::query_name;
use super::parts::{Tone, badge, milliseconds};
use super::visit::Visit;
use crate::fleet::ActivityEntry;
use crate::fleet::access::Permission;
use crate::fleet::statistics::QueryTrends;

/// Changes, and queries, that are shown.
const SHOWN: usize = 6;

/// Both cards, for users who may see them.
pub(super) fn cards(visit: &Visit, changed: &[ActivityEntry], trends: Option<&Arc<QueryTrends>>) -> Markup {
    html! {
        @if let Some(trends) = trends {
            div.grid {
                (what_changed(visit, changed))
                (what_got_worse(trends))
            }
        }
    }
}

fn what_changed(visit: &Visit, changed: &[ActivityEntry]) -> Markup {
    html! {
        section.card {
            div.card-head {
                h2 { "What changed lately" }
                @if visit.may(Permission::ReadActivities) { a href="activity" { "All activity" } }
            }
            @if changed.is_empty() {
                p.muted {
                    "Nobody has changed what hosts run within seven days. Changes of packs, their queries and labels stand here, and as marks in the charts."
                }
            } @else { (changes::list(visit, changed, SHOWN)) }
        }
    }
}

fn what_got_worse(trends: &QueryTrends) -> Markup {
    let worse = trends.worse(SHOWN);
    html! {
        section.card {
            div.card-head { h2 { "What got worse" } a href="queries?sort=p95" { "Queries by p95" } }
            @if worse.is_empty() {
                p.muted { "No query costs clearly more a run than earlier in the last 24 hours." }
            } @else {
                ul.plain-list { @for query in &worse { li.split {
                    div { (query_name(&query.pack, &query.name)) }
                    span.nowrap {
                        (badge(Tone::Attention, &format!("p95 {} → {}", milliseconds(query.before), milliseconds(query.lately))))
                    }
                } } }
            }
        }
    }
}
