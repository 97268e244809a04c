//! Machines that share one identity, such as cloned disks and badly imaged virtual machines: one identifier, but several
//! agent instances whose keys stay in use side by side. An agent that lost its database looks the same at first, but
//! then its old key falls silent. Every newcomer that is proven gets a row of its own, named after its instance, all of
//! them in one pass, and all go on with their keys. Keys of an instance that is not proven yet stay where they are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use sea_orm::{ActiveModelTrait as _, ActiveValue::NotSet, Set};

use super::Hosts;
use crate::bus::ChangeEvent;
use crate::clock::Moment;
use crate::fleet::Result;
use crate::store::entity::hosts;
use crate::store::entity::node_keys::Model as Key;
use crate::store::node_keys::KeyHash;
use crate::store::{self, activities, feed};

/// A key that is still used this long after a key of another instance came into use belongs to another machine. Pending
/// requests and their retries are over by then.
const OVERLAP: Duration = Duration::from_secs(120);

/// Hosts whose keys are read and judged at one time: one host may have thousands.
pub(super) const JUDGED: usize = 100;

/// Newcomers that get their rows in one transaction, so that none holds locks for long.
const SEPARATED: usize = 50;

/// Instance ids that one log line names.
const NAMED: usize = 5;

impl Hosts {
    /// Finds hosts whose identity several machines share, and gives every proven newcomer a row of its own. All go on
    /// with the keys they have. For the leader.
    ///
    /// # Errors
    /// When the database does not answer; the next call finds them again.
    pub async fn separate_clones(&self) -> Result<()> {
        // From the database: each node sees only some of the uses of a key.
        let host_ids = store::node_keys::hosts_of_several_instances(self.store.reader()).await?;
        for batch in host_ids.chunks(JUDGED) {
            for (host_id, keys) in store::node_keys::of_hosts(self.store.reader(), batch).await? {
                let Some(proven) = Proven::of(&keys) else { continue };
                self.separate(host_id, &proven, &keys).await?;
            }
        }
        Ok(())
    }

    async fn separate(&self, host_id: i64, proven: &Proven<'_>, keys: &[Key]) -> Result<()> {
        let newcomers: Vec<&str> = proven.leave.iter().copied().collect();
        let (mut identifier, mut new_hosts) = (String::new(), 0);
        for batch in newcomers.chunks(SEPARATED) {
            let now = self.clock.now();
            let separated = self.store.write(async |tx| give_rows(tx, host_id, proven.stays, batch, now).await).await?;
            let Some(separated) = separated else { return Ok(()) };
            self.notifier.publish(ChangeEvent::Hosts);
            // Their next requests find the new rows.
            let moved = keys.iter().filter(|key| batch.contains(&key.instance_id.as_str()));
            let moved = moved.filter_map(|key| KeyHash::try_from(key.key_hash.as_slice()).ok());
            self.index.forget_changed(&separated.touched, moved, now);
            self.metrics.clones.inc_by(separated.made);
            new_hosts += separated.made;
            identifier = separated.identifier;
        }
        tracing::warn!(
            host_id,
            ?identifier,
            instance_id = proven.stays,
            new_hosts,
            new_instance_ids = ?&newcomers[..newcomers.len().min(NAMED)],
            left_out = 0,
            "several machines share one identity and are now hosts of their own; give cloned machines their own UUID, or set osquery.host_identifier to instance"
        );
        Ok(())
    }
}

/// What came of giving rows to newcomers.
struct Separated {
    /// The identifier that all of them claim.
    identifier: String,
    /// Rows that were not there before.
    made: u64,
    /// Hosts whose keys have changed.
    touched: BTreeSet<i64>,
}

/// Gives instances of a host rows of their own, with their keys. `None` if the host is gone.
async fn give_rows(
    tx: &store::Tx,
    host_id: i64,
    stays: &str,
    leave: &[&str],
    now: Moment,
) -> store::Result<Option<Separated>> {
    // Locked, so that an enrollment of one of them comes before this or sees it.
    let Some(host) = store::hosts::locked(tx, host_id).await? else { return Ok(None) };
    let identifiers: BTreeMap<&str, String> =
        leave.iter().map(|instance| (*instance, format!("{}#{instance}", host.claimed_identifier))).collect();
    let wanted: Vec<String> = identifiers.values().cloned().collect();
    let there = store::hosts::ids_of(tx, &wanted).await?;
    let rows: Vec<hosts::ActiveModel> = (identifiers.iter())
        .filter(|(_, identifier)| !there.contains_key(*identifier))
        .map(|(instance, identifier)| copy_of(&host, instance, identifier, now))
        .collect();
    let (mut ids, made) = (there.clone(), rows.len() as u64);
    if !rows.is_empty() {
        store::hosts::insert_many(tx, rows).await?;
        ids = store::hosts::ids_of(tx, &wanted).await?;
        let made: Vec<i64> =
            ids.iter().filter(|(identifier, _)| !there.contains_key(*identifier)).map(|(_, id)| *id).collect();
        let known = store::hosts::known(tx, host_id).await?;
        let label_ids = known.map(|known| known.label_ids).unwrap_or_default();
        let members = label_ids.iter().flat_map(|label_id| made.iter().map(|host_id| (*label_id, *host_id)));
        store::labels::add_members(tx, members).await?;
    }
    // So that their keys are judged by uses that are written from now on.
    for id in there.values() {
        let gets_keys =
            hosts::ActiveModel { id: sea_orm::Unchanged(*id), cloned_at: Set(Some(now)), ..Default::default() };
        store::hosts::update(tx, gets_keys).await?;
    }
    let kept = hosts::ActiveModel {
        id: sea_orm::Unchanged(host_id),
        instance_id: Set(stays.to_owned()),
        cloned_at: Set(Some(now)),
        ..Default::default()
    };
    store::hosts::update(tx, kept).await?;
    for (instance, identifier) in &identifiers {
        let Some(new_id) = ids.get(identifier) else { continue };
        store::hosts::move_keys(tx, host_id, instance, *new_id).await?;
        let details = serde_json::json!({
            "host_id": host_id, "new_host_id": new_id, "identifier": host.claimed_identifier,
            "instance_id": stays, "new_instance_id": instance,
        });
        activities::add(tx, now, &activities::Actor::default(), "separated_cloned_hosts", &details).await?;
    }
    let touched: BTreeSet<i64> = ids.values().copied().chain([host_id]).collect();
    feed::append(tx, feed::HostChangeKind::Keys, touched.iter().copied(), now).await?;
    Ok(Some(Separated { identifier: host.claimed_identifier, made, touched }))
}

