//! Changes that enrollments make to the rows of their hosts, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::quotas::SecretQuotas;
use crate::clock::Moment;
use crate::fleet::hosts::builtin_labels::{Family, HostSystem};
use crate::fleet::hosts::details;
use crate::fleet::hosts::identity::HostIdentity;
use crate::fleet::schedule::Plan;
use crate::store::entity::{hosts, node_keys};
use crate::store::hosts::KnownHost;
use crate::store::node_keys::KeyHash;

/// Most keys of one agent instance.
pub(super) const MAX_KEYS: usize = 8;

/// An enrollment whose secret was good.
#[derive(Debug)]
pub(super) struct Enrollment {
    pub identity: HostIdentity,
    /// Columns for which the agent has sent a value.
    pub said: hosts::ActiveModel,
    pub platform_type: Option<String>,
    pub plan: Arc<Plan>,
    pub secret_id: i64,
    /// The secret is for so many hosts and no more.
    pub has_quota: bool,
    pub key: KeyHash,
    pub now: Moment,
    pub order: EnrollOrder,
}

impl Enrollment {
    /// Whether it counts under the quota of its secret, for a host that enrolled with the secret `before` last.
    pub fn takes_place(&self, before: Option<i64>) -> bool {
        self.has_quota && before != Some(self.secret_id)
    }
}

/// When an enrollment is written, compared with others that wait.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct EnrollOrder {
    /// Whether the host has a row, if that was looked up; or not, once its row was held.
    pub goes_first: Option<bool>,
    /// The first transaction it waited for, counted from 1; or the last one that found its row held.
    pub since: u64,
}

/// The outcome of an enrollment.
#[derive(Debug)]
pub(super) enum EnrollOutcome {
    Enrolled(EnrolledHost),
    /// `osquery.enroll_cooldown` is not over.
    TooSoon,
    /// As many hosts as the secret is for have enrolled with it.
    NoPlace,
}

/// A host that has enrolled.
#[derive(Debug)]
pub(super) struct EnrolledHost {
    /// As the transaction has left it.
    pub known: Arc<KnownHost>,
    pub at: Moment,
    /// Keys that had to make room.
    pub dropped: Vec<KeyHash>,
    /// Whether the new key is there still: one of later enrollments in the same transaction may have taken its slot.
    pub keeps_key: bool,
}

/// A host that enrolls, as the transaction is going to leave it.
#[derive(Debug)]
pub(super) struct EnrollingHost {
    /// Its id is 0 until it is added.
    pub row: hosts::Model,
    /// It was there before.
    pub was_there: bool,
    pub is_changed: bool,
    pub labels_before: BTreeSet<i64>,
    pub labels: BTreeSet<i64>,
    /// By instance, those of instances that enroll, oldest first.
    keys: BTreeMap<String, Vec<node_keys::Model>>,
    added: BTreeSet<KeyHash>,
    /// Keys that were there and have to go.
    pub deleted: Vec<KeyHash>,
    /// It has enrolled when it was there.
    pub has_enrolled_again: bool,
    /// Keys of it had to make room.
    pub has_dropped_keys: bool,
}

/// The outcome of an enrollment, as far as it is known before all of its batch are worked out.
#[derive(Debug)]
pub(super) enum EnrollVerdict {
    Enrolled { dropped: Vec<KeyHash> },
    TooSoon,
    NoPlace,
}

impl EnrollingHost {
    /// A host that is there.
    pub fn of(row: hosts::Model) -> Self {
        Self { was_there: true, ..Self::with(row) }
    }

    /// A host that is to be added.
    pub fn new(identifier: String, enrollment: &Enrollment) -> Self {
        Self::with(hosts::Model {
            identifier,
            claimed_identifier: enrollment.identity.identifier.clone(),
            created_at: enrollment.now,
            seen_at: enrollment.now,
            // Its counters begin about now, so the first sample can wait for its slot.
            statistics_updated_at: enrollment.now,
            ..empty_row()
        })
    }

    fn with(row: hosts::Model) -> Self {
        Self {
            row,
            was_there: false,
            is_changed: false,
            labels_before: BTreeSet::new(),
            labels: BTreeSet::new(),
            keys: BTreeMap::new(),
            added: BTreeSet::new(),
            deleted: Vec::new(),
            has_enrolled_again: false,
            has_dropped_keys: false,
        }
    }

    /// Adds labels that it is in.
    pub fn has_labels(&mut self, label_ids: Vec<i64>) {
        self.labels_before.extend(&label_ids);
        self.labels.extend(label_ids);
    }

    /// Adds a key that is there; the oldest one first.
    pub fn has_key(&mut self, key: node_keys::Model) {
        self.keys.entry(key.instance_id.clone()).or_default().push(key);
    }

