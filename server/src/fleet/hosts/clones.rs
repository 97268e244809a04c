//! Machines that share one identity, such as cloned disks and badly imaged virtual machines: one identifier, but two
//! agent instances whose keys stay in use side by side. An agent that lost its database looks the same at first, but
//! then its old key falls silent. The newcomer gets a row of its own, named after its instance, and both go on with
//! their keys.

use std::collections::BTreeSet;
use std::time::Duration;

use sea_orm::{ActiveModelTrait as _, ActiveValue::NotSet, Set};

use super::Hosts;
use crate::bus::ChangeEvent;
use crate::fleet::Result;
use crate::store::entity::node_keys::Model as Key;
use crate::store::{self, activities, feed};

/// A key that is still used this long after a key of another instance came into use belongs to another machine. Pending
/// requests and their retries are over by then.
const OVERLAP: Duration = Duration::from_secs(120);

impl Hosts {
    /// Finds hosts whose identity two machines share, and gives the newcomer a row of its own, named after its
    /// instance. Both go on with the keys they have.
    ///
    /// # Errors
    /// When the database does not answer; the next call finds them again.
    pub async fn separate_clones(&self) -> Result<()> {
        // From the database: each node sees only some of the uses of a key.
        for (host_id, keys) in store::node_keys::of_hosts_with_several(self.store.reader()).await? {
            let Some((first, newcomer)) = overlapping(&keys) else { continue };
            self.separate(host_id, &first.instance_id, &newcomer.instance_id).await?;
        }
        Ok(())
    }

    async fn separate(&self, host_id: i64, stays: &str, leaves: &str) -> Result<()> {
        let now = self.clock.now();
        let moved = self
            .store
            .write(async |tx| {
                let Some(host) = store::hosts::by_id(tx, host_id).await? else { return Ok(None) };
                let identifier = format!("{}#{leaves}", host.claimed_identifier);
                let new_id = match store::hosts::by_identifier(tx, &identifier).await? {
                    Some(existing) => existing.id,
                    None => {
                        let row = store::entity::hosts::Model {
                            identifier: identifier.clone(),
                            instance_id: leaves.to_owned(),
                            created_at: now,
                            updated_at: now,
                            cloned_at: Some(now),
                            open_round: None,
                            ..host.clone()
                        };
                        let mut copy = store::entity::hosts::ActiveModel::from(row).reset_all();
                        copy.id = NotSet;
                        let new_id = store::hosts::insert(tx, copy).await?;
                        let known = store::hosts::known(tx, host_id).await?;
                        for label_id in known.map(|known| known.label_ids).unwrap_or_default() {
                            store::labels::add_members(tx, label_id, vec![new_id]).await?;
                        }
                        new_id
                    }
                };
                store::hosts::update(
                    tx,
                    store::entity::hosts::ActiveModel {
                        id: sea_orm::Unchanged(host_id),
                        instance_id: Set(stays.to_owned()),
                        cloned_at: Set(Some(now)),
                        ..Default::default()
                    },
                )
                .await?;
                store::hosts::move_keys(tx, host_id, leaves, new_id).await?;
                let details = serde_json::json!({
                    "host_id": host_id, "new_host_id": new_id, "identifier": host.claimed_identifier,
                    "instance_id": stays, "new_instance_id": leaves,
                });
                activities::add(tx, now, &activities::Actor::default(), "separated_cloned_hosts", &details).await?;
                feed::append(tx, feed::HostChangeKind::Keys, [host_id, new_id], now).await?;
                Ok(Some((host.claimed_identifier, new_id)))
            })
            .await?;
        let Some((identifier, new_id)) = moved else { return Ok(()) };
        self.notifier.publish(ChangeEvent::Hosts);
        self.check_keys(&BTreeSet::from([host_id])).await?;
        self.metrics.clones.inc();
        tracing::warn!(
            identifier,
            host_id,
            new_host_id = new_id,
            instance_id = stays,
            new_instance_id = leaves,
            "two machines share one identity and are now two hosts; give cloned machines their own UUID, or set osquery.host_identifier to instance"
        );
        Ok(())
    }
}

/// The oldest key that is in use beside a newer one of another instance.
fn overlapping(keys: &[Key]) -> Option<(&Key, &Key)> {
    let is_beside = |first: &Key, later: &Key| {
        let (Some(used), Some(since)) = (first.used_at, later.first_used_at) else { return false };
        later.instance_id != first.instance_id && used > since.plus(OVERLAP)
    };
    let keys = || keys.iter().filter(|key| !key.instance_id.is_empty());
    keys()
        .enumerate()
        .find_map(|(i, first)| keys().skip(i + 1).find(|later| is_beside(first, later)).map(|later| (first, later)))
}
