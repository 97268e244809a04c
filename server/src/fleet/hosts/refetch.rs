//! Refetch: asks a host about itself at once instead of in its slot.

use sea_orm::{Set, Unchanged};
use serde_json::json;

use super::Hosts;
use crate::bus::ChangeEvent;
use crate::fleet::access::{Permission, Principal};
use crate::fleet::{Error, Result};
use crate::store::{self, activities, entity::hosts, feed};

impl Hosts {
    /// Makes the next check-in of a host ask everything, parked questions included.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such host.
    pub async fn refetch(&self, principal: &Principal, id: i64) -> Result<()> {
        principal.may(Permission::WriteHosts)?;
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
