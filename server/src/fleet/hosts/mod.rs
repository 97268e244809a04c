//! Hosts: who they are, how they enroll and authenticate, when they were seen.

mod admission;
mod assignment;
mod builtin_labels;
mod by_id;
mod census;
mod clones;
mod compare;
mod confirm;
mod delete;
mod details;
mod directory;
mod enroll;
mod expiry;
mod follow;
mod host;
mod host_intervals;
mod identity;
mod imported;
mod index;
mod intervals;
mod key;
mod key_uses;
mod list;
mod look_up;
mod presence;
mod refetch;
mod restarts;
mod secret_uses;
mod seen;
mod served_config;
mod stale;
mod view;

pub use admission::Admission;
pub use assignment::Assignment;
pub use builtin_labels::ensure as ensure_builtin_labels;
pub use builtin_labels::{ALL_HOSTS, BUILTIN, BuiltinLabel, Family, HostSystem, means_platform};
pub use delete::{DELETED_AT_ONCE, StillSo};
pub use details::set as set_details;
pub use directory::{AlikeHosts, AskableHost, Directory, LabelMoves, OnlineTally, SideHosts, TargetGroups};
#[cfg(test)]
pub(in crate::fleet) use enroll::empty_row;
pub use expiry::{HOST_EXPIRY, HostExpiry};
pub use host::Host;
pub(in crate::fleet) use imported::{HostImport, HostTally, ImportedLabel};
pub use index::{Authenticated, HostIndex};
pub use key::NodeKey;
pub use list::{HostFilter, HostListing, HostState, SystemWanted};
#[cfg(test)]
pub use seen::SeenTimes;

pub use crate::store::host_lists::HostOrder;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::bus::Notifier;
use crate::clock::{Clock, Moment};
use crate::config;
use crate::fleet::Node;
use crate::fleet::schedule::Schedule;
use crate::store::Store;
use crate::telemetry::{LogLimit, Metrics};

/// A host that enrolls without the chosen identifier is logged this often at most.
const STAND_INS_EVERY: Duration = Duration::from_secs(60);

/// A host that enrolls with a secret that has expired or is used up is logged this often at most, for each secret.
const REFUSED_SECRETS_EVERY: Duration = Duration::from_secs(60);

/// Everything about hosts.
#[derive(Debug)]
pub struct Hosts {
    pub index: HostIndex,
    pub directory: Arc<Directory>,
    comparison: compare::Comparison,
    admission: Admission,
    enrollments: enroll::Enrollments,
    look_ups: look_up::KeyLookUps,
    confirmations: confirm::Confirmations,
    /// Lines about hosts that enroll without the chosen identifier.
    stand_in_log: LogLimit<()>,
    /// Lines about secrets that have expired or are used up, by id.
    refused_secrets_log: LogLimit<i64>,
    secret_uses: secret_uses::SecretUses,
    store: Store,
    clock: Clock,
    config: config::Osquery,
    schedule: Arc<Schedule>,
    metrics: Arc<Metrics>,
    notifier: Arc<dyn Notifier>,
    node: Arc<Node>,
    started_at: Moment,
    reading: tokio::sync::Mutex<follow::FeedReading>,
    /// Up to when this node has reported to have written uses of keys. At its start, there are none.
    reported_at: AtomicI64,
    seen_sharing: seen::SeenSharing,
    stale: stale::StaleHosts,
    /// Hosts that were found deleted, until somebody takes them.
    deleted: Mutex<BTreeSet<i64>>,
    online: tokio::sync::Mutex<Option<presence::OnlineHosts>>,
}

impl Hosts {
    /// Node keys that are being looked up in the database, and the most they may be.
    pub(super) fn looking_up(&self) -> (usize, usize) {
        self.look_ups.size()
    }

    pub fn new(
        store: Store,
        clock: Clock,
        config: config::Osquery,
        schedule: Arc<Schedule>,
        metrics: Arc<Metrics>,
        node: Arc<Node>,
        notifier: Arc<dyn Notifier>,
    ) -> Self {
        let index = HostIndex::default();
        let started_at = clock.now();
        Self {
            directory: Arc::new(Directory::new(Arc::clone(&index.seen))),
            comparison: compare::Comparison::default(),
            index,
            admission: Admission::new(&config),
            enrollments: enroll::Enrollments::new(&store, &config, &notifier),
            look_ups: look_up::KeyLookUps::new(&store, config.store_timeout),
            confirmations: confirm::Confirmations::new(&config),
            stand_in_log: LogLimit::new(STAND_INS_EVERY),
            refused_secrets_log: LogLimit::new(REFUSED_SECRETS_EVERY),
            secret_uses: secret_uses::SecretUses::default(),
            store,
            clock,
            config,
            schedule,
            metrics,
            notifier,
            seen_sharing: seen::SeenSharing::new(node.id(), started_at),
            node,
            started_at,
            reading: tokio::sync::Mutex::default(),
            reported_at: AtomicI64::new(started_at.0),
            stale: stale::StaleHosts::default(),
            deleted: Mutex::default(),
            online: tokio::sync::Mutex::default(),
        }
    }
}
