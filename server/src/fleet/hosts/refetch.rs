//! Refetch: asks a host about itself at once instead of in its slot.

use std::collections::BTreeSet;

use sea_orm::{Set, Unchanged};
use serde_json::json;

use super::Hosts;
use crate::bus::ChangeEvent;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::{Error, Result};
use crate::store::{self, activities, entity::hosts, feed};

/// Most hosts in one transaction.
const BATCH: usize = 500;

impl Hosts {
    /// As [`Hosts::refetch`], of many hosts, some hundred in one transaction; gives the number of those there were.
    ///
    /// # Errors
    /// When the database does not answer; then some of them may be asked already.
    pub async fn refetch_many(&self, principal: &Principal, ids: &[i64]) -> Result<u64> {
        principal.may_change(Permission::WriteHosts)?;
        let ids: BTreeSet<i64> = ids.iter().copied().collect();
        let mut asked = 0;
        for batch in ids.into_iter().collect::<Vec<_>>().chunks(BATCH) {
            let now = self.clock.now();
            let found = self
                .store
                .write(async |tx| {
                    let found = store::hosts::ask_again(tx, batch).await?;
                    if !found.is_empty() {
                        store::parked_queries::release_all(tx, &found).await?;
                        let details = json!({ "host_ids": found });
                        activities::add(tx, now, &principal.actor(), "refetched_hosts", &details).await?;
                        feed::append(tx, feed::HostChangeKind::Refetch, found.iter().copied(), now).await?;
                    }
                    Ok(found)
                })
                .await?;
            self.notifier.publish(ChangeEvent::Hosts);
            for host in found.iter().filter_map(|id| self.index.get(*id)) {
                host.refresh_state.ask_again();
            }
            asked += found.len() as u64;
        }
        Ok(asked)
    }

    /// Makes the next check-in of a host ask everything, parked questions included.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such host.
    pub async fn refetch(&self, principal: &Principal, id: i64) -> Result<()> {
        principal.may_change(Permission::WriteHosts)?;
        let now = self.clock.now();
        let found = self
            .store
            .write(async |tx| {
                if store::hosts::by_id(tx, id).await?.is_none() {
                    return Ok(false);
                }
                // Pending answers are to questions from before the refetch; the operator wants newer ones.
                let host = hosts::ActiveModel {
                    id: Unchanged(id),
                    refetch_requested: Set(true),
                    open_round: Set(None),
                    ..Default::default()
                };
                store::hosts::update(tx, host).await?;
                store::parked_queries::release(tx, id).await?;
                activities::add(tx, now, &principal.actor(), "refetched_host", &json!({ "host_id": id })).await?;
                feed::append(tx, feed::HostChangeKind::Refetch, [id], now).await?;
                Ok(true)
            })
            .await?;
        if !found {
            return Err(Error::no_such("Host", id));
        }
        self.notifier.publish(ChangeEvent::Hosts);
        if let Some(host) = self.index.get(id) {
            host.refresh_state.ask_again();
        }
        Ok(())
    }
}
