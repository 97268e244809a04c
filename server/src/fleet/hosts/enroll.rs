//! Enrollment. The same host gets the same row and a new key, and its older keys stay valid: agents enroll several
//! times at once, repeat lost requests, and go on with whichever key they stored last. A key is dropped when a newer
//! one of its host has been used and it has been idle for `osquery.old_key_grace`; an agent instance has eight at most.

use std::collections::BTreeSet;

use muster_api::osquery::Enroll;
use sea_orm::{ActiveValue::NotSet, Set};

use super::builtin_labels::{Family, HostSystem};
use super::identity::HostIdentity;
use super::{Hosts, NodeKey, details};
use crate::bus::ChangeEvent;
use crate::clock::Moment;
use crate::fleet::schedule::Plan;
use crate::fleet::{Error, Result, within};
use crate::store::entity::hosts;
use crate::store::node_keys::KeyHash;
use crate::store::{self, entity, feed};

/// Most keys of one agent instance.
const MAX_KEYS: usize = 8;

impl Hosts {
    /// Enrolls a host and gives it a key.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] for a wrong secret, [`Error::Invalid`] for a host without identity or one that
    /// enrolls too often, [`Error::TooMany`] beyond the limits, [`Error::Unavailable`] when the database does not
    /// answer.
    pub async fn enroll(&self, request: &Enroll) -> Result<NodeKey> {
        let plan = self.schedule.plan();
        let Some(secret_id) = plan.secret_id(request.enroll_secret.as_deref().unwrap_or_default()) else {
            self.metrics.enrolls.with_label_values(&["wrong_secret"]).inc();
            return Err(Error::Unauthenticated);
        };
        let identity = HostIdentity::of(request, self.config.host_identifier)?;
        if !self.admission.admits(secret_id) {
            self.metrics.limit_hit("enrolls_per_second");
            return Err(Error::TooMany { retry_after: std::time::Duration::from_secs(1) });
        }
        let key = NodeKey::generate();
        let hash = NodeKey::hash(key.reveal());
        let now = self.clock.now();
        if identity.is_stand_in
            && let Some(left_out) = self.stand_in_log.pass((), now)
        {
            let identifier = &identity.identifier;
            tracing::info!(
                ?identifier,
                left_out,
                "enrolling host lacks the identifier chosen by osquery.host_identifier; using its own host_identifier"
            );
        }
        let (host_id, dropped, known) = within(self.config.store_timeout, async {
            let enrolled = self
                .store
                .write(async |tx| self.write_enrollment(tx, request, &identity, &plan, secret_id, &hash, now).await)
                .await?;
            match enrolled {
                EnrolledRow::Enrolled { host_id, dropped } => {
                    Ok((host_id, dropped, store::hosts::known(self.store.reader(), host_id).await))
                }
                EnrolledRow::TooSoon => Err(Error::invalid(
                    "host_identifier",
                    format!("host identified by {} enrolling too often", identity.identifier),
                )),
            }
        })
        .await?;
        self.notifier.publish(ChangeEvent::Hosts);
        if !dropped.is_empty() {
            self.index.forget_changed(&BTreeSet::from([host_id]), dropped, now);
        }
        // A reading that lags behind does not show a new host yet, and the database may be gone again: then the first
        // request with the key looks it up.
        if let Ok(Some(known)) = known {
            let row = entity::node_keys::Model {
                key_hash: hash.to_vec(),
                host_id,
                instance_id: identity.instance_id.clone(),
                created_at: now,
                used_at: None,
                first_used_at: None,
            };
            let host = self.index.host(&known);
            host.enrolled(now);
            self.index.add_key(&row, hash, host);
        }
        self.metrics.enrolls.with_label_values(&["enrolled"]).inc();
        Ok(key)
    }