    /// Enrolls the host.
    pub fn enroll(&mut self, enrollment: &Enrollment, cooldown: Duration, quotas: &mut SecretQuotas) -> EnrollVerdict {
        let Enrollment { identity, now, .. } = enrollment;
        // Written already, by a transaction of which only the answer was lost.
        if self.has(enrollment) {
            return EnrollVerdict::Enrolled { dropped: Vec::new() };
        }
        let is_there = self.was_there || self.is_changed;
        if is_there && !cooldown.is_zero() && now.since(self.row.enrolled_at) < cooldown {
            return EnrollVerdict::TooSoon;
        }
        if !quotas.take(enrollment, self.row.enroll_secret_id) {
            return EnrollVerdict::NoPlace;
        }
        let platform_before = self.row.platform.clone();
        details::put_into(&mut self.row, &enrollment.said);
        if self.row.platform != platform_before {
            // Another system: what the host was asked before says nothing of this one.
            self.row.label_updated_at = Moment::NEVER;
            self.row.detail_updated_at = Moment::NEVER;
        }
        self.row.enrolled_at = *now;
        self.row.updated_at = *now;
        self.row.enroll_secret_id = Some(enrollment.secret_id);
        if !identity.instance_id.is_empty() && self.row.cloned_at.is_none() {
            self.row.instance_id.clone_from(&identity.instance_id);
        }
        self.set_builtin_labels(enrollment);
        let dropped = self.make_room(&identity.instance_id);
        self.keys.entry(identity.instance_id.clone()).or_default().push(node_keys::Model {
            key_hash: enrollment.key.to_vec(),
            host_id: self.row.id,
            instance_id: identity.instance_id.clone(),
            created_at: *now,
            used_at: None,
            first_used_at: None,
        });
        self.added.insert(enrollment.key);
        self.has_enrolled_again |= is_there;
        self.has_dropped_keys |= !dropped.is_empty();
        self.is_changed = true;
        EnrollVerdict::Enrolled { dropped }
    }

    /// Puts the host into the built-in labels its system says, and out of the others.
    fn set_builtin_labels(&mut self, enrollment: &Enrollment) {
        let family = Family::of(enrollment.platform_type.as_deref(), &self.row.platform);
        let system = HostSystem { platform: &self.row.platform, os_version: &self.row.os_version, family };
        for (label_id, label) in enrollment.plan.builtin_labels() {
            if label.has(&system) {
                self.labels.insert(*label_id);
            } else {
                self.labels.remove(label_id);
            }
        }
    }

    /// Drops keys so that one more fits: first those never used, then those unused for longest. Never those of another
    /// machine with this identity: it would enroll again, and take these in turn.
    fn make_room(&mut self, instance_id: &str) -> Vec<KeyHash> {
        let Some(keys) = self.keys.get_mut(instance_id).filter(|keys| keys.len() >= MAX_KEYS) else {
            return Vec::new();
        };
        keys.sort_by_key(|key| (key.used_at, key.created_at));
        let dropped: Vec<KeyHash> = (keys.drain(..=keys.len() - MAX_KEYS))
            .filter_map(|key| KeyHash::try_from(key.key_hash.as_slice()).ok())
            .collect();
        let (new, there): (Vec<KeyHash>, Vec<KeyHash>) =
            dropped.iter().copied().partition(|hash| self.added.contains(hash));
        self.added.retain(|hash| !new.contains(hash));
        self.deleted.extend(there);
        dropped
    }

    /// Whether the key of an enrollment is stored, or is going to be.
    pub fn has(&self, enrollment: &Enrollment) -> bool {
        let keys = self.keys.get(&enrollment.identity.instance_id);
        keys.is_some_and(|keys| keys.iter().any(|key| key.key_hash == enrollment.key))
    }

    /// The keys that are to be added.
    pub fn new_keys(&self) -> impl Iterator<Item = node_keys::Model> {
        let is_new = move |key: &&node_keys::Model| {
            KeyHash::try_from(key.key_hash.as_slice()).is_ok_and(|hash| self.added.contains(&hash))
        };
        let keys = self.keys.values().flatten().filter(is_new);
        keys.map(move |key| node_keys::Model { host_id: self.row.id, ..key.clone() })
    }
}

/// A row of which nothing is known, as the database would make it.
pub(in crate::fleet) fn empty_row() -> hosts::Model {
    let text = String::new;
    hosts::Model {
        id: 0,
        identifier: text(),
        claimed_identifier: text(),
        instance_id: text(),
        hostname: text(),
        computer_name: text(),
        uuid: text(),
        platform: text(),
        platform_like: text(),
        os_version: text(),
        build: text(),
        code_name: text(),
        osquery_version: text(),
        cpu_type: text(),
        cpu_subtype: text(),
        cpu_brand: text(),
        hardware_vendor: text(),
        hardware_model: text(),
        hardware_version: text(),
        hardware_serial: text(),
        primary_ip: text(),
        primary_mac: text(),
        shard_hostname: text(),
        memory: 0,
        cpu_physical_cores: 0,
        cpu_logical_cores: 0,
        uptime_secs: 0,
        distributed_interval: 0,
        config_refresh: 0,
        logger_tls_period: 0,
        created_at: Moment::NEVER,
        updated_at: Moment::NEVER,
        enrolled_at: Moment::NEVER,
        seen_at: Moment::NEVER,
        detail_updated_at: Moment::NEVER,
        label_updated_at: Moment::NEVER,
        statistics_updated_at: Moment::NEVER,
        gigs_disk_space_available: 0.0,
        percent_disk_space_available: 0.0,
        refetch_requested: false,
        enroll_secret_id: None,
        cloned_at: None,
        open_round: None,
    }
}
