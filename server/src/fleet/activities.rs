//! What operators did, for those who look back.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::access::{Permission, Principal};
use super::changes::{ChangedFields, ObjectKind};
use super::{Error, Fleet, Result};
use crate::clock::Moment;
use crate::store::{activities, entity, object_changes, packs};

/// Activities that tell of users: for those who manage them.
const OF_USERS: [&str; 6] =
    ["set_up", "user_logged_in", "created_user", "edited_user", "deleted_user", "changed_password"];

/// Changes of an activity that a list tells, if they are short.
const IN_LISTS: i64 = 2;

/// Most bytes of the fields of a change that a list tells.
const SHORT: i64 = 2_048;

/// The activity that changes what hosts run if a pack schedules the query.
const EDITED_QUERY: &str = "edited_saved_query";

/// Activities that change what hosts run. A query that is created or deleted is scheduled by no pack.
const OF_SCHEDULE: [&str; 9] = [
    "applied_documents",
    "deleted_documents",
    "created_label",
    "edited_label",
    "deleted_label",
    "created_pack",
    "edited_pack",
    "deleted_pack",
    EDITED_QUERY,
];

/// One thing that somebody did.
#[derive(Debug, Clone, PartialEq)]
pub struct ActivityEntry {
    pub id: i64,
    pub at: DateTime<Utc>,
    /// Both are empty for what the server did by itself.
    pub actor_name: String,
    pub actor_email: String,
    pub kind: String,
    pub details: Value,
}

/// What an activity changed in one object. Activities of versions before, and of nodes of such a version, have none.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptChange {
    pub id: i64,
    pub activity_id: i64,
    /// Which change of its activity it is, from 0.
    pub position: i64,
    /// `None` for a kind that only a later version knows.
    pub kind: Option<ObjectKind>,
    /// The word for the kind.
    pub kind_word: String,
    /// 0 for what there is only one of.
    pub object_id: i64,
    /// The name that the object had then.
    pub name: String,
    /// `created`, `changed` or `deleted`.
    pub action: String,
    pub changed: ChangedFields,
}

/// A change of an object, and the activity that it belongs to; `None` once that was removed.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    pub change: KeptChange,
    pub activity: Option<ActivityEntry>,
}

impl Fleet {
    /// What was done before the activity `before`, or until now, the latest first. Users who may not manage users see nothing
    /// of users.
    ///
    /// # Errors
    /// [`Error::Forbidden`](super::Error::Forbidden) without the permission to read activities.
    pub async fn activities(
        &self,
        principal: &Principal,
        before: Option<i64>,
        limit: u64,
    ) -> Result<Vec<ActivityEntry>> {
        principal.may(Permission::ReadActivities)?;
        let rows = activities::latest(self.hosts.reader(), before, hidden_from(principal), limit).await?;
        Ok(rows.into_iter().map(entry).collect())
    }

    /// Changes of what hosts run since `since`, the latest first, of the last few thousand activities. Edits of queries that no
    /// pack schedules now are left out.
    ///
    /// # Errors
    /// As for [`Fleet::activities`].
    pub async fn changes_since(&self, principal: &Principal, since: Moment, limit: u64) -> Result<Vec<ActivityEntry>> {
        principal.may(Permission::ReadActivities)?;
        let db = self.hosts.reader();
        let rows = activities::latest_of(db, &OF_SCHEDULE, since, limit).await?;
        let mut changes: Vec<ActivityEntry> = rows.into_iter().map(entry).collect();
        let scheduled = packs::scheduled_of(db, changes.iter().filter_map(edited_query).collect()).await?;
        changes.retain(|change| edited_query(change).is_none_or(|id| scheduled.contains(&id)));
        Ok(changes)
    }

    /// The first few changes of each of these activities, by activity; those that are long are left out.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the permission to read activities.
    pub async fn first_changes(
        &self,
        principal: &Principal,
        of: &[ActivityEntry],
    ) -> Result<HashMap<i64, Vec<KeptChange>>> {
        principal.may(Permission::ReadActivities)?;
        let ids = of.iter().map(|activity| activity.id).collect();
        let mut found: HashMap<i64, Vec<KeptChange>> = HashMap::new();
        for row in object_changes::first_of(self.hosts.reader(), ids, IN_LISTS, SHORT).await? {
            found.entry(row.activity_id).or_default().push(kept(row));
        }
        Ok(found)
    }

    /// An activity, and what it changed in objects, from the position `from` on.
    ///
    /// # Errors
    /// [`Error::NotFound`], and [`Error::Forbidden`] without the permission to read activities.
    pub async fn activity(
        &self,
        principal: &Principal,
        id: i64,
        from: i64,
        limit: u64,
    ) -> Result<(ActivityEntry, Vec<KeptChange>)> {
        principal.may(Permission::ReadActivities)?;
        let row = activities::by_id(self.hosts.reader(), id).await?;
        let row = row.filter(|row| !hidden_from(principal).contains(&row.kind.as_str()));
        let row = row.ok_or_else(|| Error::no_such("Activity", id))?;
        let changes = object_changes::of_activity(self.hosts.reader(), id, from, limit).await?;
        Ok((entry(row), changes.into_iter().map(kept).collect()))
    }

    /// What was changed in an object before the change `before`, or until now, the latest first. Changes that were made before
    /// the server kept them are not there.
    ///
    /// # Errors
    /// [`Error::Forbidden`] without the permission to read activities.
    pub async fn history(
        &self,
        principal: &Principal,
        (kind, object_id): (ObjectKind, i64),
        before: Option<i64>,
        limit: u64,
    ) -> Result<Vec<HistoryEntry>> {
        principal.may(Permission::ReadActivities)?;
        let db = self.hosts.reader();
        let rows = object_changes::of_object(db, kind.word(), object_id, before, limit).await?;
        let ids: BTreeSet<i64> = rows.iter().map(|row| row.activity_id).collect();
        let found = activities::by_ids(db, ids.into_iter().collect()).await?;
        let found: HashMap<i64, ActivityEntry> = found.into_iter().map(|row| (row.id, entry(row))).collect();
        let with_activity = |row: entity::object_changes::Model| {
            let activity = found.get(&row.activity_id).cloned();
            HistoryEntry { change: kept(row), activity }
        };
        Ok(rows.into_iter().map(with_activity).collect())
    }
}

/// The query that an activity has edited.
fn edited_query(activity: &ActivityEntry) -> Option<i64> {
    if activity.kind != EDITED_QUERY {
        return None;
    }
    activity.details.get("query_id")?.as_i64()
}

/// Kinds of activities that a user does not see.
fn hidden_from(principal: &Principal) -> &'static [&'static str] {
    if principal.may(Permission::ManageUsers).is_ok() { &[] } else { &OF_USERS }
}

fn entry(row: entity::activities::Model) -> ActivityEntry {
    ActivityEntry {
        id: row.id,
        at: row.created_at.to_utc(),
        actor_name: row.actor_name,
        actor_email: row.actor_email,
        kind: row.kind,
        details: serde_json::from_str(&row.details).unwrap_or_default(),
    }
}

fn kept(row: entity::object_changes::Model) -> KeptChange {
    KeptChange {
        id: row.id,
        activity_id: row.activity_id,
        position: row.position,
        kind: ObjectKind::parse(&row.kind),
        kind_word: row.kind,
        object_id: row.object_id,
        name: row.name,
        action: row.action,
        // What a later version has written otherwise reads as nothing.
        changed: serde_json::from_str(&row.fields).unwrap_or_default(),
    }
}
