//! Deletes hosts. One that is still alive is told that its key is invalid, and enrolls as a new host.

use std::collections::BTreeSet;
use std::sync::Arc;

use roaring::RoaringTreemap;
use serde_json::{Map, Value, json};

use super::Hosts;
use super::directory::HostPick;
use super::list::{HostFilter, HostState};
use crate::bus::ChangeEvent;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::fleet::access::{Permission, Principal};
use crate::store::activities::Actor;
use crate::store::{self, activities, feed};

/// Most hosts in one transaction: those that enroll at that moment wait for it.
pub const DELETED_AT_ONCE: usize = 500;

/// What must still be so of hosts when they are deleted: they may have called since they were picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StillSo {
    pub state: Option<HostState>,
    /// They have not called since.
    pub silent_since: Option<Moment>,
}

impl Hosts {
    /// Deletes hosts with their keys and label memberships, some hundred in one transaction, and returns those that
    /// existed and were still as they have to be. Operators use `Fleet::delete_hosts`, which also tells live queries.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::fleet::Error::Forbidden) without the permission to change hosts; or the database does
    /// not answer, and some of them may be deleted already.
    pub(in crate::fleet) async fn delete_many(
        &self,
        principal: &Principal,
        ids: &[i64],
        still: StillSo,
    ) -> Result<Vec<i64>> {
        principal.may_change(Permission::WriteHosts)?;
        let ids: BTreeSet<i64> = ids.iter().copied().collect();
        let mut deleted = Vec::new();
        for batch in ids.into_iter().collect::<Vec<_>>().chunks(DELETED_AT_ONCE) {
            deleted.extend(self.delete_batch(&principal.actor(), "deleted_hosts", &Map::new(), batch, still).await?);
        }
        Ok(deleted)
    }

    /// Deletes [`DELETED_AT_ONCE`] hosts at most in one transaction, with an activity of this kind that names them and says why.
    /// Returns those that existed and were still as they have to be.
    pub(super) async fn delete_batch(
        &self,
        by: &Actor,
        kind: &str,
        why: &Map<String, Value>,
        ids: &[i64],
        still: StillSo,
    ) -> Result<Vec<i64>> {
        let now = self.clock.now();
        let deleted = self
            .store
            .write_with(async |tx| -> Result<_> {
                // Within the transaction, which may have waited for others.
                let ids = self.those_still(ids, still).await?;
                let deleted = store::hosts::delete(tx, &ids).await?;
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
        Ok(deleted.into_keys().collect())
    }

    /// Those of these hosts of which something is still so, as far as this node knows.
    async fn those_still(&self, ids: &[i64], still: StillSo) -> Result<Vec<i64>> {
        if still == StillSo::default() {
            return Ok(ids.to_vec());
        }
        let StillSo { state, silent_since } = still;
        let filter = HostFilter { state, silent_since, ..HostFilter::default() };
        let among: RoaringTreemap = ids.iter().map(|id| id.cast_unsigned()).collect();
        let pick = HostPick { among: Some(Arc::new(among)), ..HostPick::new(filter, self.clock.now()) };
        Ok(self.directory.pick(pick).await?.into_iter().map(|host| host.id).collect())
    }
}