/// The row of a newcomer: what the shared row says, under an identifier of its own.
fn copy_of(host: &hosts::Model, instance: &str, identifier: &str, now: Moment) -> hosts::ActiveModel {
    let row = hosts::Model {
        identifier: identifier.to_owned(),
        instance_id: instance.to_owned(),
        created_at: now,
        updated_at: now,
        cloned_at: Some(now),
        open_round: None,
        ..host.clone()
    };
    let mut copy = hosts::ActiveModel::from(row).reset_all();
    copy.id = NotSet;
    copy
}

/// Instances of one host that are proven to be machines of their own.
#[derive(Debug, PartialEq, Eq)]
struct Proven<'a> {
    /// Keeps the row.
    stays: &'a str,
    leave: BTreeSet<&'a str>,
}

impl<'a> Proven<'a> {
    /// Judges the keys of a host, oldest first. An instance leaves if a key of it came into use, and an older key of
    /// another instance that does not leave was used [`OVERLAP`] later. Keys without an instance prove nothing.
    fn of(keys: &'a [Key]) -> Option<Self> {
        let (mut stays, mut leave) = (None, BTreeSet::new());
        let mut last_uses: HashMap<&str, Moment> = HashMap::new();
        // The same in their order; the latest one of another instance is the last or the one before.
        let mut by_time: BTreeSet<(Moment, &str)> = BTreeSet::new();
        for key in keys.iter().filter(|key| !key.instance_id.is_empty()) {
            let instance = key.instance_id.as_str();
            if leave.contains(instance) {
                continue;
            }
            let latest = by_time.iter().rev().find(|(_, other)| *other != instance);
            if let (Some((used, other)), Some(since)) = (latest, key.first_used_at)
                && *used > since.plus(OVERLAP)
            {
                stays = Some(*other);
                leave.insert(instance);
                if let Some(used) = last_uses.remove(instance) {
                    by_time.remove(&(used, instance));
                }
                continue;
            }
            let Some(used) = key.used_at else { continue };
            let last = last_uses.entry(instance).or_insert(used);
            by_time.remove(&(*last, instance));
            *last = used.max(*last);
            by_time.insert((*last, instance));
        }
        stays.map(|stays| Self { stays, leave })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(instance: &str, created: u64, first: Option<u64>, used: Option<u64>) -> Key {
        let at = |seconds: u64| Moment::NEVER.plus(Duration::from_secs(seconds));
        Key {
            key_hash: vec![],
            host_id: 1,
            instance_id: instance.to_owned(),
            created_at: at(created),
            used_at: used.map(at),
            first_used_at: first.map(at),
        }
    }

    fn judged(keys: &[Key]) -> Option<(&str, Vec<&str>)> {
        Proven::of(keys).map(|proven| (proven.stays, proven.leave.into_iter().collect()))
    }

    #[test]
    fn all_newcomers_beside_a_key_in_use_leave_in_one_pass() {
        let keys = [
            key("a", 1, Some(1), Some(900)),
            key("b", 2, Some(2), Some(800)),
            key("c", 3, Some(700), Some(900)),
            key("d", 4, None, None),
            key("e", 5, Some(850), Some(900)),
        ];
        assert_eq!(judged(&keys), Some(("a", vec!["b", "c"])), "d was never used, e not long enough ago");
    }

    #[test]
    fn what_fell_silent_proves_nothing() {
        assert_eq!(judged(&[key("a", 1, Some(1), Some(500)), key("b", 2, Some(450), Some(9_000))]), None);
        assert_eq!(judged(&[key("a", 1, Some(1), Some(900)), key("a", 2, Some(2), Some(900))]), None);
        assert_eq!(judged(&[key("", 1, Some(1), Some(900)), key("b", 2, Some(2), Some(900))]), None);
        let keys = [
            key("dead", 1, Some(1), Some(100)),
            key("alive", 2, Some(90), Some(900)),
            key("clone", 3, Some(95), Some(900)),
        ];
        assert_eq!(judged(&keys), Some(("alive", vec!["clone"])));
    }

    #[test]
    fn somebody_keeps_the_row() {
        let keys = [
            key("x", 1, Some(1), Some(900)),
            key("w", 2, None, None),
            key("w", 3, Some(800), Some(990)),
            key("w", 4, Some(10), Some(995)),
            key("x", 5, Some(20), Some(999)),
        ];
        assert_eq!(judged(&keys), Some(("x", vec!["w"])));
    }
}