    #[expect(clippy::too_many_arguments, reason = "one transaction needs all of it, and nobody else calls it")]
    async fn write_enrollment(
        &self,
        tx: &store::Tx,
        request: &Enroll,
        identity: &HostIdentity,
        plan: &Plan,
        secret_id: i64,
        key: &KeyHash,
        now: Moment,
    ) -> store::Result<EnrolledRow> {
        let FoundRow { row, is_separated } = find_row(tx, identity).await?;
        if let Some(host) = &row
            && !self.config.enroll_cooldown.is_zero()
            && now.since(host.enrolled_at) < self.config.enroll_cooldown
        {
            return Ok(EnrolledRow::TooSoon);
        }
        let is_new = row.is_none();
        let mut host = match &row {
            Some(host) => hosts::ActiveModel { id: sea_orm::Unchanged(host.id), ..Default::default() },
            None => new_host(identity, is_separated, now),
        };
        details::set(&mut host, &request.host_details);
        host.enrolled_at = Set(now);
        host.updated_at = Set(now);
        host.enroll_secret_id = Set(Some(secret_id));
        if !identity.instance_id.is_empty() && row.as_ref().is_none_or(|row| row.cloned_at.is_none()) {
            host.instance_id = Set(identity.instance_id.clone());
        }
        let said = |said: &sea_orm::ActiveValue<String>, known: Option<&String>| match said {
            Set(said) => said.clone(),
            _ => known.cloned().unwrap_or_default(),
        };
        let platform = said(&host.platform, row.as_ref().map(|row| &row.platform));
        let os_version = said(&host.os_version, row.as_ref().map(|row| &row.os_version));
        let host_id = match row {
            Some(row) => {
                store::hosts::update(tx, host).await?;
                row.id
            }
            None => store::hosts::insert(tx, host).await?,
        };
        let family = Family::of(request.platform_type.as_deref(), &platform);
        let system = HostSystem { platform: &platform, os_version: &os_version, family };
        set_builtin_labels(tx, plan, host_id, is_new, &system).await?;
        let dropped = make_room(tx, host_id, &identity.instance_id).await?;
        store::node_keys::insert(tx, key, host_id, &identity.instance_id, now).await?;
        if !is_new {
            feed::append(tx, feed::HostChangeKind::Enrolled, [host_id], now).await?;
        }
        if !dropped.is_empty() {
            feed::append(tx, feed::HostChangeKind::Keys, [host_id], now).await?;
        }
        Ok(EnrolledRow::Enrolled { host_id, dropped })
    }
}

enum EnrolledRow {
    Enrolled { host_id: i64, dropped: Vec<KeyHash> },
    TooSoon,
}

/// The row of a host that enrolls.
struct FoundRow {
    row: Option<hosts::Model>,
    /// The identity was found to be shared, so a new row is named after the instance.
    is_separated: bool,
}

/// The row of this host: by identifier, unless that was found to be shared and this is not the machine that kept it. It is
/// locked, so that a separation of clones comes before or after all of the enrollment.
async fn find_row(tx: &store::Tx, identity: &HostIdentity) -> store::Result<FoundRow> {
    let row = store::hosts::locked_by_identifier(tx, &identity.identifier).await?;
    let is_separated = row.as_ref().is_some_and(|host| host.cloned_at.is_some());
    let is_it = |host: &hosts::Model| host.instance_id == identity.instance_id || identity.instance_id.is_empty();
    if !is_separated || row.as_ref().is_some_and(is_it) {
        return Ok(FoundRow { row, is_separated });
    }
    Ok(FoundRow { row: store::hosts::locked_by_identifier(tx, &identity.separated()).await?, is_separated })
}

fn new_host(identity: &HostIdentity, is_separated: bool, now: Moment) -> hosts::ActiveModel {
    let identifier = if is_separated { identity.separated() } else { identity.identifier.clone() };
    hosts::ActiveModel {
        id: NotSet,
        identifier: Set(identifier),
        claimed_identifier: Set(identity.identifier.clone()),
        created_at: Set(now),
        seen_at: Set(now),
        ..Default::default()
    }
}

/// Puts the host into the built-in labels its system says, and out of the others.
async fn set_builtin_labels(
    tx: &store::Tx,
    plan: &Plan,
    host_id: i64,
    is_new: bool,
    system: &HostSystem<'_>,
) -> store::Result<()> {
    let builtin: Vec<i64> = plan.builtin_labels().iter().map(|(id, _)| *id).collect();
    let current = if is_new { Vec::new() } else { store::labels::of_host(tx, host_id, &builtin).await? };
    for (label_id, label) in plan.builtin_labels() {
        match (label.has(system), current.contains(label_id)) {
            (true, false) => store::labels::add_members(tx, *label_id, vec![host_id]).await?,
            (false, true) => store::labels::remove_members(tx, *label_id, vec![host_id]).await?,
            _ => {}
        }
    }
    Ok(())
}

/// Drops keys so that one more fits: first those never used, then those unused for longest.
async fn make_room(tx: &store::Tx, host_id: i64, instance_id: &str) -> store::Result<Vec<KeyHash>> {
    // Never those of another machine with this identity: it would enroll again, and take these in turn.
    let mut keys = store::node_keys::of_instance(tx, host_id, instance_id).await?;
    if keys.len() < MAX_KEYS {
        return Ok(Vec::new());
    }
    keys.sort_by_key(|key| (key.used_at, key.created_at));
    keys.truncate(keys.len() + 1 - MAX_KEYS);
    let hashes: Vec<Vec<u8>> = keys.into_iter().map(|key| key.key_hash).collect();
    let dropped = hashes.iter().filter_map(|hash| KeyHash::try_from(hash.as_slice()).ok()).collect();
    store::node_keys::delete(tx, hashes).await?;
    Ok(dropped)
}
