//! What operators did, for those who look back.

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::access::{Permission, Principal};
use super::{Fleet, Result};
use crate::store::{activities, entity};

/// Activities that tell of users: for those who manage them.
const OF_USERS: [&str; 6] =
    ["set_up", "user_logged_in", "created_user", "edited_user", "deleted_user", "changed_password"];

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
        let without: &[&str] = if principal.may(Permission::ManageUsers).is_ok() { &[] } else { &OF_USERS };
        let rows = activities::latest(self.hosts.reader(), before, without, limit).await?;
        let show = |row: entity::activities::Model| ActivityEntry {
            id: row.id,
            at: row.created_at.to_utc(),
            actor_name: row.actor_name,
            actor_email: row.actor_email,
            kind: row.kind,
            details: serde_json::from_str(&row.details).unwrap_or_default(),
        };
        Ok(rows.into_iter().map(show).collect())
    }
}
