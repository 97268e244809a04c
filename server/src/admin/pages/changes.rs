//! What has changed what hosts run: beside what it did to them, and as marks on the axis of time.

use maud::{Markup, html};
use serde_json::Value;

use super::parts::{ChartMark, ago, cut};
use super::visit::Visit;
use crate::clock::Moment;
use crate::fleet::access::Permission;
use crate::fleet::{ActivityEntry, Fleet, Result};

/// Most changes that are marked.
const MOST: u64 = 40;

/// Characters of a name.
const NAME: usize = 60;

/// Changes since a moment, the latest first; none for users who may not read activities.
pub(super) async fn since(fleet: &Fleet, visit: &Visit, since: Moment) -> Result<Vec<ActivityEntry>> {
    match visit.may(Permission::ReadActivities) {
        true => fleet.changes_since(&visit.principal, since, MOST).await,
        false => Ok(Vec::new()),
    }
}

/// Changes as marks of a chart.
pub(super) fn marks(changes: &[ActivityEntry]) -> Vec<ChartMark> {
    let mark = |change: &ActivityEntry| ChartMark {
        at: change.at,
        title: format!("{}: {} {}", change.at.format("%-d %b %H:%M UTC"), actor(change), what(change)),
    };
    changes.iter().map(mark).collect()
}

/// Who did it.
fn actor(change: &ActivityEntry) -> String {
    let name = if change.actor_name.is_empty() { "the server" } else { &change.actor_name };
    name.chars().take(NAME).collect()
}

/// What was done, in a few words: `applied documents (3 changes)`, `edited pack monitoring`.
fn what(change: &ActivityEntry) -> String {
    let words = change.kind.replace('_', " ");
    if let Some(changes) = change.details.get("changes").and_then(Value::as_array) {
        let number = changes.len();
        let commit = change.details.get("commit").and_then(Value::as_str).unwrap_or_default();
        let commit = match commit.get(..12).unwrap_or(commit) {
            "" => String::new(),
            commit => format!(", commit {commit}"),
        };
        return format!("{words} ({number} {}{commit})", if number == 1 { "change" } else { "changes" });
    }
    let names = ["pack_name", "query_name", "label_name"].map(|key| change.details.get(key).and_then(Value::as_str));
    let name: String = names.into_iter().flatten().next().unwrap_or_default().chars().take(NAME).collect();
    format!("{words} {name}").trim().to_owned()
}

/// The latest changes as a list.
pub(super) fn list(visit: &Visit, changes: &[ActivityEntry], most: usize) -> Markup {
    html! {
        ul.plain-list { @for change in changes.iter().take(most) { li.split {
            span { strong { (cut(&actor(change), NAME)) } " " (cut(&what(change), 2 * NAME)) }
            (ago(change.at, visit.look.now))
        } } }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_told_in_a_few_words() {
        let change = |kind: &str, details: Value| ActivityEntry {
            id: 1,
            at: chrono::DateTime::from_timestamp(0, 0).unwrap(),
            actor_name: "Ada".to_owned(),
            actor_email: String::new(),
            kind: kind.to_owned(),
            details,
        };
        let applied = change("applied_documents", json!({ "changes": [{}, {}] }));
        assert_eq!(what(&applied), "applied documents (2 changes)");
        let of_folder = json!({ "changes": [{}], "commit": "0123456789abcdef" });
        assert_eq!(what(&change("applied_documents", of_folder)), "applied documents (1 change, commit 0123456789ab)");
        assert_eq!(
            what(&change("edited_pack", json!({ "pack_id": 1, "pack_name": "monitoring" }))),
            "edited pack monitoring"
        );
        assert_eq!(what(&change("edited_pack", Value::Null)), "edited pack");
        assert_eq!(marks(&[applied])[0].title, "1 Jan 00:00 UTC: Ada applied documents (2 changes)");
    }
}
