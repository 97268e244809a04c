//! What operators did.

use actix_web::web::Data;
use maud::{Markup, html};
use serde_json::Value;

use super::answer::{Page, PageAnswer};
use super::parts::{DiffRoom, ago, cut, field_diffs, link, short_diffs, shown};
use super::visit::{PageId, Visit};
use crate::admin::AdminApi;
use crate::fleet::activities::KeptChange;
use crate::fleet::changes::ObjectKind;

/// Activities of a page.
const ROWS: u64 = 50;

/// Objects of a page of one activity.
const OBJECTS: u64 = 50;

/// Changes of one apply that are shown.
const CHANGES: usize = 6;

/// Characters of a value that are shown.
const VALUE: usize = 160;

pub(super) async fn page(api: Data<AdminApi>, visit: Visit) -> PageAnswer {
    api.page(visit, |fleet, visit| async move {
        let before = visit.look.parameter("before").and_then(|id| id.parse().ok());
        let mut entries = fleet.activities(&visit.principal, before, ROWS + 1).await?;
        let has_more = entries.len() as u64 > ROWS;
        entries.truncate(usize::try_from(ROWS).unwrap_or(usize::MAX));
        let changed = fleet.first_changes(&visit.principal, &entries).await?;
        let main = html! {
            div.title { div { h1 { "Activity" } p.state { "Who changed what, the latest first." } } }
            section.card.flush {
                @if entries.is_empty() {
                    div.empty {
                        h2 { "Nothing yet" }
                        p {
                            "Changes of packs, queries, labels and settings, live queries and deleted hosts stand here."
                        }
                    }
                } @else {
                    div.scroll { table.page-table {
                        thead { tr { th { "When" } th { "Who" } th { "What" } th.wide-only { "Details" } } }
                        tbody { @for entry in &entries { tr {
                            td { (ago(entry.at, visit.look.now)) }
                            td {
                                @if entry.actor_name.is_empty() { span.muted { "the server" } } @else {
                                    span title=(entry.actor_email) { (cut(&entry.actor_name, 40)) }
                                }
                            }
                            td { a href={ "activity/" (entry.id) } { (cut(&words(&entry.kind), 60)) } }
                            td.wide-only.details {
                                (details(&entry.details))
                                @for change in changed.get(&entry.id).into_iter().flatten() {
                                    @if change.action == "changed" { (short_diffs(&change.changed)) }
                                }
                            }
                        } } }
                    } }
                    @if before.is_some() || has_more { div.more {
                        @if before.is_some() { a href="activity" { "Latest" } } @else { span {} }
                        @if let Some(last) = entries.last().filter(|_| has_more) {
                            a.button href=(link("activity", &[("before", &last.id.to_string())])) { "Older" }
                        }
                    } }
                }
            }
        };
        Ok(Page::new("Activity", main))
    })
    .await
}

/// One activity, with what it changed in each object.
pub(super) async fn one(api: Data<AdminApi>, visit: Visit, id: PageId) -> PageAnswer {
    api.page(visit, move |fleet, visit| async move {
        let from = i64::try_from(visit.look.offset()).unwrap_or(0);
        let (entry, mut changes) = fleet.activity(&visit.principal, *id, from, OBJECTS + 1).await?;
        let has_more = changes.len() as u64 > OBJECTS;
        changes.truncate(usize::try_from(OBJECTS).unwrap_or(usize::MAX));
        let mut room = DiffRoom::of_page();
        let main = html! {
            div.title { div {
                p.crumb { a href="activity" { "Activity" } }
                h1 { (cut(&words(&entry.kind), 60)) }
                p.state {
                    @if entry.actor_name.is_empty() { "By the server, " } @else {
                        "By " (cut(&entry.actor_name, 60)) " (" (cut(&entry.actor_email, 80)) "), "
                    }
                    (ago(entry.at, visit.look.now))
                }
            } }
            section.card { h2 { "What" } p { (details(&entry.details)) } }
            @for change in &changes {
                section.card {
                    div.card-head {
                        h2 { (object_link(change)) }
                        span.muted { (cut(&change.kind_word, 40)) " · " (cut(&change.action, 20)) }
                    }
                    (field_diffs(&change.changed, &mut room))
                }
            }
            @if changes.is_empty() {
                p.muted { "What it changed field by field is not kept: the activity changed no query, pack, label or setting, or is older than these records." }
            }
            @if from > 0 || has_more { div.more {
                @if from > 0 { a href={ "activity/" (id) } { "First" } } @else { span {} }
                @if let Some(last) = changes.last().filter(|_| has_more) {
                    a.button href=(link(&format!("activity/{id}"), &[("from", &(last.position + 1).to_string())])) { "More" }
                }
            } }
        };
        Ok(Page::new("Activity", main))
    })
    .await
}

/// The object that was changed, with a link to its page if it may still be there.
fn object_link(change: &KeptChange) -> Markup {
    let id = change.object_id;
    let address = match change.kind {
        Some(ObjectKind::Query) => Some(format!("queries/{id}")),
        // The global schedule has no page.
        Some(ObjectKind::Pack) => (change.name != "Global").then(|| format!("packs/{id}")),
        Some(ObjectKind::Label) => Some(format!("labels/{id}")),
        Some(ObjectKind::Config) => Some("settings".to_owned()),
        None => None,
    };
    let name = if change.kind == Some(ObjectKind::Config) { "Settings" } else { change.name.as_str() };
    html! {
        @match address.filter(|_| change.action != "deleted") {
            Some(address) => a href=(address) { (cut(name, 120)) },
            None => (cut(name, 120)),
        }
    }
}

/// The word for an activity, as a person would write it.
fn words(kind: &str) -> String {
    let words = kind.replace('_', " ");
    let mut chars = words.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

fn details(details: &Value) -> Markup {
    let Value::Object(details) = details else { return html! {} };
    html! {
        @for (number, (key, value)) in details.iter().filter(|(_, value)| !is_nothing(value)).enumerate() {
            @if number > 0 { " · " }
            span.muted { (cut(&key.replace('_', " "), 40)) ": " }
            @match value {
                Value::String(text) => (cut(text, VALUE)),
                Value::Array(list) if key == "changes" => (changes(list)),
                Value::Number(number) => (shown(&number.to_string())),
                other => (cut(&other.to_string(), VALUE)),
            }
        }
    }
}

/// What an apply has done to each object, as in `created query processes`.
fn changes(list: &[Value]) -> Markup {
    let word = |change: &Value, key: &str| change.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let written = |change: &Value| {
        let [action, kind, name] = ["action", "kind", "name"].map(|key| word(change, key));
        format!("{action} {} {name}", kind.replace('_', " ")).trim().to_owned()
    };
    html! {
        @for (number, change) in list.iter().take(CHANGES).enumerate() {
            @if number > 0 { ", " }
            (cut(&written(change), VALUE))
        }
        @if list.len() > CHANGES { ", and " (list.len() - CHANGES) " more" }
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}
