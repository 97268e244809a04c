//! What was changed in an object, as its page and a page of its own tell it.

use actix_web::web::Data;
use maud::{Markup, html};

use super::answer::{Page, PageAnswer};
use super::parts::{DiffRoom, ago, cut, field_diffs, link};
use super::visit::{PageId, Visit};
use crate::admin::AdminApi;
use crate::fleet::access::Permission;
use crate::fleet::activities::HistoryEntry;
use crate::fleet::changes::ObjectKind;
use crate::fleet::{Fleet, Result};

/// Changes on the page of an object.
const LATEST: u64 = 5;

/// Fields of something new that are shown at once: all of it is new.
const SHOWN_OF_NEW: usize = 8;

/// Changes of a page of history.
const ROWS: u64 = 20;

/// An object with a history: its kind and id.
pub(super) type HistoryOf = (ObjectKind, i64);

/// The address of the page of an object.
fn page_of((kind, id): HistoryOf) -> String {
    match kind {
        ObjectKind::Query => format!("queries/{id}"),
        ObjectKind::Pack => format!("packs/{id}"),
        ObjectKind::Label => format!("labels/{id}"),
        ObjectKind::Config => "settings".to_owned(),
    }
}

/// What an object is called whose name is not known.
fn word_for(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Query => "Query",
        ObjectKind::Pack => "Pack",
        ObjectKind::Label => "Label",
        ObjectKind::Config => "Settings",
    }
}

/// The latest changes, for the page of an object. Nothing for users who may not read activities.
pub(super) async fn latest(fleet: &Fleet, visit: &Visit, of: HistoryOf) -> Result<Markup> {
    if !visit.may(Permission::ReadActivities) {
        return Ok(html! {});
    }
    let mut entries = fleet.history(&visit.principal, of, None, LATEST + 1).await?;
    let has_more = entries.len() as u64 > LATEST;
    entries.truncate(usize::try_from(LATEST).unwrap_or(usize::MAX));
    Ok(html! {
        section.card.flush #history {
            div.card-head { h2 { "History" } }
            (list(visit, &entries))
            @if has_more { div.more { span {} a.button href={ (page_of(of)) "/history" } { "All changes" } } }
        }
    })
}

async fn page(api: Data<AdminApi>, visit: Visit, of: HistoryOf) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        let before = visit.look.parameter("before").and_then(|id| id.parse().ok());
        let mut entries = fleet.history(&visit.principal, of, before, ROWS + 1).await?;
        let has_more = entries.len() as u64 > ROWS;
        entries.truncate(usize::try_from(ROWS).unwrap_or(usize::MAX));
        let name = entries.first().map(|entry| entry.change.name.clone()).filter(|name| !name.is_empty());
        let (address, page) = (page_of(of), format!("{}/history", page_of(of)));
        let main = html! {
            div.title { div {
                p.crumb { a href=(address) { @match &name { Some(name) => (cut(name, 80)), None => (word_for(of.0)) } } }
                h1 { "History" }
                p.state { "What was changed, the latest first." }
            } }
            section.card.flush {
                (list(&visit, &entries))
                @if before.is_some() || has_more { div.more {
                    @if before.is_some() { a href=(page) { "Latest" } } @else { span {} }
                    @if let Some(last) = entries.last().filter(|_| has_more) {
                        a.button href=(link(&page, &[("before", &last.change.id.to_string())])) { "Older" }
                    }
                } }
            }
        };
        Ok(Page::new("History", main))
    })
    .await
}

pub(super) async fn of_query(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    page(api, visit, (ObjectKind::Query, *id)).await
}

pub(super) async fn of_pack(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    page(api, visit, (ObjectKind::Pack, *id)).await
}

pub(super) async fn of_label(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    page(api, visit, (ObjectKind::Label, *id)).await
}

pub(super) async fn of_settings(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    page(api, visit, (ObjectKind::Config, 0)).await
}

fn list(visit: &Visit, entries: &[HistoryEntry]) -> Markup {
    let mut room = DiffRoom::of_page();
    html! {
        @if entries.is_empty() {
            div.empty { p { "No change is kept yet. Changes from now on stand here, field by field." } }
        } @else {
            ol.history { @for entry in entries { li {
                p.split {
                    span { (who(entry)) " " (cut(&entry.change.action, 20)) " it" }
                    a.nowrap href={ "activity/" (entry.change.activity_id) } {
                        @match &entry.activity {
                            Some(activity) => (ago(activity.at, visit.look.now)),
                            None => "long ago",
                        }
                    }
                }
                @let (changed, diffs) = (&entry.change.changed, field_diffs(&entry.change.changed, &mut room));
                @if entry.change.action == "created" && changed.fields.len() > SHOWN_OF_NEW {
                    details { summary { "Show its " (changed.fields.len()) " fields" } (diffs) }
                } @else { (diffs) }
            } } }
        }
    }
}

fn who(entry: &HistoryEntry) -> Markup {
    let activity = entry.activity.as_ref();
    let name = activity.map(|activity| activity.actor_name.as_str()).filter(|name| !name.is_empty());
    html! {
        @match (name, activity) {
            (Some(name), _) => strong title=[activity.map(|activity| &activity.actor_email)] { (cut(name, 60)) },
            (None, Some(_)) => span.muted { "The server" },
            (None, None) => span.muted { "Somebody" },
        }
    }
}
