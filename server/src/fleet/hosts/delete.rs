//! Deletes hosts. One that is still alive is told that its key is invalid, and enrolls as a new host.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Hosts;
use crate::bus::ChangeEvent;
use crate::fleet::Result;
use crate::fleet::access::{Permission, Principal};
use crate::store::activities::Actor;
use crate::store::{self, activities, feed};

/// Most hosts in one transaction: those that enroll at that moment wait for it.
pub const DELETED_AT_ONCE: usize = 500;

impl Hosts {
    /// Deletes hosts with their keys and label memberships, some hundred in one transaction, and returns how many of them
    /// existed. Operators use `Fleet::delete_hosts`, which also tells live queries.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::fleet::Error::Forbidden) without the permission to change hosts; or the database does
    /// not answer, and some of them may be deleted already.
    pub(in crate::fleet) async fn delete_many(&self, principal: &Principal, ids: &[i64]) -> Result<u64> {
        principal.may_change(Permission::WriteHosts)?;
        let ids: BTreeSet<i64> = ids.iter().copied().collect();
        let mut deleted = 0;
        for batch in ids.into_iter().collect::<Vec<_>>().chunks(DELETED_AT_ONCE) {
            deleted += self.delete_batch(&principal.actor(), "deleted_hosts", &Map::new(), batch).await?;
        }
        Ok(deleted)
    }

    /// Deletes [`DELETED_AT_ONCE`] hosts at most in one transaction, with an activity of this kind that names them and says why.
    /// Returns how many of them existed.
    pub(super) async fn delete_batch(
        &self,
        by: &Actor,
        kind: &str,
        why: &Map<String, Value>,
        ids: &[i64],
    ) -> Result<u64> {
        let now = self.clock.now();
        let deleted = self
            .store
            .write(async |tx| {
                let deleted = store::hosts::delete(tx, ids).await?;
                if !deleted.is_empty() {
                    let hosts: Vec<Value> = deleted
                        .iter()
                        .map(|(id, identifier)| json!({ "host_id": id, "identifier": identifier }))
                        .collect();
                    let mut details = why.clone();
                    details.insert("hosts".to_owned(), Value::from(hosts));
                    activities::add(tx, now, by, kind, &Value::from(details)).await?;
                    feed::append(tx, feed::HostChangeKind::Deleted, deleted.keys().copied(), now).await?;
                }
                Ok(deleted)
            })
            .await?;
        self.notifier.publish(ChangeEvent::Hosts);
        self.forget_deleted(deleted.keys().copied().collect(), now);
        Ok(deleted.len() as u64)
    }
}
